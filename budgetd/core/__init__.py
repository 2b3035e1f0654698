"""What is true: pure values and functions. `now` is an argument; no I/O, clock, logging or pydantic."""
