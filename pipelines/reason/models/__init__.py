"""What both engines know of a model: files, families, tokens, pixels, positions."""
