"""What is left to do: what was found, minus what is stored."""
