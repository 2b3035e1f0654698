"""What `budgetd run` says when it serves: how to wrap an agent, and what will limit it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from textwrap import fill

from budgetd.cli import paper
from budgetd.cli.fault import CommandFault
from budgetd.cli.link import daemon_url
from budgetd.config.load import Loaded
from budgetd.core.budgets import Budget
from budgetd.core.money import usd_display
from budgetd.core.policy import KeyPolicy, Rules
from budgetd.core.windows import Total, describe
from budgetd.daemon import Daemon

MOST_KEYS = 6
WIDTH = 80
COPIED = ("Config", "State", "Status", "       ")
PROC = Path("/proc")


def show(daemon: Daemon, loaded: Loaded) -> None:
    """Print it. The first line, with the URL, is the caller's."""
    for line in lines(daemon, loaded):
        print(folded(line))


def folded(line: str) -> str:
    """A line of words in eighty columns. What is copied (a command, a path) is never broken."""
    if "export " in line or line.startswith(COPIED):
        return line
    indent = line[: len(line) - len(line.lstrip())] + "    "
    return fill(
        line, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def lines(daemon: Daemon, loaded: Loaded) -> Iterator[str]:
    """The banner, line by line."""
    rules, url = daemon.gateway.setup.rules, daemon.url
    yield ""
    yield "Wrap an agent by its base URL; it keeps its own API key:"
    yield f"  export ANTHROPIC_BASE_URL={url}"
    yield f"  export OPENAI_BASE_URL={url}/v1"
    yield ""
    default = rules.keys[rules.default_key]
    yield f"Callers that no key claims share: {_words(default.budgets)}."
    if rules.everything:
        yield f"Everything together: {_words(rules.everything)}."
    for label, budgets in rules.labels[:MOST_KEYS]:
        yield f"Label {label}: {_words(budgets)}."
    yield from _keys(rules, url)
    yield ""
    if _is_found(url):
        yield f"Status  {url}/status, or: budgetd status"
    else:
        yield f"Status  {url}/status"
        yield f"        or: budgetd status --url {url}"
    yield f"Config  {loaded.path.absolute() if loaded.path else 'built-in defaults'}"
    yield f"State   {loaded.state}"
    book = daemon.gateway.setup.tariff.book
    yield f"Prices  {book.source}, data up to {book.as_of}"
    for warning in (*map(str, loaded.warnings), *book.warnings):
        yield f"Warning: {warning}"
    yield ""


def _is_found(url: str) -> bool:
    """Whether a command in the same environment would find the daemon by itself."""
    try:
        return daemon_url(os.environ.get("BUDGETD_URL"), os.environ) == url
    except CommandFault:
        return False


def _keys(rules: Rules, url: str) -> Iterator[str]:
    named = [key for name, key in rules.keys.items() if name != rules.default_key]
    passing = [key for key in named if key.custody == "pass_through"]
    if passing:
        yield ""
        yield "Agents with a budget of their own, by a name in the URL:"
    for key in passing[:MOST_KEYS]:
        yield f"  {key.name}: {_words(key.budgets)}"
        yield f"    export ANTHROPIC_BASE_URL={url}/k/{key.name}"
        yield f"    export OPENAI_BASE_URL={url}/k/{key.name}/v1"
    yield from _more(passing)
    for pattern in rules.patterns:
        how = " with a token" if pattern.custody == "issued" else f" at {url}/k/NAME"
        yield f"  {pattern.name}: {_words(pattern.budgets)} for each such NAME{how}"
    issued = [key for key in named if key.custody == "issued"]
    if issued:
        yield ""
        yield "Agents that are known by a budgetd token, which is their API key:"
    for key in issued[:MOST_KEYS]:
        yield f"  {key.name}: {_words(key.budgets)}. Get one: budgetd keys issue {key.name}"
    yield from _more(issued)


def _more(keys: list[KeyPolicy]) -> Iterator[str]:
    if len(keys) > MOST_KEYS:
        yield f"  ... and {len(keys) - MOST_KEYS} more: budgetd keys list"


def _words(budgets: tuple[Budget, ...]) -> str:
    return " and ".join(map(_budget_words, budgets)) or "no budget"


def _budget_words(budget: Budget) -> str:
    window = "in total" if isinstance(budget.window, Total) else f"per {describe(budget.window)}"
    if budget.per:
        window = f"{'' if window == 'in total' else f'{window} '}per {budget.per}"
    models = f" of {', '.join(budget.models)}" if budget.models else ""
    kind = ", notional" if budget.counts == "notional" else ""
    observed = ", observed" if budget.observe else ""
    return f"{usd_display(budget.limit)} {window}{models}{kind}{observed}"


def listener(port: int) -> str | None:
    """The process that listens on a port ("process 812 (nginx)"), where /proc tells."""
    inodes = {
        fields[9]
        for table in ("tcp", "tcp6")
        for fields in _rows(PROC / "net" / table)
        if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port
    }
    wanted = {f"socket:[{inode}]" for inode in inodes}
    for process in PROC.glob("[0-9]*") if wanted else ():
        try:
            if any(str(link.readlink()) in wanted for link in (process / "fd").iterdir()):
                name = (process / "comm").read_text().strip()
                return f"process {process.name} ({paper.plain(name)})"
        except OSError:  # it ended, or is not ours to look at
            continue
    return None


def _rows(table: Path) -> Iterator[list[str]]:
    try:
        text = table.read_text()
    except OSError:
        return
    yield from (line.split() for line in text.splitlines()[1:])
