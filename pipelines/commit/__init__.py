"""The journal of units, the sealed tables, and the records of runs."""
