"""Audit: whether an output is what it should be, told from storage alone."""
