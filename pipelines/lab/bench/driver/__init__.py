"""`bench driver`: whole runs over many small films, beside bare Ray Data; processor time, memory, requests."""
