"""`budgetd sessions`: which conversations there are, what they cost, and how far they still go.

A line for each, its sub-agents below it, and words where one goes in circles. Shows what the status
API says; computes nothing but how names are shortened.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from urllib.parse import urlencode

from rich.console import Console
from rich.text import Text

from budgetd.cli import paper
from budgetd.cli.fault import MISUSE, CommandFault
from budgetd.cli.grid import Column, Grid
from budgetd.cli.link import Link

Page = dict[str, Any]

MOST_TREES = 500
SHORTEST = 8  # characters of an id in a name's place
SOON = 5  # turns: this close it is worth a colour
EARLY = "too early"

COLUMNS = (
    Column("SESSION", 15, right=False, grow=25),
    Column("CLIENT", 11, right=False, spare=3),
    Column("LAST", 4, spare=2),
    Column("TURNS", 5),
    Column("CONTEXT", 7),
    Column("GROWTH", 6, spare=4),
    Column("COST", 8),
    Column("$/TURN", 7, spare=1),
    Column("LEFT", 9, grow=9),
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which trees are asked for: `since` as a person writes it."""

    key: str | None
    since: str | None
    limit: int


def show(link: Link, wanted: Wanted, *, as_json: bool) -> None:
    """The newest trees of sessions. Raises CommandFault."""
    key, since, limit = wanted.key, wanted.since, wanted.limit
    now = link.status()["now"]
    query = {"tree": "1", "limit": str(limit)}
    query |= {"key": key} if key is not None else {}
    query |= {"since": instant(since, now)} if since is not None else {}
    page = link.get(f"/status/sessions?{urlencode(query)}")
    if as_json:
        paper.print_json(page)
        return
    out = paper.console()
    if page["sessions"]:
        listing(out, page["sessions"], page["now"])
        _foot(out, page, limit)
        return
    of = f" of key {key}" if key is not None else ""
    out.print(Text(f"no sessions{of}{' since then' if since is not None else ' yet'}"))
    if key is None and since is None:
        out.print(Text(f"one begins with the first call: point an agent at {link.url}"))


def listing(
    out: Console,
    sessions: Iterable[Page],
    now: str,
    *,
    title: str = "SESSION",
    columns: Sequence[Column] = COLUMNS,
) -> None:
    """Sessions, each with what is known of those below it."""
    trees = list(sessions)
    grid = Grid(out, columns)
    names = handles(trees, grid.width("SESSION"))
    grid.head({"SESSION": title})
    for tree in trees:
        _rows(grid, tree, _Place(now, names))


def handles(trees: Iterable[Page], room: int) -> dict[str, str]:
    """What each session is called, by id: by its own name, if so much of it as there is room for is
    nobody else's here; else by the beginning of its id. Either is understood as an argument.
    """
    everybody = list(_everybody(trees))
    ranked = sorted((one["ref"], one["id"]) for one, _ in everybody)
    bearers = Counter(ref for ref, _ in ranked)
    alike = dict.fromkeys((at for _, at in ranked), 0)  # characters shared with another
    for (ref, at), (other, beside) in pairwise(ranked):
        alike[beside] = _shared(ref, other)
        alike[at] = max(alike[at], alike[beside])
    found = {}
    for one, depth in everybody:
        ref, at = one["ref"], one["id"]
        shown = room - 2 * depth - 1 if len(ref) > room - 2 * depth else None
        same = bearers[ref] > 1 if shown is None else alike[at] >= shown
        found[at] = at[:SHORTEST] if same else ref
    return found


def instant(text: str, now: str) -> str:
    """When "22:00" was last, "2h" ago was, or a date began, on this machine's clock; as RFC 3339.
    Raises CommandFault.
    """
    from budgetd.config.quantities import duration

    at = datetime.fromisoformat(now).astimezone()
    if found := re.fullmatch(r"(\d{1,2}):(\d{2})", text):
        hour, minute = map(int, found.groups())
        if hour < 24 and minute < 60:
            then = at.replace(hour=hour, minute=minute, second=0, microsecond=0)
            return _utc(then if then <= at else then - timedelta(days=1))
    try:
        return _utc(at - timedelta(milliseconds=duration(text)))
    except (ValueError, OverflowError):
        pass
    try:
        return _utc(datetime.fromisoformat(text).astimezone())
    except (ValueError, OverflowError):
        message = f"--since {text}: must be a time like 22:00, a length like 2h, or a date"
        raise CommandFault(message, code=MISUSE) from None


