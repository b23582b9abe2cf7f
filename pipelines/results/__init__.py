"""The reading side: SQL views over an output."""
