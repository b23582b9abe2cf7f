"""The dock: a synthetic world of clips with known answers, and the small model that is trained on it."""
