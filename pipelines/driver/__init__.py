"""The driver's side of a run: what is left to do, what it hears on the way, when it stops, what came of it."""
