"""What a person types: talks to the running daemon over its socket, and starts it."""