def money(one: Mapping[str, Any], name: str = "") -> str:
    """A session's dollars as a person reads them; "~" marks those that nobody pays per token."""
    real, notional = one[f"{name}cost_usd"], one[f"{name}notional_usd"]
    if not paper.pico(notional):
        return paper.brief(real)
    apart = f"~{paper.brief(notional)}"
    return f"{paper.brief(real)} {apart}" if paper.pico(real) else apart


def cells(one: Page, now: str) -> dict[str, str | Text]:
    """A session's figures, by column."""
    growth, share = one.get("growth_tokens_per_turn"), one.get("cost_per_turn_usd")
    mark = "~" if one.get("money") == "notional" else ""
    return {
        "CLIENT": one["client"],
        "LAST": ago(one["last_at"], now),
        "TURNS": paper.count(one["turns"]),
        "CONTEXT": paper.count(one["context_tokens"]) if one["context_tokens"] else "-",
        "GROWTH": growth_words(growth),
        "COST": money(one),
        "$/TURN": mark + paper.brief(share) if share is not None else "-",
        "LEFT": left(one.get("forecast")),
    }


def growth_words(tokens: int | None) -> str:
    """How many tokens come to the context with each turn: "+612", "-40"."""
    if tokens is None:
        return "-"
    return f"{'-' if tokens < 0 else '+'}{paper.count(abs(tokens))}"


def left(forecast: Page | None) -> Text:
    """How far a session still goes: "12 turns"."""
    if forecast is None:
        return Text("")
    turns = forecast["turns"]
    if turns is None:
        words = {"none near": "far off", "no limit": "no limit"}
        return Text(words.get(forecast["unknown"], EARLY), style="dim")
    style = "red" if turns <= SOON else ""
    return Text("1 turn" if turns == 1 else f"{paper.count(turns)} turns", style=style)


def ago(then: str | None, now: str) -> str:
    """How long ago, in four cells: "now", "12m", "3h", "2d"."""
    at, end = paper.when(then), paper.when(now)
    if at is None or end is None:
        return "-"
    seconds = max(int((end - at).total_seconds()), 0)
    for size, name in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds // size}{name}"
    return "now"


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a row stands: at which moment, under which names, below how many; `last`: of them."""

    now: str
    names: Mapping[str, str]
    depth: int = 0
    last: bool = True

    @property
    def branch(self) -> str:
        """The lines of the tree that lead to it."""
        if not self.depth:
            return ""
        return "  " * (self.depth - 1) + ("└ " if self.last else "├ ")


def _rows(grid: Grid, one: Page, place: _Place) -> None:
    style = "" if one["state"] == "active" else "dim"
    name = Text(place.branch, style="dim")
    name.append(place.names[one["id"]], style=style or ("" if place.depth else "bold"))
    grid.row({**cells(one, place.now), "SESSION": name}, style)
    depth, more = place.depth + 1, one["more"]
    if one["loop"] is not None:
        told = Text("! goes in circles: ", style="red")
        grid.note(told.append(one["loop"]["words"], style=""), 2 * depth)
    children = one["children"]
    for number, child in enumerate(children, start=1):
        last = number == len(children) and more is None
        _rows(grid, child, replace(place, depth=depth, last=last))
    if more is not None:
        count = more["agents"]
        words = "1 more agent" if count == 1 else f"{paper.count(count)} more agents"
        name = Text(replace(place, depth=depth, last=True).branch + words)
        grid.row({"SESSION": name, "COST": money(more)}, "dim")


def _foot(out: Console, page: Page, limit: int) -> None:
    shown, active = len(page["sessions"]), page["active"]
    words = f"{active} active. COST is with sub-agents; LEFT is to the first limit, at this pace."
    out.print()
    out.print(Text(words, style="dim"))
    if shown == limit:
        out.print(Text(f"These are the newest {shown}; more with --limit or --all.", style="dim"))


def _everybody(trees: Iterable[Page]) -> Iterator[tuple[Page, int]]:
    """Every session of these trees, and how deep it stands."""
    waiting = [(tree, 0) for tree in trees]
    while waiting:
        one, depth = waiting.pop()
        yield one, depth
        waiting += [(child, depth + 1) for child in one["children"]]


def _shared(one: str, other: str) -> int:
    """How many characters two names begin with alike."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))


def _utc(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
