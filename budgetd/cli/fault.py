"""Faults of a command: what went wrong in a line, what to do about it, and the exit code.

0 is well, 1 a problem, 2 a misuse (typer's own), 3 that no daemon is running.
"""

from __future__ import annotations

PROBLEM = 1
MISUSE = 2
NOT_RUNNING = 3


class CommandFault(Exception):
    """Ends a command. `advice` are lines for the person; `code` is the exit code."""

    def __init__(self, message: str, *advice: str, code: int = PROBLEM) -> None:
        super().__init__(message)
        self.message = message
        self.advice = advice
        self.code = code
