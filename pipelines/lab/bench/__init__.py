"""Measurements that anyone can repeat: they make their own input and run the alternatives side by side."""
