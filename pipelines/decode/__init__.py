"""From bytes to clips of frames: what a file is, which moments are looked at, and who decodes."""
