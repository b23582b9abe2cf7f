"""Erasing videos: search what an output holds of them, remove it, and keep them out."""
