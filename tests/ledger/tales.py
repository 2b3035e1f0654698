"""What session tests tell the ledger: conversations, turn by turn, with figures a person can follow.

A `Tale` writes a session as the daemon does, through admit and settle. Prices are a Sonnet's: $3 a
million tokens in, $0.30 from the cache, $3.75 to it, $15 out. Nothing here is measured.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from itertools import count

from budgetd.core.budgets import Admit, Budget, Money, Quote
from budgetd.core.causes import cause_of, split, whole
from budgetd.core.context import Makeup
from budgetd.core.loops import Suspicion
from budgetd.core.prices import RateCard, price
from budgetd.core.sessions import Kind, Session, session_id
from budgetd.core.settlement import Settlement
from budgetd.core.turns import Carried, Turn
from budgetd.core.usage import BUCKETS, Usage
from budgetd.ledger import book
from budgetd.ledger.book import Call, Reservation
from tests.ledger.entries import NOW

SECOND = 1_000
MINUTE = 60_000
USD = 10**12
ANSWERS = 5 * SECOND  # what a call takes

RATES = {
    "input": 3_000_000,
    "cache_read": 300_000,
    "cache_write_5m": 3_750_000,
    "cache_write_1h": 6_000_000,
    "output": 15_000_000,
    "reasoning": 15_000_000,
}
SONNET = RateCard(
    "anthropic",
    "claude-sonnet-4-5",
    {**dict.fromkeys(BUCKETS, 0), **RATES},
    source="a list",
    as_of="2026-11-09",
)

_numbers = count(1)


class Tale:
    """One session. What its turns read is kept here, so that the next one reads it again."""

    def __init__(
        self,
        db: sqlite3.Connection,
        ref: str,
        *,
        key: str = "research",
        client: str = "claude_code",
        above: Tale | None = None,
        at: int = NOW,
    ) -> None:
        self._db = db
        self.at = at
        over = above.path if above is not None else ()
        own = session_id(key, ref)
        root = over[-1].id if over else own
        parent = over[0].id if over else None
        self.path: tuple[Session, ...] = (
            Session(own, key, ref, "client", client, root, parent),
            *over,
        )
        self.budgets: tuple[Budget, ...] = above.budgets if above is not None else ()
        self.label: str | None = None
        self.money: Money = "real"
        self.card = SONNET
        self.number = 0
        self.context = 0  # tokens of the last input and output
        self.items = 1  # the first words of the user
        self.calls: list[str] = []

    @property
    def id(self) -> str:
        return self.path[0].id

    @property
    def ended(self) -> int:
        """When its last call was over."""
        return self.at + ANSWERS

    def turn(
        self,
        *,
        results: Sequence[tuple[str, int]] = (),
        user: int = 50,
        output: int = 300,
        system: int = 4_000,
        after: int = 20 * SECOND,
        cached: bool = True,
        compacted: int | None = None,
        kind: Kind = "turn",
        retry: bool = False,
        suspicion: Suspicion | None = None,
    ) -> str:
        """A call: it reads all that was there, `results` (tool, tokens) and the user's words.

        `cached`: the cache had what was there before. `compacted`: all that was there is now so
        many tokens, and new. Returns the call's identifier.
        """
        self.at += after
        is_turn = kind == "turn"
        self.number += is_turn
        before = self.context if is_turn else 0
        resent = before if compacted is None else min(system, before)
        history = max(before - system, 0) if compacted is None else compacted
        parts = Makeup(system, history, sum(size for _, size in results), user, output)
        read = min(resent, parts.input) if cached and before else 0
        usage = Usage(cache_read=read, cache_write_5m=parts.input - read, output=output)
        cost = price(self.card, usage)
        cause = cause_of(loop=suspicion is not None, retry=retry, side=not is_turn)
        made = whole(cause)
        if cause == "work":
            made = split(cost, usage, self.card, resent=resent, warm=True)
        kept = self.items if compacted is None else 1
        first = self.items
        self.items = (first if compacted is None else 1) + len(results) + 2
        turn = Turn(
            self.path[0],
            kind,
            self.number if is_turn else 0,
            made,
            parts,
            resent,
            None,
            tuple(Carried(first + at, tool, size) for at, (tool, size) in enumerate(results)),
            kept,
            suspicion,
        )
        if is_turn:
            self.context = parts.input + output
        retry_of = self.calls[-1] if retry and self.calls else None
        return self.call(cost, usage, turn, kind=kind, retry_of=retry_of)

    def fails(self, cost: int = 0, *, after: int = 20 * SECOND) -> str:
        """A turn of which the provider reported nothing; its retry has the same number."""
        self.at += after
        self.number += 1
        turn = Turn(
            self.path[0], "turn", self.number, whole("work"), None, 0, None, (), self.items, None
        )
        self.number -= 1
        return self.call(cost, turn=turn)

    def call(
        self,
        cost: int,
        usage: Usage | None = None,
        turn: Turn | None = None,
        *,
        kind: Kind = "turn",
        retry_of: str | None = None,
    ) -> str:
        """A call as it is admitted and settled; without a turn it is one that nobody saw end."""
        session = self.path[0]
        made = Call(
            f"{self.at:014d}{next(_numbers):06d}",
            session.key,
            "anthropic",
            "messages",
            session.client,
            self.card.model,
            path=self.path,
            kind=kind,
            label=self.label,
            retry_of=retry_of,
        )
        quote = Quote(cost, 0, 1_000, 1_000)
        wanted = Reservation(
            made,
            1,
            self.card.provider,
            self.card.model,
            self.money,
            self.budgets,
            quote,
            50,
            self.card,
        )
        assert isinstance(book.admit(self._db, wanted, self.at), Admit)
        done = Settlement("settled", cost, False, self.card, usage, None, 200)
        if usage is None:
            done = Settlement("uncertain", cost, True, self.card)
        assert book.settle(self._db, wanted.attempt, done, self.ended, turn)
        self.calls.append(made.id)
        return made.id


def looping(times: int = 3) -> Suspicion:
    """A loop as the daemon would tell it."""
    return Suspicion("cycle", 2, times, "Bash, Read")


def work(tale: Tale, turns: int, *, results: Sequence[tuple[str, int]] = (("Read", 500),)) -> None:
    """So many turns of plain work."""
    for _ in range(turns):
        tale.turn(results=results, user=0)
