"""`budgetd session ID`: one conversation, turn by turn: what it costs, why, and what comes next.

Shows what the status API says, and computes nothing but shares and times left.
"""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

from rich.console import Console
from rich.text import Text

from budgetd.cli import paper
from budgetd.cli import session_tables as tables
from budgetd.cli.link import Link
from budgetd.cli.sessions import Page, ago, growth_words, left, money

REASONS = {
    "too few turns": "too few turns to tell",
    "no growth": "not growing",
    "no window": "its context window is not known",
    "compacts first": "compacted before it is full",
    "resets first": "resets before it is spent",
    "costs nothing": "nothing is spent",
    "too far off": "more than 2,000 turns",
    "none near": "no limit is near",
    "no limit": "no limit",
}
SOURCES = {
    "header": "named by an X-Budgetd-Session header",
    "url": "named by its URL",
    "client": "named by its client",
    "cache_key": "named by its cache key",
    "user_id": "named by its user id",
    "counter": "named by its client's counter",
    "prefix": "recognised by its own words",
}


def show(link: Link, name: str, *, turns: int, as_json: bool) -> None:
    """All about one session. Raises CommandFault."""
    link.status()
    asked = quote(name.rstrip("…"), safe="")
    page = link.get(f"/status/sessions/{asked}?turns={turns}")
    if as_json:
        paper.print_json(page)
        return
    out = paper.console()
    _head(out, page)
    tables.causes(out, page)
    tables.tokens(out, page)
    tables.budgets(out, page)
    tables.turns(out, page)
    tables.results(out, page)
    tables.agents(out, page)


def _head(out: Console, page: Page) -> None:
    label = f", label {page['label']}" if page["label"] else ""
    title = Text(f"session {page['ref']}", style="bold")
    out.print(title.append(f" ({page['client']}, key {page['key']}{label})", style="not bold"))
    if page["loop"] is not None:
        out.print(Text("! goes in circles: ", style="red").append(page["loop"]["words"], style=""))
    looping = page["agents"]["looping"]
    if looping:
        who = "a sub-agent goes" if looping == 1 else f"{looping} sub-agents go"
        out.print(Text(f"! {who} in circles", style="red"))
    out.print()
    out.print(paper.facts(_facts(page)))


def _facts(page: Page) -> Iterator[tuple[str, object]]:
    agents, now = page["agents"], page["now"]
    cost = money(page)
    if agents["count"]:
        of = "1 sub-agent" if agents["count"] == 1 else f"{paper.count(agents['count'])} sub-agents"
        cost += f": {money(page, 'own_')} its own, {money(agents)} in {of}"
    yield "Cost", cost
    yield "Turns", _turn_words(page)
    yield "Context", _context_words(page)
    yield "Next turn", _next_words(page)
    yield "Left", _left_words(page)
    started, last = paper.clock(page["started_at"], now), paper.clock(page["last_at"], now)
    gap = ago(page["last_at"], now)
    busy = "just now" if gap == "now" else f"{gap} ago"
    yield "Time", f"began {started}, last call {last} ({busy})"
    if page["model"]:
        yield "Model", page["model"]
    if page["above"]:
        yield "Part of", ", of ".join(str(one["ref"]) for one in page["above"])
    yield "Id", f"{page['id']} ({SOURCES.get(page['source'], page['source'])})"


def _turn_words(page: Page) -> str:
    turns, calls = page["turns"], page["calls"]
    words = paper.count(turns)
    if calls != turns:
        words += f" in {paper.calls(calls)}"
    if page["cost_per_turn_usd"] is not None:
        words += f", {_mark(page)}{paper.dollars(page['cost_per_turn_usd'])} each lately"
    return words


def _context_words(page: Page) -> str:
    if not page["context_tokens"]:
        return "not known"
    words = f"{paper.count(page['context_tokens'])} tokens"
    window = page["context_window"]["tokens"]
    if window:
        words += f" of {paper.count(window)}"
    if page["growth_tokens_per_turn"] is not None:
        words += f", {growth_words(page['growth_tokens_per_turn'])} a turn"
    if page["cached_share"] is not None:
        words += f"; {page['cached_share']:.0%} of what it reads is cached"
    return words


def _next_words(page: Page) -> str:
    coming = page["next_turn"]
    warm, cold = coming["warm_usd"], coming["cold_usd"]
    if warm is None:
        return REASONS["too few turns"]
    mark = _mark(page)
    if coming["warm_until"] is None:
        return f"about {mark}{paper.dollars(warm)}; it does not use a cache"
    rest = paper.until(coming["warm_until"], page["now"])
    dear, cheap = f"{mark}{paper.dollars(cold)}", f"{mark}{paper.dollars(warm)}"
    if rest == "0s":
        return f"about {dear}: the cache is cold by now (warm: {cheap})"
    return f"about {cheap}, or {dear} once the cache is cold (in {rest})"


def _left_words(page: Page) -> str:
    first = page["forecast"]
    if first["turns"] is None:
        return REASONS.get(first["unknown"], str(first["unknown"]))
    words = str(left(first))
    if first["minutes"]:
        words += f", {_minutes(first['minutes'])} of work"
    names = {"budget": "budget ", "cap": "the cap of "}
    return f"{words}, to {names.get(first['kind'], 'the end of the ')}{first['name']}"


def _minutes(minutes: int) -> str:
    if minutes < 120:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes < 2880 else f"{minutes // 1440} d"


def _mark(page: Page) -> str:
    return "~" if page["money"] == "notional" else ""
