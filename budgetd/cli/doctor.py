"""`budgetd doctor`: everything that is known to go wrong, looked at once.

Owns the order of the examination and how its findings are told. Each check is a function of the
patient that yields findings; one that breaks is a finding too, so that the others still run. It
changes nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from rich.table import Table
from rich.text import Text

from budgetd.cli import paper
from budgetd.cli.fault import CommandFault
from budgetd.cli.link import Link

Grade = Literal["ok", "warn", "fail"]
SAME_USER = "run this as the user that runs budgetd"
COLOURS: Mapping[Grade, str] = {"ok": "green", "warn": "yellow", "fail": "red"}


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found. `advice` says what to do."""

    grade: Grade
    what: str
    said: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Patient:
    """What is examined: the options as given, and the environment."""

    config: Path | None = None
    state: Path | None = None
    url: str | None = None
    offline: bool = False
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))

    def with_state(self) -> dict[str, str]:
        """The environment with the options in it."""
        environ = dict(self.environ)
        if self.state is not None:
            environ["BUDGETD_STATE"] = str(self.state)
        if self.config is not None:
            environ["BUDGETD_CONFIG"] = str(self.config)
        return environ

    def link(self) -> Link:
        """The daemon, if it runs."""
        return Link.find(self.url, self.with_state())


Check = Callable[[Patient], Iterator[Finding]]


def examine(patient: Patient, *, as_json: bool) -> int:
    """Run every check and print what they found, as they find it. Returns 1 if one failed."""
    from budgetd.cli import checkup, logs, reach

    logs.configure("error", "text")  # what a check meets is told as a finding, not as a log line
    checks: list[Check] = [*checkup.CHECKS, *reach.CHECKS]
    out = paper.console()
    found: list[Finding] = []
    for check in checks:
        for finding in _careful(check, patient):
            found.append(finding)
            if not as_json:
                out.print(_line(finding))
    failed = [finding for finding in found if finding.grade == "fail"]
    if as_json:
        paper.print_json({"ok": not failed, "findings": [_told(finding) for finding in found]})
    else:
        warned = sum(finding.grade == "warn" for finding in found)
        out.print()
        out.print(_verdict(len(failed), warned))
    return 1 if failed else 0


def _careful(check: Check, patient: Patient) -> Iterator[Finding]:
    """A check's findings; an error in it is one of them."""
    try:
        yield from check(patient)
    except CommandFault as fault:
        yield Finding("fail", _name(check), fault.message, " ".join(fault.advice))
    except PermissionError as error:
        said = f"{error.filename or 'something'} is not yours to read"
        yield Finding("fail", _name(check), said, SAME_USER)
    except OSError as error:
        yield Finding("fail", _name(check), str(error))


def _name(check: Check) -> str:
    return getattr(check, "__name__", "check").strip("_").replace("_", " ")


def _line(finding: Finding) -> Table:
    made = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    made.add_column(width=4)
    made.add_column(width=14, style="bold", no_wrap=True, overflow="ellipsis")
    made.add_column(overflow="fold")
    text = Text(finding.said)
    if finding.advice:
        text.append(f"\n{finding.advice}", style="dim")
    made.add_row(Text(finding.grade, style=COLOURS[finding.grade]), finding.what, text)
    return made


def _verdict(failed: int, warned: int) -> str:
    if failed:
        return f"[red]{failed} failed[/], {warned} warnings"
    return f"[green]nothing failed[/], {warned} warnings" if warned else "[green]all well[/]"


def _told(finding: Finding) -> dict[str, str]:
    return {
        "grade": finding.grade,
        "check": finding.what,
        "finding": finding.said,
        "advice": finding.advice,
    }
