"""A decoder that can be killed: one confined process per slot, which sees bytes by number and never a path."""
