"""What runs in a worker: decode; look up, ask, commit."""
