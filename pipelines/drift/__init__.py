"""Whether a night's answers are drawn like those of the nights before."""
