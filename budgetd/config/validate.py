"""Validation: plain data to `Settings`, with every fault in an owner's words.

Translates pydantic's errors into findings (pydantic's own texts carry input values, so none of them
is passed on), adds did-you-mean for names, and goes on after the first faults: what is wrong is cut
out and the rest is checked too, so that one reading of the messages is enough.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from budgetd.config.problems import Finding, Path, did_you_mean
from budgetd.config.settings import Settings

ROUNDS = 4
KINDS = {
    "model_type": "must be a map of settings",
    "model_attributes_type": "must be a map of settings",
    "dict_type": "must be a map",
    "list_type": "must be a list",
    "string_type": "must be text",
    "too_short": "must not be empty",
    "string_too_long": "is too long",
    "string_pattern_mismatch": "must be a plain name",
    "missing": "is missing",
    "recursion_loop": "refers to itself",
}
HINTS = {
    "string_type": "put it in quotes",
    "list_type": "a list is written [a, b], or as lines that begin with a dash",
}
KEY_MARK = "[key]"  # pydantic's step for a fault in a map's key


def validated(file: Any, environment: dict[str, Any]) -> tuple[Settings | None, list[Finding]]:
    """Settings from the file's data and the environment's, which wins. With findings, the settings
    are what is left without the faulty parts, or None if nothing sensible is left.
    """
    if not isinstance(file, dict):
        return None, [Finding((), "must be a map of settings, like listen: 127.0.0.1:4141")]
    findings: list[Finding] = []
    layers = [environment, file]
    for attempt in range(ROUNDS):
        try:
            return Settings.layered(*layers), findings
        except ValidationError as error:
            details = error.errors(include_url=False)
        if attempt == 0:
            findings = [_finding(detail) for detail in details]
        paths = [_cut(detail) for detail in details]
        layers = [_without(layer, paths) for layer in layers]
    return None, findings


def _finding(detail: ErrorDetails) -> Finding:
    kind, given = detail["type"], detail.get("input")
    path = tuple(step for step in detail["loc"] if step != KEY_MARK)
    context: Mapping[str, Any] = detail.get("ctx", {})
    if kind == "extra_forbidden":
        return Finding(path, "unknown setting", did_you_mean(str(path[-1]), _fields_at(path[:-1])))
    if kind == "literal_error":
        known = re.findall(r"'([^']*)'", str(context.get("expected", "")))
        hint = did_you_mean(given, known) if isinstance(given, str) else ""
        hint = hint if hint.startswith("did") else ""
        return Finding(
            path, f"must be {'' if len(known) == 1 else 'one of '}{', '.join(known)}", hint
        )
    if kind == "value_error":
        return Finding(path, str(context.get("error", "is not valid")))
    if "hint" in context or kind in ("short_budget",):
        return Finding(path, detail["msg"], str(context.get("hint", "")))
    hint = "" if isinstance(given, dict | list) else HINTS.get(kind, "")
    return Finding(path, KINDS.get(kind, "is not valid here"), hint)


def _fields_at(path: Path) -> Iterable[str]:
    """The names that are settings at a path."""
    kind: Any = Settings
    for step in path:
        kind = _bare(kind)
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            if step not in kind.model_fields:
                return ()
            kind = kind.model_fields[str(step)].annotation
        else:
            kind = (get_args(kind) or (None,))[-1]
    kind = _bare(kind)
    return kind.model_fields if isinstance(kind, type) and issubclass(kind, BaseModel) else ()


def _bare(kind: Any) -> Any:
    """A type without Annotated and without `| None`."""
    while True:
        if get_origin(kind) is Annotated:
            kind = get_args(kind)[0]
        elif type(None) in get_args(kind):
            kind = next(each for each in get_args(kind) if each is not type(None))
        else:
            return kind


def _cut(detail: ErrorDetails) -> Path:
    """What to leave out so that the rest can be read. Lists go as a whole: their other items must
    keep their places.
    """
    path = tuple(step for step in detail["loc"] if step != KEY_MARK)
    if detail["type"] == "missing":
        path = path[:-1]
    for index, step in enumerate(path):
        if isinstance(step, int):
            return path[:index]
    return path


def _without(data: dict[str, Any], paths: Iterable[Path]) -> dict[str, Any]:
    """A copy of the data without what is at these paths."""
    here = {path[0] for path in paths if len(path) == 1}
    kept: dict[str, Any] = {}
    for name, value in data.items():
        below = [path[1:] for path in paths if len(path) > 1 and path[0] == name]
        if name in here:
            continue
        if isinstance(value, dict):
            kept[name] = _without(value, below) if below else value
        elif not below:
            kept[name] = value
        # else: the fault is below a short form (a key that is just its budgets): out as a whole
    return kept
