"""Overrides: settings from environment variables.

`BUDGETD_LISTEN`, or `BUDGETD_LIMITS__BODY_BYTES` with two underscores for each step down. A value
is taken as its text; where it begins with `[` or `{` it is read as YAML. The environment is an
argument. Names that override nothing: with two underscores they are errors (nobody else writes such
names), without they are none of our business unless they are nearly one of ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from budgetd.config.document import parse
from budgetd.config.problems import ConfigError, Path, Problem, did_you_mean
from budgetd.config.settings import Settings

PREFIX = "BUDGETD_"
STEP = "__"


@dataclass(slots=True)
class Overrides:
    """What the environment sets: `data` shaped like the file, and which variable set which path."""

    data: dict[str, Any] = field(default_factory=dict)
    variables: dict[Path, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def read_overrides(environ: Mapping[str, str]) -> Overrides:
    """The overrides in an environment, parents before children, empty ones ignored."""
    found = Overrides()
    for name in sorted(environ):
        if not name.startswith(PREFIX) or not environ[name].strip():
            continue
        path = tuple(name.removeprefix(PREFIX).lower().split(STEP))
        if path[0] not in Settings.model_fields:
            _stranger(found, name, path)
        elif not all(path):
            found.problems.append(Problem("", None, "does not name a setting", "", f"${name}"))
        else:
            _set(found, name, path, environ[name])
    return found


def _stranger(found: Overrides, name: str, path: Path) -> None:
    close = get_close_matches(str(path[0]), Settings.model_fields, n=1, cutoff=0.88)
    if len(path) > 1:
        hint = did_you_mean(str(path[0]), (name.upper() for name in Settings.model_fields))
        found.problems.append(Problem("", None, "does not name a setting", hint, f"${name}"))
    elif close:
        hint = f"did you mean {PREFIX}{close[0].upper()}?"
        found.problems.append(
            Problem("", None, "does not name a setting", hint, f"${name}", "warning")
        )


def _set(found: Overrides, name: str, path: tuple[str, ...], text: str) -> None:
    value: Any = text
    if text.lstrip()[0] in "[{":
        try:
            value = parse(text, f"${name}").data()
        except ConfigError as error:
            found.problems.extend(error.problems)
            return
    place = found.data
    for step in path[:-1]:
        below = place.setdefault(step, {})
        if not isinstance(below, dict):
            below = place[step] = {}
        place = below
    place[path[-1]] = value
    found.variables[path] = name
