"""The small model of the dock: its tokenizer, its shape, its lessons, and the loop that trains it."""
