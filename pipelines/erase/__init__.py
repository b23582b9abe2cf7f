"""Erasing videos: find what an output holds of them, replace it, keep them out."""
