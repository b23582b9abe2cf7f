"""Strategies: what is asked of the model, and when it thinks."""
