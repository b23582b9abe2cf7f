"""`bench faults`: commands are killed and frozen at every named place, and the rows compared."""
