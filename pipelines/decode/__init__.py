"""Decoding: from the bytes of a video to clips of frames."""
