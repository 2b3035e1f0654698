"""The tables of `budgetd session`: causes, tokens, budgets, turns, tool results, sub-agents.

Each takes a session's page of the status API and prints nothing where there is nothing to tell.
"""

from __future__ import annotations

from collections import Counter

from rich.console import Console
from rich.text import Text

from budgetd.cli import paper
from budgetd.cli.grid import Column, Grid
from budgetd.cli.sessions import COLUMNS, Page, left, listing

RESULTS = 8  # tool results that are told
BAR = 16

CAUSES = (
    ("fresh", "fresh work"),
    ("reread", "context read again"),
    ("cold", "cold cache"),
    ("agents", "sub-agents"),
    ("side", "side calls"),
    ("retry", "retries"),
    ("loop", "suspected loop"),
)
PARTS = (
    ("system", "system prompt and tools"),
    ("history", "history, sent again"),
    ("results", "new tool results"),
    ("user", "new words of the user"),
    ("output", "written by the model"),
)
KINDS = {"side": "side call", "heartbeat": "heartbeat", "cron": "cron"}
LIMITED = {"resets first": "enough", "too far off": "far off", "costs nothing": "no cost"}


def causes(out: Console, page: Page) -> None:
    """Where the money went; with the session's own part, where it has sub-agents."""
    for kind, mark in (("real", ""), ("notional", "~")):
        tree, own = page["causes"][kind]["tree"], page["causes"][kind]["own"]
        whole = sum(map(paper.pico, tree.values()))
        if not whole:
            continue
        grid = Grid(out, _shares("WHERE THE MONEY WENT", "COST"))
        out.print()
        grid.head()
        for name, words in CAUSES:
            amount = paper.pico(tree[f"{name}_usd"])
            style = "dim" if not amount else "red" if name == "loop" else ""
            cells: dict[str, str | Text] = {
                "WHERE THE MONEY WENT": words,
                "COST": mark + paper.dollars(tree[f"{name}_usd"]) if amount else "-",
                "SHARE": _share(amount, whole),
                "": _bar(amount, whole),
            }
            mine = paper.pico(own[f"{name}_usd"])
            if mine != amount and name != "agents":
                cells[" "] = Text(f"{mark}{paper.dollars(own[f'{name}_usd'])} its own", "dim")
            grid.row(cells, style)


def tokens(out: Console, page: Page) -> None:
    """Where the tokens of the session's own calls stood."""
    sums = page["tokens"]
    whole = sums["input"] + sums["output"]
    if not whole:
        return
    grid = Grid(out, _shares("WHERE THE TOKENS WENT", "TOKENS"))
    out.print()
    grid.head()
    for name, words in PARTS:
        cells: dict[str, str | Text] = {
            "WHERE THE TOKENS WENT": words,
            "TOKENS": paper.count(sums[name]) if sums[name] else "-",
            "SHARE": _share(sums[name], whole),
            "": _bar(sums[name], whole),
        }
        grid.row(cells, "" if sums[name] else "dim")
    words = f"{paper.count(sums['input'])} read in {paper.calls(sums['calls'])}"
    cached = _share(sums["cached"], sums["input"]) if sums["cached"] else "none"
    words += f", {cached} of it from the cache"
    if sums["unreported_calls"]:
        words += f"; of {paper.calls(sums['unreported_calls'])} nothing was reported"
    grid.note(Text(words, "dim"), 0)


def budgets(out: Console, page: Page) -> None:
    """The budgets that bind it, and how far they reach."""
    if not page["budgets"]:
        return
    columns = (
        Column("BUDGET", 12, right=False, grow=20),
        Column("OF", 12, right=False, spare=1, grow=14),
        Column("SPENT", 8),
        Column("LIMIT", 8),
        Column("", 8, right=False, spare=4),
        Column("USED", 5, spare=2),
        Column("RESETS IN", 9, spare=3),
        Column("LEFT", 9),
    )
    grid = Grid(out, columns)
    out.print()
    grid.head()
    for budget in page["budgets"]:
        spent, limit = paper.pico(budget["spent_usd"]), paper.pico(budget["limit_usd"])
        mark = "~" if budget["counts"] == "notional" else ""
        cells = {
            "BUDGET": budget["name"],
            "OF": _whose(budget, page),
            "SPENT": mark + paper.dollars(budget["spent_usd"]),
            "LIMIT": mark + paper.dollars(budget["limit_usd"]),
            "": paper.bar(spent, paper.pico(budget["held_usd"]), limit, 8),
            "USED": paper.percent(spent, limit),
            "RESETS IN": paper.until(budget["resets_at"], page["now"]),
            "LEFT": _reach(budget["forecast"]),
        }
        grid.row(cells, "dim" if budget["observe"] else "")


