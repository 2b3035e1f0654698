"""The locks say what, with hashes, and nothing about where; and they hold what pyproject.toml asks for."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ["run", "test"]


def pins(name: str) -> dict[str, str]:
    """Package -> "version ; marker" of one lock."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    return dict(re.findall(r"^([a-z0-9-]+)==(.+?) *\\$", text, re.MULTILINE))


def asked_for(*groups: str) -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = [*project["project"]["dependencies"]]
    for group in groups:
        wanted += project["dependency-groups"][group]
    names = (re.match(r"[\w.-]+", line) for line in wanted)
    return {re.sub(r"[-_.]+", "-", name[0]).lower() for name in names if name}


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_is_packages_and_hashes_only(name: str) -> None:
    for line in (ROOT / "requirements" / f"{name}.txt").read_text().splitlines():
        assert re.fullmatch(
            r"[a-z0-9-]+==[\w.]+( ; [^/\\]+)? \\|    --hash=sha256:[0-9a-f]{64}( \\)?", line
        ), line


def test_the_locks_hold_what_the_project_asks_for() -> None:
    assert asked_for() <= pins("run").keys()
    assert asked_for("test", "lint", "build") <= pins("test").keys()


def test_one_environment_can_serve_both_locks() -> None:
    """Same versions in both. (Markers may widen: a test tool can want on all platforms what we want on one.)"""
    test = pins("test")
    for package, pin in pins("run").items():
        assert test[package].split(" ;")[0] == pin.split(" ;")[0]
