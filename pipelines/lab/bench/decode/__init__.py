"""`bench decode`: our decoder and its alternatives, on the same frames of the same files."""
