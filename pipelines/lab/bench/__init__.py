"""Benchmarks. Each makes its own input and runs the alternatives side by side, so that anyone can repeat it."""
