"""The reading side of an output: SQL views, its status, choices among what it holds. Needs neither torch nor Ray."""
