"""A grid: columns that make room for one another, with notes between the rows.

For tables that have more to say than a narrow terminal can hold: the columns that matter least go
first, one column takes what is left, and a note may stand under a row over the whole width. Knows
nothing of what it shows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from rich.console import Console
from rich.text import Text

GAP = 1


@dataclass(frozen=True, slots=True)
class Column:
    """A column and its cells' width. Those with a higher `spare` are left out first, 0 never;
    `grow`: it takes the room that is left, up to so many cells more.
    """

    name: str
    width: int
    right: bool = True
    spare: int = 0
    grow: int = 0


def fitted(columns: Sequence[Column], room: int) -> list[Column]:
    """The columns that fit into so many cells, the growing ones grown."""
    chosen = list(columns)
    while _needed(chosen) > room and any(column.spare for column in chosen):
        chosen.remove(max(reversed(chosen), key=lambda column: column.spare))
    for number, column in enumerate(chosen):
        more = min(max(room - _needed(chosen), 0), column.grow)
        chosen[number] = replace(column, width=column.width + more)
    return chosen


class Grid:
    """Prints rows as they come."""

    def __init__(self, out: Console, columns: Sequence[Column]) -> None:
        self._out = out
        self._columns = fitted(columns, out.width)
        self.names = [column.name for column in self._columns]

    def width(self, name: str) -> int:
        """Cells of a column, 0 if it is not there."""
        return sum(column.width for column in self._columns if column.name == name)

    def head(self, titles: Mapping[str, str] | None = None) -> None:
        """The columns' names, or what they are called instead."""
        names = {column.name: column.name for column in self._columns}
        self._print({**names, **(titles or {})}, "bold")

    def row(self, cells: Mapping[str, str | Text], style: str = "") -> None:
        """One row, by the columns' names; a cell of a column that was left out is left out."""
        self._print(cells, style)

    def note(self, text: str | Text, indent: int = 2) -> None:
        """Words under the row before, folded."""
        words = text if isinstance(text, Text) else Text(text)
        room = max(self._out.width - indent, 20)
        for line in words.wrap(self._out, room):
            self._line([Text(" " * indent), line])

    def _print(self, cells: Mapping[str, str | Text], style: str) -> None:
        parts: list[Text] = []
        for column in self._columns:
            cell = cells.get(column.name, "")
            text = cell.copy() if isinstance(cell, Text) else Text(cell, style)
            text.truncate(column.width, overflow="ellipsis")
            text.align("right" if column.right else "left", column.width)
            parts += [text, Text(" " * GAP)]
        self._line(parts)

    def _line(self, parts: Iterable[Text]) -> None:
        line = Text.assemble(*parts)
        line.rstrip()
        self._out.print(line, no_wrap=True, overflow="crop")


def _needed(columns: Sequence[Column]) -> int:
    return sum(column.width for column in columns) + GAP * max(len(columns) - 1, 0)
