"""The bill: what the provider would charge, one line for each request it would charge for.

Owns the lines and, if given a path, an append-only journal of them: one JSON object per line,
written by a single `write` without buffering, so that what was charged survives a kill of this
process as well. A charge is recorded *before* the bytes that it pays for are offered to the
socket: whatever instant a reader dies at, nothing was delivered that is not on the bill.
The total counts open lines too. It knows nothing of HTTP; time is given by the caller.

Journal records, in order, all amounts decimal strings of pico-dollars:
  {"kind": "begin", "id", "model", "tier", "at", "tokens": {...}, "pico"}   generation began
  {"kind": "delta", "id", "tokens": {...}, "pico"}                          before a charged write
  {"kind": "end",   "id", "at", "how", "tokens": {...}, "pico"}             the line is final
  {"kind": "reset"}                                                         forget all lines above
Tokens and `pico` are the line's totals so far, so the last record of an id is the truth.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from budgetd.simulator.prices import Model, Tokens

How = Literal["open", "complete", "client_left", "fault"]


@dataclass(frozen=True, slots=True)
class BillLine:
    """What one request costs. Times are Unix seconds; `how` says why it ended, or "open"."""

    id: str
    model: str
    tier: str
    tokens: Tokens
    pico: int
    began_at: float
    ended_at: float | None = None
    how: How = "open"

    @property
    def ended(self) -> bool:
        """Whether the line is final."""
        return self.how != "open"

    def as_json(self) -> dict[str, object]:
        """The line as plain values; `pico` as a decimal string."""
        return asdict(self) | {"pico": str(self.pico), "ended": self.ended}


class Bill:
    """All lines in the order in which they began. Not safe to share between threads."""

    def __init__(self, wall: Callable[[], float], path: Path | None = None) -> None:
        self._wall = wall
        self._lines: dict[str, BillLine] = {}
        self._total = 0
        self._file = None if path is None else os.open(path, _APPEND, 0o600)

    @property
    def lines(self) -> tuple[BillLine, ...]:
        """Every line, open ones included."""
        return tuple(self._lines.values())

    @property
    def total_pico(self) -> int:
        """Pico-dollars charged so far."""
        return self._total

    def line(self, line_id: str) -> BillLine:
        """The line of one request; KeyError if it was not charged."""
        return self._lines[line_id]

    def begin(self, line_id: str, model: Model, tokens: Tokens, tier: str) -> Meter:
        """Charge a prompt: generation begins. Returns the meter that output is charged with."""
        pico = model.cost(tokens, tier)
        line = BillLine(line_id, model.name, tier, tokens, pico, began_at=self._wall())
        self._put(line)
        head = {"model": line.model, "tier": tier, "at": line.began_at}
        self._write("begin", line, head)
        return Meter(self, line_id, model)

    def charge(self, line_id: str, model: Model, tokens: Tokens) -> None:
        """Set the totals of an open line; used by its meter before each write."""
        old = self._lines[line_id]
        line = replace(old, tokens=tokens, pico=model.cost(tokens, old.tier))
        self._put(line)
        self._write("delta", line, {})

    def end(self, line_id: str, how: How) -> None:
        """Close a line; closing twice changes nothing."""
        old = self._lines.get(line_id)
        if old is None or old.ended:
            return
        line = replace(old, how=how, ended_at=self._wall())
        self._put(line)
        self._write("end", line, {"at": line.ended_at, "how": how})

    def reset(self) -> None:
        """Forget all lines; requests that are still running are no longer charged."""
        self._lines.clear()
        self._total = 0
        if self._file is not None:
            os.write(self._file, b'{"kind": "reset"}\n')

    def as_json(self) -> dict[str, object]:
        """What `GET /_sim/bill` answers."""
        return {
            "total_pico": str(self._total),
            "lines": [line.as_json() for line in self._lines.values()],
        }

    def close(self) -> None:
        """Close the journal; the lines stay readable."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def knows(self, line_id: str) -> bool:
        """Whether there is a line for this request."""
        return line_id in self._lines

    def _put(self, line: BillLine) -> None:
        old = self._lines.get(line.id)
        self._total += line.pico - (0 if old is None else old.pico)
        self._lines[line.id] = line

    def _write(self, kind: str, line: BillLine, head: Mapping[str, object]) -> None:
        if self._file is None:
            return
        record = {"kind": kind, "id": line.id, **head}
        record |= {"tokens": asdict(line.tokens), "pico": str(line.pico)}
        os.write(self._file, json.dumps(record).encode() + b"\n")


_APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND


class Meter:
    """Charges the output of one request. After a reset of the bill it charges nothing."""

    def __init__(self, bill: Bill, line_id: str, model: Model) -> None:
        self._bill = bill
        self._id = line_id
        self._model = model

    def add(self, *, output: int = 0, reasoning: int = 0, searches: int = 0) -> None:
        """Charge what was just generated; `reasoning` is a part of `output`."""
        if not self._bill.knows(self._id) or not (output or searches):
            return
        old = self._bill.line(self._id).tokens
        tokens = replace(
            old,
            output=old.output + output,
            reasoning=old.reasoning + reasoning,
            searches=old.searches + searches,
        )
        self._bill.charge(self._id, self._model, tokens)

    def raise_to(self, whole: Tokens) -> None:
        """Charge the whole answer, delivered or not."""
        if self._bill.knows(self._id) and self._bill.line(self._id).tokens != whole:
            self._bill.charge(self._id, self._model, whole)

    def end(self, how: How) -> None:
        """Close the line."""
        self._bill.end(self._id, how)


def read_bill(path: Path) -> tuple[BillLine, ...]:
    """The lines in a journal, from the last record of each; a torn last record is ignored."""
    lines: dict[str, BillLine] = {}
    for raw in path.read_bytes().split(b"\n")[:-1]:
        record = json.loads(raw)
        if record["kind"] == "reset":
            lines.clear()
            continue
        tokens, pico = Tokens(**record["tokens"]), int(record["pico"])
        line_id = str(record["id"])
        if record["kind"] == "begin":
            lines[line_id] = BillLine(
                line_id, record["model"], record["tier"], tokens, pico, began_at=record["at"]
            )
            continue
        line = replace(lines[line_id], tokens=tokens, pico=pico)
        if record["kind"] == "end":
            line = replace(line, ended_at=record["at"], how=record["how"])
        lines[line_id] = line
    return tuple(lines.values())
