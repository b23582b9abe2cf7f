"""Which videos there are, and what of them is left to do."""
