"""Places: where a configuration and the state directory are when nobody says.

The rules for finding both, from an environment that is an argument. Nothing is read but whether a
file is there. It imports nothing heavy, so that the quick commands can use it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

SYSTEM_FILE = Path("/etc/budgetd/config.yaml")
ADMIN_TOKEN = "admin.token"  # noqa: S105  a file's name, in the state directory


def find(environ: Mapping[str, str]) -> Path | None:
    """The configuration file: $BUDGETD_CONFIG, else the user's, else the machine's, else none."""
    named = environ.get("BUDGETD_CONFIG")
    if named:
        return Path(named)
    for candidate in (user_file(environ), SYSTEM_FILE):
        if candidate.is_file():
            return candidate
    return None


def user_file(environ: Mapping[str, str]) -> Path:
    """Where a user's own configuration file belongs."""
    return _xdg(environ, "XDG_CONFIG_HOME", ".config") / "config.yaml"


def state_directory(environ: Mapping[str, str]) -> Path:
    """The state directory where the configuration names none: the service manager's, else the
    user's.
    """
    given = environ.get("STATE_DIRECTORY", "").split(":")[0]
    return Path(given) if given else _xdg(environ, "XDG_STATE_HOME", ".local/state")


def _xdg(environ: Mapping[str, str], variable: str, below_home: str) -> Path:
    base = environ.get(variable, "")
    if base.startswith("/"):  # XDG: relative ones are to be ignored
        return Path(base) / "budgetd"
    return Path(environ.get("HOME") or Path.home()) / below_home / "budgetd"
