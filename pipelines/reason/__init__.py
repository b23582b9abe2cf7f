"""Frames and questions in, answers out: a strategy says what is asked, an engine runs it."""
