"""What is kept: the journal of units, the sealed tables, the records of runs."""
