"""What is seen: the status API, and the few things an owner can change through it."""
