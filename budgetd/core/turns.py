"""Turns: what a settled call was in its session, as one value.

What the ledger writes of a call besides its cost: its number in the session, its cost by cause,
where its tokens stood, the tool results that it brought and those that it left behind, and the
checkpoint that later requests may extend. How each of these is found out is not known here.
"""

from __future__ import annotations

from dataclasses import dataclass

from budgetd.core.causes import Split
from budgetd.core.context import Makeup
from budgetd.core.loops import Suspicion
from budgetd.core.sessions import Kind, Session
from budgetd.core.transcript import Checkpoint


@dataclass(frozen=True, slots=True)
class Carried:
    """A tool result that is new in this request. `place` is its item's number in the history."""

    place: int
    tool: str
    tokens: int


@dataclass(frozen=True, slots=True)
class Turn:
    """What a settled call was in its session. `number` counts the session's turns from 1, and is 0
    for other kinds; `resent` are tokens of the input that an earlier call had read too; `kept` are
    items of the earlier history that are still there: results at a place >= kept are gone. The
    tokens of its checkpoint are those of its makeup: one without the other is not kept.
    """

    session: Session
    kind: Kind
    number: int
    split: Split
    makeup: Makeup | None  # None: the provider reported nothing usable
    resent: int
    checkpoint: Checkpoint | None
    results: tuple[Carried, ...]
    kept: int
    suspicion: Suspicion | None
