"""Installs the clients, once for a run of the tests, and throws them away afterwards."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.claude_code import NotInstalled, install


@pytest.fixture(scope="session")
def claude_program() -> Iterator[Path]:
    """Claude Code's program. Whoever asks for these tests wants them run: no npm is a failure."""
    with tempfile.TemporaryDirectory(prefix="budgetd-clients-") as directory:
        try:
            program = install(Path(directory))
        except NotInstalled as reason:
            pytest.fail(f"Claude Code cannot be installed: {reason}", pytrace=False)
        yield program
