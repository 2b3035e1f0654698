"""`budgetd status`: where the money stands, on one screen; and one key in detail.

Shows what the status API says and computes nothing but shares and times left.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from budgetd.cli import paper
from budgetd.cli.paper import plain

Page = dict[str, Any]

NEWEST = 8
CALL_ID = 20  # characters of a call's identifier
MOST_STAND_INS = 5  # models without a price of their own that are shown
MONEY_NAMES = {"real": "Last 24 h", "notional": "Flat-rate"}


def show(page: Page, url: str) -> None:
    """The overview of a daemon."""
    out = paper.console()
    up = paper.until(page["now"], page["started_at"])
    out.print(f"[bold]budgetd {plain(page['version'])}[/] at {plain(url)}, up {up}")
    out.print()
    out.print(_owners(page["keys"], page["now"], first="KEY"))
    if page["everything"]:
        out.print()
        out.print(_budgets(page["everything"], page["now"], first="ALL TOGETHER"))
    if page["labels"]:
        out.print()
        out.print(_owners(page["labels"], page["now"], first="LABEL"))
    out.print()
    out.print(paper.facts(_totals(page)))
    _warn(out, page)
    _refusals(out, page["recent_refusals"], page["now"], title="Newest refusals")


def show_key(page: Page, now: str) -> None:
    """One key: budgets, tokens, models, newest calls and refusals."""
    out = paper.console()
    out.print(f"[bold]key {plain(page['name'])}[/]{_nature(page)}")
    if page["stopped"]:
        since, note = paper.clock(page["stopped"]["since"], now), page["stopped"]["note"]
        out.print(f"[red]stopped[/] since {since}{f': {plain(note)}' if note else ''}")
        out.print(f"  lift it: budgetd stop {plain(page['name'])} --lift")
    out.print()
    if page["budgets"]:
        out.print(_budgets(page["budgets"], now, first="BUDGET"))
    else:
        out.print("no budget of its own: only what binds everything together limits it")
    for budget in page["each"]:
        out.print(f"{plain(budget['name'])}: {paper.budget_words(budget)}, to each by itself")
    for budget in page["budgets"]:
        if paper.pico(budget["topped_up_usd"]):
            more = paper.dollars(budget["topped_up_usd"])
            out.print(f"{plain(budget['name'])}: {more} of the limit are top-ups")
    _tokens(out, page["tokens"], now)
    _models(out, page["models_30d"])
    _calls(out, page["calls"], now)
    _refusals(out, page["refusals"], now, title="Newest refusals")


def _nature(page: Page) -> str:
    """What kind of key it is, in a few words."""
    words = []
    if page["pattern"]:
        words.append(f"from the pattern {plain(page['pattern'])}")
    words.append(
        "known by a budgetd token" if page["custody"] == "issued" else "agents' own credentials"
    )
    if page["provider"]:
        words.append(f"to {plain(page['provider'])}")
    if page["observe"]:
        words.append("only observed")
    if page["expires_at"]:
        words.append(f"expires {paper.clock(page['expires_at'])}")
    return f" ({', '.join(words)})"


def _grid(first: str) -> Table:
    # One space between columns and not two: the widest sensible row is then 79 wide.
    made = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1, 0, 0))
    made.add_column(first, no_wrap=True, overflow="ellipsis", max_width=20)
    made.add_column("WINDOW", no_wrap=True, overflow="ellipsis", max_width=26)
    for name in ("SPENT", "LIMIT"):
        made.add_column(name, no_wrap=True, justify="right")
    made.add_column("", no_wrap=True)
    for name in ("USED", "HELD", "RESETS IN"):
        made.add_column(name, no_wrap=True, justify="right")
    return made


def _owners(owners: list[Page], now: str, *, first: str) -> Table:
    """Keys or labels, each with its budgets."""
    made = _grid(first)
    for owner in owners:
        name = Text(owner["name"])
        if owner.get("stopped"):
            name = Text(f"■ {owner['name']}", style="red")
        elif owner.get("observe"):
            name.append(" (observed)", style="dim")
        if not owner["budgets"]:
            each = "of its sessions only" if owner.get("each") else "no budget"
            made.add_row(name, Text(each, style="dim"))
        for budget in owner["budgets"]:
            made.add_row(name, *_row(budget, now, 10))
            name = Text("")
    return made


def _budgets(budgets: list[Page], now: str, *, first: str) -> Table:
    made = _grid(first)
    for budget in budgets:
        name, window = budget["name"], budget["window"]
        made.add_row("" if name == window else Text(name), *_row(budget, now, 10, window=window))
    return made


def _row(budget: Page, now: str, cells: int, window: str = "") -> Iterator[Text]:
    spent, limit = paper.pico(budget["spent_usd"]), paper.pico(budget["limit_usd"])
    held = paper.pico(budget["held_usd"])
    quiet = "dim" if budget["observe"] or budget["counts"] == "notional" else ""
    label = window or budget["name"]
    if budget["counts"] == "notional":
        label = f"~{label}"  # dollars that nobody pays per token
    yield Text(label, style=quiet)
    yield Text(paper.dollars(budget["spent_usd"]), style=quiet)
    yield Text(paper.dollars(budget["limit_usd"]), style=quiet)
    yield paper.bar(spent, held, limit, cells)
    yield Text(paper.percent(spent, limit))
    yield Text(paper.dollars(budget["held_usd"]) if held else "-", style="dim" if not held else "")
    yield Text(paper.until(budget["resets_at"], now))


def _totals(page: Page) -> Iterator[tuple[str, object]]:
    day = page["last_24h"]
    for money, name in MONEY_NAMES.items():
        if money in day or money == "real":
            yield name, _spend_words(day.get(money))
    calls = page["calls"]
    held = paper.dollars(calls["held_usd"])
    yield "Open now", f"{paper.calls(calls['open'])}, holding {held}"
    active = page["sessions"]["active"]
    if active:
        yield "Sessions", f"{active} active; see them with: budgetd sessions"
    prices = page["prices"]
    if prices:
        yield "Prices", f"{prices['source']}, data up to {prices['as_of']}"
    for model, priced_by in sorted(page.get("stand_in_prices", {}).items())[:MOST_STAND_INS]:
        yield "No price", f"{model}: charged by {priced_by}"
    yield "Config", page["config"]["file"]


def _spend_words(sums: Page | None) -> str:
    if not sums or not sums["calls"]:
        return "nothing spent"
    spent, guessed = paper.pico(sums["spent_usd"]), paper.pico(sums["estimated_usd"])
    words = f"{paper.dollars(sums['spent_usd'])} in {paper.calls(sums['calls'])}"
    if guessed:
        words += f", {_share(guessed, spent)} of it estimated"
    if paper.pico(sums["retried_usd"]):
        words += f", {paper.dollars(sums['retried_usd'])} on retries"
    tokens = f"{paper.count(sums['input_tokens'])} in"
    if sums["cached_tokens"]:
        tokens += f" ({paper.count(sums['cached_tokens'])} from cache)"
    return f"{words}; tokens: {tokens}, {paper.count(sums['output_tokens'])} out"


def _share(part: int, whole: int) -> str:
    if whole <= 0:
        return "all"
    share = part * 100 / whole
    return "under 1%" if share < 1 else f"{share:.0f}%"


def _warn(out: Console, page: Page) -> None:
    """What somebody should look at."""
    orphans = page["orphans_24h"]
    if orphans["calls"]:
        charged = paper.dollars(orphans["charged_usd"])
        out.print(
            f"[yellow]![/] cut off by a crash and charged in full:"
            f" {paper.calls(orphans['calls'])}, {charged}"
        )
    for one in page["sessions"]["looping"]:
        told = f"session {plain(one['ref'])} goes in circles: {plain(one['loop']['words'])}"
        out.print(f"[red]![/] {told}")
        out.print(f"    look at it: budgetd session {plain(one['id'])}")
    if page["clock_in_doubt"]:
        out.print(f"[yellow]![/] the clock is in doubt: {plain(page['clock_in_doubt'])}")
    if page["config"]["error"]:
        out.print("[red]![/] the configuration file has mistakes; the one before is in force:")
        for line in page["config"]["error"].splitlines():
            out.print(f"    {plain(line.strip())}")
    for warning in page["config"]["warnings"]:
        out.print(f"[yellow]![/] {plain(warning)}")
    for stop in page["stops"]:
        subject = stop["subject"].removeprefix("key:")
        note = f" ({plain(stop['note'])})" if stop["note"] else ""
        who = "everything is" if subject == "all" else f"key {plain(subject)} is"
        out.print(f"[red]■[/] {who} stopped since {paper.clock(stop['since'], page['now'])}{note}")
        target = "--all" if subject == "all" else plain(subject)
        out.print(f"    lift it: budgetd stop {target} --lift")


def _tokens(out: Console, tokens: list[Page], now: str) -> None:
    if not tokens:
        return
    made = paper.table("TOKEN", "ISSUED", "EXPIRES", "")
    for token in tokens:
        expired = token["expires_at"] and paper.until(token["expires_at"], now) == "0s"
        state = "revoked" if token["revoked_at"] else "expired" if expired else "valid"
        style = "green" if state == "valid" else "red"
        made.add_row(
            plain(token["hint"]),
            paper.clock(token["issued_at"]),
            paper.clock(token["expires_at"]),
            Text(state, style=style),
        )
    out.print()
    out.print(made)


def _models(out: Console, models: list[Page]) -> None:
    if not models:
        return
    figures = ("CALLS", "IN", "CACHED", "OUT", "COST")
    made = paper.table("MODEL, 30 DAYS", *figures, right=figures)
    made.columns[0].max_width = 36
    for row in models:
        about = "~" if row["money"] == "notional" else ""
        made.add_row(
            plain(f"{row['provider']}/{row['model']}"),
            paper.count(row["calls"]),
            *(paper.count(row[f"{kind}_tokens"]) for kind in ("input", "cached", "output")),
            about + paper.dollars(row["spent_usd"]),
        )
    out.print()
    out.print(made)


def _calls(out: Console, calls: list[Page], now: str) -> None:
    if not calls:
        return
    made = paper.table("CALL", "AT", "MODEL", "COST", "", right=("COST",))
    made.columns[0].min_width = CALL_ID  # whole, whatever else must give way: it is typed again
    made.columns[2].max_width = 20
    made.columns[4].no_wrap = False  # a long ending is wrapped, and squeezes nothing
    for row in calls[:NEWEST]:
        made.add_row(
            plain(row["call"]),
            paper.clock(row["at"], now)[-8:],
            plain(row["model"]),
            paper.dollars(row["cost_usd"]),
            Text(_ending(row), style="dim"),
        )
    out.print()
    out.print(made)


def _ending(row: Page) -> str:
    """How a call ended, where that is worth a word."""
    if row["state"] == "open":
        return f"open, holds {paper.dollars(row['hold_usd'])}"
    words = [row["cause"] or ("" if row["state"] == "settled" else row["state"])]
    words += ["estimated"] if row["estimated"] else []
    words += ["retry"] if row["retry_of"] else []
    return ", ".join(word.replace("_", " ") for word in words if word)


def _refusals(out: Console, refusals: list[Page], now: str, *, title: str) -> None:
    if not refusals:
        return
    made = paper.table(title.upper(), "KEY", "WHY")
    made.columns[2].no_wrap = False
    made.columns[1].max_width = 24
    for row in refusals[:3]:
        made.add_row(paper.clock(row["at"], now), plain(row["key"]), plain(_reason(row)))
    out.print()
    out.print(made)


def _reason(row: Page) -> str:
    """Why, with the budgets' figures of that moment."""
    budgets = row.get("budgets")
    if not isinstance(budgets, list):
        return f"{row['reason']} ({row['note']})" if row.get("note") else str(row["reason"])
    words = f"{row['reason']}, budget {'; '.join(map(_figures, budgets))}"
    return f"{words}; needed {paper.dollars(row['needs'])}" if row.get("needs") else words


def _figures(one: Page) -> str:
    """A budget as it stood when it refused."""
    kind, _, whose = str(one.get("subject", "")).partition(":")
    of = f" of {kind} {whose}" if kind in {"label", "session", "agent"} else ""
    words = f"{one['budget']}{of}: {paper.dollars(one['settled'])} of {paper.dollars(one['limit'])}"
    held = one.get("held")
    return f"{words}, {paper.dollars(held)} held by others" if paper.pico(held) else words
