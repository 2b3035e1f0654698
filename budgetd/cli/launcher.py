"""The launcher: which command starts budgetd here, and where what it started keeps its ledger.

A checkout has `scripts/run`, which keeps the ledger in the checkout's own state/; `budgetd run`
keeps it where the configuration says. Telling somebody the wrong one of the two would begin a second
ledger with nothing spent. Knows nothing of what either does.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path


def checkout(prefix: Path | None = None) -> Path | None:
    """The checkout whose virtual environment runs this command; None for an installed budgetd."""
    root = (prefix or Path(sys.prefix)).absolute().parent
    return root if (root / "scripts" / "run").is_file() else None


def start_command(prefix: Path | None = None) -> str:
    """What to type to start the daemon: `budgetd run`, or a checkout's `scripts/run`."""
    root = checkout(prefix)
    if root is None:
        return "budgetd run"
    script = root / "scripts" / "run"
    return "scripts/run" if Path.cwd() == root else shlex.quote(str(script))


def checkout_state(prefix: Path | None = None) -> Path | None:
    """The state directory of `scripts/run`."""
    root = checkout(prefix)
    return root / "state" if root is not None else None
