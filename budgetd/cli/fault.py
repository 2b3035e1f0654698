"""Faults of a command: what went wrong in a line, what to do about it, and the exit code.

0 is well, 1 a problem, 2 a misuse (typer's own), 3 that no daemon is running.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from budgetd.config.problems import ConfigError

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


def bad_configuration(error: ConfigError) -> CommandFault:
    """Every problem of a configuration, each on a line with its place."""
    head, *lines = str(error).splitlines()
    return CommandFault(head, *(line[2:] for line in lines))
