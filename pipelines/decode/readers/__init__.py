"""Decoders behind one protocol, and the bytes that they read."""
