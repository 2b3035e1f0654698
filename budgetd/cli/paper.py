"""Paper: what the commands print on.

Owns the console, the plain table that every command uses, and how money, time and shares look in
eighty columns. Colours only on a terminal; a line is never wider than the terminal, and never wider
than eighty columns where there is none.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from budgetd.core.money import PICO_PER_USD, pico_from_usd, usd_display

BAR = 16  # cells


def console(*, stderr: bool = False) -> Console:
    """A console for this moment's standard output or error."""
    return Console(stderr=stderr, highlight=False, soft_wrap=False)


def print_json(data: object) -> None:
    """Data for machines: one indented document."""
    print(json.dumps(data, indent=2, ensure_ascii=False))


def table(*columns: str, right: Iterable[str] = ()) -> Table:
    """A table without lines: headers in bold, `right` ones right-aligned, one space at the left."""
    made = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    wide = set(right)
    for name in columns:
        made.add_column(
            name,
            justify="right" if name in wide else "left",
            overflow="ellipsis" if name not in wide else "fold",
            no_wrap=True,
        )
    return made


def facts(rows: Iterable[tuple[str, object]]) -> Table:
    """Names and values, one a line; long values are folded beside their names."""
    made = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    made.add_column(style="dim", no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in rows:
        made.add_row(name, value if isinstance(value, Text) else plain(str(value)))
    return made


def plain(text: object) -> str:
    """Words of others, which may not be markup."""
    return escape(str(text))


def dollars(amount: str | None) -> str:
    """A status page's decimal text as a person reads money."""
    return usd_display(pico_from_usd(amount)) if amount is not None else "-"


def brief(amount: str | None) -> str:
    """Money in a column of many: "$14.02", "$0.88", "$0.031", "$0.0042": cents, or two digits. What
    is less than a hundredth of a cent is "<$0.0001", so that it fits.
    """
    if amount is None:
        return "-"
    size, unit = abs(pico_from_usd(amount)), PICO_PER_USD // 100
    if 0 < size < PICO_PER_USD // 10_000:
        return "<$0.0001"
    while size < 10 * unit and unit > PICO_PER_USD // 10_000 and size:
        unit //= 10
    rounded = (size + unit // 2) // unit * unit
    return usd_display(-rounded if amount.startswith("-") else rounded)


def pico(amount: str | None) -> int:
    """A status page's decimal text as pico-dollars."""
    return pico_from_usd(amount) if amount else 0


def bar(spent: int, held: int, limit: int, cells: int = BAR) -> Text:
    """How much of a limit is spent (solid) and held (light); red from 90 %, yellow from 70 %."""
    whole = max(limit, 1)
    share = min(spent / whole, 1.0) if limit > 0 else 1.0
    full = min(int(share * cells + 0.5), cells)
    taken = min(int(min((spent + held) / whole, 1.0) * cells + 0.5), cells) if limit > 0 else full
    colour = "red" if share >= 0.9 else "yellow" if share >= 0.7 else "green"
    text = Text("█" * full, style=colour)
    text.append("▒" * (taken - full), style=colour)
    return text.append("░" * (cells - taken), style="bright_black")


def percent(spent: int, limit: int) -> str:
    """A share of a limit in whole percent, rounded down: 100 % means all of it."""
    return f"{min(spent * 100 // limit, 999)}%" if limit > 0 else "-"


def when(text: str | None) -> datetime | None:
    """An instant of a status page."""
    return datetime.fromisoformat(text) if text else None


def until(then: str | None, now: str) -> str:
    """How long until an instant: "45s", "37m", "4h10m", "6d3h"; "never"."""
    end, at = when(then), when(now)
    if end is None or at is None:
        return "never"
    seconds = max(int((end - at).total_seconds()), 0)
    if seconds < 60:
        return f"{seconds}s"
    minutes, seconds = divmod(seconds, 60)
    if minutes < 10:
        return f"{minutes}m{seconds:02d}s"
    hours, minutes = divmod(minutes, 60)
    if hours == 0:
        return f"{minutes}m"
    if hours < 48:
        return f"{hours}h{minutes:02d}m"
    days, hours = divmod(hours, 24)
    return f"{days}d{hours}h"


def clock(text: str | None, now: str | None = None) -> str:
    """An instant in local time, with its date unless it is `now`'s."""
    at, today = when(text), when(now)
    if at is None:
        return "-"
    local = at.astimezone()
    if today is not None and local.date() == today.astimezone().date():
        return local.strftime("%H:%M:%S")
    return local.strftime("%Y-%m-%d %H:%M")


def count(number: int) -> str:
    """A count of tokens or calls: "812", "41.2k", "3.1M"."""
    if number < 10_000:
        return f"{number:,}"
    if number < 10_000_000:
        return f"{number / 1000:.1f}k" if number < 1_000_000 else f"{number / 1e6:.2f}M"
    return f"{number / 1e6:.0f}M"


def calls(number: int) -> str:
    """So many calls: "1 call", "41.2k calls"."""
    return "1 call" if number == 1 else f"{count(number)} calls"


def budget_words(budget: dict[str, Any]) -> str:
    """What a budget allows: "$5.00 per 5h", "$50.00 in total", "$2.00 per session of gpt-*"."""
    window, scope = budget["window"], budget["per"]
    words = [dollars(budget["limit_usd"])]
    if window != "total":
        words.append(f"per {window}")
    elif not scope:
        words.append("in total")
    words += [f"per {scope}"] if scope else []
    words += [f"of {', '.join(map(plain, budget['models']))}"] if budget["models"] else []
    return " ".join(words)
