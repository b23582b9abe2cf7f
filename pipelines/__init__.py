"""What happens to a video: source, decode, reason, commit, and the flow through them."""
