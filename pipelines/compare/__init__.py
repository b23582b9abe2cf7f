"""Strategies side by side on labelled rows: `framegate compare`."""
