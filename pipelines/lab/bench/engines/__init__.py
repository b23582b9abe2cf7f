"""`bench engines`: this package's engines beside what people would use instead, on one piece of work."""