def turns(out: Console, page: Page) -> None:
    """Its newest calls, as they followed one another."""
    steps = page["steps"]
    if not steps:
        return
    columns = (
        Column("TURN", 5),
        Column("AT", 8, spare=2),
        Column("SYSTEM", 6, spare=1),
        Column("HISTORY", 7),
        Column("RESULTS", 7),
        Column("USER", 6),
        Column("OUT", 6),
        Column("CACHED", 6, spare=3),
        Column("COST", 8),
        Column("WHAT", 11, right=False, grow=40),
    )
    grid = Grid(out, columns)
    out.print()
    grid.head()
    for step in reversed(steps):
        parts = step["tokens"] or {}
        read, cached = step["input_tokens"], step["cached_tokens"]
        what, style = _what(step)
        grid.row(
            {
                "TURN": str(step["number"] or "-"),
                "AT": paper.clock(step["at"], page["now"])[-8:],
                **{
                    name.upper(): paper.count(parts[name]) if parts.get(name) else "-"
                    for name in ("system", "history", "results", "user")
                },
                "OUT": paper.count(parts["output"]) if parts.get("output") else "-",
                "CACHED": _share(cached, read) if read and cached is not None else "-",
                "COST": _cost(step),
                "WHAT": Text(what, style),
            }
        )
    shown, calls = len(steps), page["calls"]
    words = (
        [f"the newest {shown} of {paper.calls(calls)}; more with --turns"] if shown < calls else []
    )
    models = Counter(step["model"] for step in steps)
    if len(models) > 1:
        words.append(", ".join(f"{model} {times}x" for model, times in models.most_common()))
    for line in words:
        grid.note(Text(line, "dim"), 0)


def results(out: Console, page: Page) -> None:
    """The tool results that were the dearest to carry along."""
    carried = [one for one in page["results"] if one["resent_times"]][:RESULTS]
    if not carried:
        return
    out.print()
    grid = Grid(out, (Column("DEAREST TOOL RESULTS TO CARRY ALONG", 40, right=False),))
    grid.head()
    mark = "~" if page["money"] == "notional" else ""
    for one in carried:
        times = "once" if one["resent_times"] == 1 else f"{one['resent_times']:,} times"
        words = (
            f"{one['tool']} at turn {one['turn']}: {one['tokens']:,} tokens, re-sent {times}"
            f" = {one['resent_tokens']:,} tokens, {mark}{paper.dollars(one['cost_usd'])} so far"
        )
        grid.note(words + (", no longer sent" if one["dropped"] else ""), 0)


def agents(out: Console, page: Page) -> None:
    """Its sub-agents, the dearest ones."""
    if not page["children"]:
        return
    out.print()
    told = [column for column in COLUMNS if column.name not in {"GROWTH", "$/TURN", "LEFT"}]
    listing(out, page["children"], page["now"], title="SUB-AGENTS", columns=told)
    if page["more"] is not None:
        hidden = page["more"]["agents"]
        out.print(Text(f"and {paper.count(hidden)} more", "dim"))


def _shares(title: str, figure: str) -> tuple[Column, ...]:
    return (
        Column(title, 26, right=False),
        Column(figure, 9),
        Column("SHARE", 6),
        Column("", BAR, right=False, spare=2),
        Column(" ", 16, right=False, spare=1),
    )


def _share(part: int, whole: int) -> str:
    if not part or whole <= 0:
        return "-"
    return "<1%" if part * 100 < whole else f"{min(part * 100 // whole, 100)}%"


def _bar(part: int, whole: int) -> Text:
    return Text("█" * (part * BAR // max(whole, 1)), "blue")


def _whose(budget: Page, page: Page) -> str:
    """What a budget sits on."""
    sort, _, name = budget["subject"].partition(":")
    if sort == "all":
        return "everything"
    if sort == "agent" or name == page["id"]:
        return "this session"
    if sort == "session":
        above = next((one["ref"] for one in page["above"] if one["id"] == name), "its tree")
        return f"{above}"
    return f"{sort} {name}"


def _reach(forecast: Page) -> Text:
    why = forecast["unknown"]
    if why in LIMITED:
        return Text(LIMITED[why], "dim")
    return left({"turns": forecast["turns"], "unknown": why})


def _cost(step: Page) -> str:
    mark = "~" if step["money"] == "notional" else ""
    return f"{mark}{paper.dollars(step['cost_usd'])}{'?' if step['estimated'] else ''}"


def _what(step: Page) -> tuple[str, str]:
    """What is worth saying of a call, and its style."""
    words: list[str] = []
    style = "dim"
    if step["loop"] is not None:
        words, style = ["in circles"], "red"
    if step["cause"] == "retry":
        words.append("retry")
    if step["kind"] != "turn":
        words.append(KINDS.get(step["kind"]) or step["kind"])
    if paper.pico(step["cold_usd"]):
        words.append(f"cold {paper.brief(step['cold_usd'])}")
        style = "yellow" if style == "dim" else style
    if step["state"] != "settled":
        words.append(step["state"].replace("_", " "))
    return ", ".join(words), style
