"""reason: frames and questions -> answers, gated by confidence."""
