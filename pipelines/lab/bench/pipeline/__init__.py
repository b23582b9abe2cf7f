"""`bench pipeline`: whole runs, beside their decoding alone and their engine alone."""
