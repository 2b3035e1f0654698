"""A configuration looked at without a daemon: its problems, and what is in force."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Mapping
from pathlib import Path

from ruamel.yaml import YAML

from budgetd.cli import paper
from budgetd.cli.fault import CommandFault, bad_configuration
from budgetd.cli.pricebook import compiled
from budgetd.config.load import Loaded, load
from budgetd.config.places import find
from budgetd.config.problems import ConfigError, Problem
from budgetd.config.secrets import LocalSecret
from budgetd.runtime import SystemClock

DEFAULTS = "built-in defaults (there is no configuration file)"


def check(path: Path | None, environ: Mapping[str, str], *, as_json: bool) -> int:
    """Tell all that is wrong or odd. Returns the exit code."""
    name = str(path or find(environ) or DEFAULTS)
    problems: list[Problem] = []
    loaded: Loaded | None = None
    try:
        loaded = load(path, environ, reading="elsewhere")
        # Two keys with one credential, and prices: what only building finds.
        loaded.rules(fingerprint=LocalSecret(secrets.token_bytes(32)).fingerprint)
        problems += loaded.warnings
    except ConfigError as error:
        problems += error.problems
    if loaded is not None:
        problems += _price_problems(loaded, name)
    wrong = any(problem.severity == "error" for problem in problems)
    if as_json:
        told = [_told(problem) for problem in problems]
        paper.print_json({"file": name, "ok": not wrong, "problems": told})
        return int(wrong)
    for problem in problems:
        _print(problem)
    if wrong:
        count = sum(problem.severity == "error" for problem in problems)
        print(f"{name}: {count} mistake{'' if count == 1 else 's'}", file=sys.stderr)
    elif loaded is not None:
        print(f"{name}: good, {_counts(loaded)}")
    return int(wrong)


def _price_problems(loaded: Loaded, name: str) -> list[Problem]:
    try:
        book = compiled(loaded, SystemClock().wall())
    except CommandFault as fault:
        return [Problem("", None, fault.message, "", name)]
    return [Problem("", None, text, "", name, "warning") for text in book.warnings]


def _counts(loaded: Loaded) -> str:
    settings = loaded.settings
    keys, providers = len(settings.keys), len(settings.providers)
    counts = [f"{keys} key{'' if keys == 1 else 's'}", f"{providers} provider settings"]
    if labels := len(settings.labels):
        counts.insert(1, f"{labels} label{'' if labels == 1 else 's'}")
    return ", ".join(counts)


def _told(problem: Problem) -> dict[str, object]:
    return {
        "severity": problem.severity,
        "source": problem.source,
        "line": problem.line,
        "path": problem.path,
        "message": problem.message,
        "hint": problem.hint,
    }


def _print(problem: Problem) -> None:
    word = "warning: " if problem.severity == "warning" else ""
    print(": ".join(part for part in (problem.place, problem.path, word + problem.message) if part))
    if problem.hint:
        print(f"    {problem.hint}")


def show(path: Path | None, environ: Mapping[str, str], *, as_json: bool) -> None:
    """Print the settings in force."""
    try:
        loaded = load(path, environ, reading="unread")
    except ConfigError as error:
        raise bad_configuration(error) from None
    data = loaded.settings.model_dump(mode="json", exclude_none=True)
    if as_json:
        paper.print_json(data)
        return
    print(f"# {loaded.path or DEFAULTS}, with the environment and every default.")
    yaml = YAML()
    yaml.width = 78
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.dump(data, sys.stdout)
