"""The driver's side of a run: begin, start the workers, hear their receipts, stop, and record what came of it."""
