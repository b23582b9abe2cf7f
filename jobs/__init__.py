"""What a person or a scheduler types: the `framegate` commands. Each parses, calls and prints."""
