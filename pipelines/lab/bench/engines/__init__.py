"""`bench engines`: our engines and their alternatives, side by side on the same work."""
