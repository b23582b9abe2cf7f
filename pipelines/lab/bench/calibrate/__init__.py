"""`bench calibrate`: our certificates against other rules, on archives whose truth is known."""
