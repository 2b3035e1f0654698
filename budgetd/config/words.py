"""Words: what an owner may call things, and how names that callers bring are matched.

A name of the owner's own choice is a plain word, and never a credential. A pattern (`*`, `?`,
`[...]`) is compared with names that are other people's to choose: models, labels, sessions. Which
of several patterns counts is said where they are used; that an exact name wins and then the first
pattern is the rule everywhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Annotated

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

from budgetd.config.problems import looks_secret
from budgetd.core.policy import is_pattern

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
PATTERN = re.compile(r"[A-Za-z0-9*?\[][A-Za-z0-9._*?\[\]!-]{0,127}")
LONGEST = 128


def shadows(names: Iterable[str]) -> dict[str, str]:
    """Patterns that are never used, and the one above each that takes all their names."""
    found: dict[str, str] = {}
    earlier: list[str] = []
    for name in filter(is_pattern, names):
        above = next((other for other in earlier if fnmatchcase(name, other)), None)
        if above is not None:
            found[name] = above
        earlier.append(name)
    return found


def _word(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}", value) or looks_secret(value):
        raise ValueError("must be a short name of letters, digits, spaces, dots and dashes")
    return value


def _key_name(value: str) -> str:
    if looks_secret(value):
        hint = "a name is a label you choose; put {env: NAME} under its credentials"
        raise PydanticCustomError(
            "key_secret", "a key is not named by its credential", {"hint": hint}
        )
    if not (NAME.fullmatch(value) or PATTERN.fullmatch(value)):
        raise ValueError(
            "a key's name has letters, digits, dots, dashes and underscores; "
            "a pattern also *, ? and [...]"
        )
    return value


def _model(value: str) -> str:
    if not re.fullmatch(r"[^\s\x00-\x1f]{1,128}", value):
        raise ValueError("must be a model's name or a pattern like gpt-*")
    return value


def _claimed(value: str) -> str:
    if not 0 < len(value) <= LONGEST or not value.isprintable() or value != value.strip():
        raise ValueError(f"must be a name or a pattern like ci-*, of at most {LONGEST} characters")
    return value


Word = Annotated[str, AfterValidator(_word)]
KeyName = Annotated[str, AfterValidator(_key_name)]
ModelPattern = Annotated[str, AfterValidator(_model)]
ClaimedPattern = Annotated[str, AfterValidator(_claimed)]  # of labels and of sessions
