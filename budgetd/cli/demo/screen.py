"""The demo's screen: a picture that is drawn anew on a terminal, lines that follow one another
elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from budgetd.cli import paper
from budgetd.cli.demo.story import Part, Story
from budgetd.cli.launcher import start_command
from budgetd.core.money import PICO_PER_USD

ROWS = 5  # of calls: the whole picture fits 24 lines
CELLS = 18


class Screen(Protocol):
    """Shows a story as it grows. A terminal and a pipe are the two kinds."""

    def __enter__(self) -> Screen: ...

    def __exit__(self, *_: object) -> None: ...

    def update(self) -> None:
        """Something has changed."""


def screen_for(story: Story, out: Console) -> Screen:
    """The screen that suits the output."""
    return Picture(story, out) if out.is_terminal else Lines(story, out)


class Picture:
    """On a terminal: drawn in place."""

    def __init__(self, story: Story, out: Console) -> None:
        self._story = story
        self._live = Live(console=out, auto_refresh=False, get_renderable=self._draw)

    def __enter__(self) -> Picture:
        self._live.start(refresh=True)
        return self

    def __exit__(self, *_: object) -> None:
        self._live.refresh()
        self._live.stop()

    def update(self) -> None:
        """Draw it anew."""
        self._live.refresh()

    def _draw(self) -> RenderableType:
        return Group(*self._pieces())

    def _pieces(self) -> Iterator[RenderableType]:
        story = self._story
        yield _bars(story)
        yield Text()
        yield _calls(story)
        yield Text()
        yield _sums(story)
        for part in story.parts:
            if part.mood == "waits":
                yield Text()
                yield Text(f"{part.name} was refused, with these words, and waits:", style="yellow")
                yield Padding(Text(part.refusal), (0, 0, 0, 2), expand=False)
            elif part.mood == "goes on":
                yield Text()
                yield Text(f"the window has reset: {part.name} goes on", style="green")


def _bars(story: Story) -> Table:
    made = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for _ in range(5):
        made.add_column(no_wrap=True)
    for part in story.parts:
        budget = story.budget(part.name)
        if budget is None:
            made.add_row(Text(part.name, style="bold"), part.model, "", "", "")
            continue
        spent, limit = paper.pico(budget["spent_usd"]), paper.pico(budget["limit_usd"])
        held = paper.pico(budget["held_usd"])
        resets = paper.until(budget["resets_at"], story.status["now"])
        made.add_row(
            Text(part.name, style="bold"),
            Text(part.model, style="dim"),
            paper.bar(spent, held, limit, CELLS),
            f"{_fixed(spent, 4)} of {_fixed(limit, 2)}",
            f"resets in {resets:>3}",
        )
    return made


def _calls(story: Story) -> Table:
    money = ("COST", "HELD BEFORE")
    made = paper.table("LAST CALLS", "AGENT", "MODEL", *money, right=money)
    for row in story.calls[:ROWS]:
        open_ = row["state"] == "open"
        running = Text("running", style="dim")
        cost = running if open_ else Text(_fixed(paper.pico(row["cost_usd"]), 4))
        held = _fixed(paper.pico(row["hold_usd"]), 4)
        made.add_row(row["call"][-8:], row["key"], row["model"], cost, held)
    for _ in range(ROWS - len(story.calls)):
        made.add_row("", "", "", "", "")
    return made


def _sums(story: Story) -> Table:
    made = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    made.add_column()
    made.add_column(justify="right")
    made.add_column(style="dim")
    spent, held = ledger(story), paper.pico(story.status.get("calls", {}).get("held_usd"))
    more = f"and {_fixed(held, 4)} held for calls that run" if held else ""
    made.add_row("the provider's bill", _fixed(story.bill, 12), "")
    made.add_row("budgetd's ledger", _fixed(spent, 12), more)
    return made


def ledger(story: Story) -> int:
    """What the ledger says was spent in all."""
    day: dict[str, Any] = story.status.get("last_24h", {})
    return paper.pico(day.get("real", {}).get("spent_usd"))


def _fixed(pico: int, places: int) -> str:
    """Dollars with so many places, cut off: for figures that stand below one another."""
    whole, rest = divmod(pico, PICO_PER_USD)
    return f"${whole}.{f'{rest:012d}'[:places]}"


class Lines:
    """Not on a terminal: a line for each thing that happens."""

    def __init__(self, story: Story, out: Console) -> None:
        self._story = story
        self._out = out
        self._told: set[str] = set()
        self._moods: dict[str, str] = {}

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *_: object) -> None:
        self.update()

    def update(self) -> None:
        """Print what is new."""
        for row in reversed(self._story.calls):
            if row["state"] != "open" and row["call"] not in self._told:
                self._told.add(row["call"])
                self._out.print(Text(self._call(row)))
        for part in self._story.parts:
            if self._moods.get(part.name, "works") != part.mood:
                self._moods[part.name] = part.mood
                for line in _mood_lines(part):
                    self._out.print(Text(line))

    def _call(self, row: dict[str, Any]) -> str:
        budget = self._story.budget(row["key"])
        state = ""
        if budget is not None:
            spent, limit = paper.dollars(budget["spent_usd"]), paper.dollars(budget["limit_usd"])
            state = f"  {spent} of {limit} spent"
        return f"{row['key']:8}{row['model']:20}{paper.dollars(row['cost_usd']):>9}{state}"


def _mood_lines(part: Part) -> Iterator[str]:
    if part.mood == "waits":
        yield f"{part.name} was refused, with these words, and waits:"
        yield f"  {part.refusal}"
    elif part.mood == "goes on":
        yield f"the window has reset: {part.name} goes on"


def summary(story: Story, out: Console) -> None:
    """What has been shown, in a few lines."""
    out.print()
    for part in story.parts:
        out.print(
            f"[bold]{part.name}[/] made {paper.calls(part.calls)}, was refused at its limit, waited"
            f" {part.waited:.0f} s, and went on."
        )
    bill, spent = story.bill, ledger(story)
    out.print()
    out.print(f"the provider's bill  {_fixed(bill, 12)}")
    if bill == spent:
        out.print(f"budgetd's ledger     {_fixed(spent, 12)}  [green]equal to the pico-dollar[/]")
        out.print()
        start = paper.plain(start_command())
        out.print(f"Your agents next: [bold]{start}[/] prints the two lines that they need.")
    else:
        out.print(f"budgetd's ledger     {_fixed(spent, 12)}  [red]not equal[/]")
