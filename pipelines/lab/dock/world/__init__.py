"""What happens in a dock clip, how it looks, and what is asked about it, with true answers."""
