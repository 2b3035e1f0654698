"""What flows: one straight line from a request to its answer."""
