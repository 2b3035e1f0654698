"""The witness is independent: in a fresh process nothing else of budgetd is loaded with it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

CODE = "import sys, budgetd.simulator; print(*[m for m in sys.modules if m.startswith('budgetd')])"


def test_nothing_else_of_budgetd_is_loaded():
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", CODE], cwd=root, capture_output=True, text=True, check=True
    )
    others = [m for m in done.stdout.split() if not m.startswith("budgetd.simulator")]
    assert others == ["budgetd"]
