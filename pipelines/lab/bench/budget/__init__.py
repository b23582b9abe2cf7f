"""What a budget of engine time buys, by the way in which it is spent."""
