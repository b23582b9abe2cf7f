"""The `framegate` commands, one file each. A command parses its options, calls a room of `pipelines` and prints."""
