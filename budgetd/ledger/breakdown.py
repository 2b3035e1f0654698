"""Where a session's money and tokens went: by cause, by part of the context, by tool result.

Functions of a connection, asked by views in one snapshot with `ledger.histories`. Every figure is a
sum over the turns of the sessions asked about, made by SQLite where there can be many. What a cause
is was decided when the call was settled; here each call's cost, with its corrections, is divided
as `core.causes.Causes.add` does it, and what a session cost beyond its turns (a call whose end
nobody saw) is fresh work.
"""

from __future__ import annotations

import json
import sqlite3
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from budgetd.core.budgets import Money
from budgetd.core.causes import Causes, Split, whole
from budgetd.core.context import Makeup
from budgetd.ledger.histories import Kin
from budgetd.ledger.sessions import results

MONEY: tuple[Money, ...] = ("real", "notional")
FINE = 1_000  # parts of a pico-dollar in which the price of one re-sent token is kept


@dataclass(frozen=True, slots=True)
class Tokens:
    """Where a session's tokens stood, summed over its calls: `parts` of those that were reported,
    `silent` how many were not. `cached` of the input was read from the provider's cache.
    """

    parts: Makeup
    cached: int
    resent: int
    calls: int
    silent: int


@dataclass(frozen=True, slots=True)
class Carried:
    """A tool result and what it has cost since: it was sent again `times` times, `resent` tokens in
    all, for `cost` pico-dollars. `dropped`: it is not in the context any more.
    """

    call: str
    turn: int
    place: int
    tool: str
    tokens: int
    times: int
    resent: int
    cost: int
    dropped: bool


def causes(
    db: sqlite3.Connection, session: Kin, below: Sequence[Kin]
) -> tuple[dict[Money, Causes], dict[Money, Causes]]:
    """The causes of a session's own cost, and of it with the sessions `below` it in its tree; by
    kind of money.
    """
    own = {money: Causes() for money in MONEY}
    for money, cause, cost, cold, reread in db.execute(_OWN_CAUSES, (session.id,)):
        own[money] = own[money].add(Split(cause, cold, reread), cost, agent=False)
    agents = {money: Causes() for money in MONEY}
    ids = json.dumps([one.id for one in below])
    for money, cause, cost in db.execute(_CAUSES_BELOW, (ids,)):
        agents[money] = agents[money].add(whole(cause), cost, agent=True)
    for found, members, agent in ((own, [session], False), (agents, below, True)):
        for money in MONEY:
            spent = sum(one.cost if money == "real" else one.notional for one in members)
            found[money] = found[money].add(whole("work"), spent - found[money].total, agent=agent)
    return own, {money: own[money].plus(agents[money]) for money in MONEY}


def tokens(db: sqlite3.Connection, session: str) -> Tokens:
    """Where the tokens of a session's own calls stood."""
    *parts, cached, resent, calls, silent = db.execute(_TOKENS, (session,)).fetchone()
    return Tokens(Makeup(*parts), cached, resent, calls, silent)


def carried(db: sqlite3.Connection, session: str, most: int) -> list[Carried]:
    """A session's tool results, the dearest since they came first."""
    number_of: dict[str, int] = {}
    numbers: list[int] = []  # of the turns that read something, in their order
    spent = [0]  # for one token that was sent again in all of these so far
    price = 0
    for call, number, cause, resent, paid, read in db.execute(_PATH, (FINE, session)):
        number_of[call] = number
        if read:
            # A retry or a loop is one cause's as a whole: it read as the turn before it did.
            price = paid if cause == "work" and resent else price
            numbers.append(number)
            spent.append(spent[-1] + (price if resent else 0))
    found = []
    for call, place, tool, size, dropped in results(db, session):
        came = number_of.get(call, 0)
        first = bisect_right(numbers, came)
        last = bisect_left(numbers, number_of[dropped]) if dropped in number_of else len(numbers)
        times = max(last - first, 0) if came else 0
        cost = size * (spent[last] - spent[first]) // FINE if times else 0
        found.append((cost, size * times, size, times, came, call, place, tool, dropped))
    found.sort(key=lambda one: (-one[0], -one[1], -one[2], one[5], one[6]))
    return [
        Carried(call, came, place, tool, size, times, resent, cost, dropped is not None)
        for cost, resent, size, times, came, call, place, tool, dropped in found[:most]
    ]


# A call's parts are found within all that it cost; its money is of one kind.
_OWN_CAUSES = """
    SELECT money, cause, sum(cost), sum(cold), sum(min(reread, max(cost - cold, 0))) FROM (
        SELECT money, cause, cost, min(cold, max(cost, 0)) AS cold, reread FROM (
            SELECT a.money, t.cause, t.cold, t.reread, sum(a.cost + coalesce(
                (SELECT sum(amount) FROM adjustment WHERE attempt = a.id), 0)) AS cost
            FROM turn t JOIN attempt a ON a.id > t.call || '.' AND a.id < t.call || '/'
            WHERE t.session = ? GROUP BY t.session, t.call
        )
    ) GROUP BY 1, 2
"""

# Of those below only what is not plain work: the rest of what they cost is the work of sub-agents.
_CAUSES_BELOW = """
    SELECT a.money, t.cause, sum(a.cost + coalesce(
        (SELECT sum(amount) FROM adjustment WHERE attempt = a.id), 0))
    FROM json_each(?) s JOIN turn t ON t.session = s.value
    JOIN attempt a ON a.id > t.call || '.' AND a.id < t.call || '/'
    WHERE t.cause <> 'work' GROUP BY 1, 2
"""

_PATH = """
    SELECT call, number, cause, resent, iif(resent > 0, (cold + reread) * ? / resent, 0),
        system IS NOT NULL
    FROM turn WHERE session = ? AND kind = 'turn' AND number > 0 ORDER BY number, call
"""

_TOKENS = """
    SELECT coalesce(sum(t.system), 0), coalesce(sum(t.history), 0), coalesce(sum(t.results), 0),
        coalesce(sum(t.user), 0), coalesce(sum(t.output), 0),
        coalesce(sum(iif(t.system IS NULL, 0, (SELECT sum(cache_read) FROM attempt
            WHERE id > t.call || '.' AND id < t.call || '/'))), 0),
        coalesce(sum(t.resent), 0), count(*), coalesce(sum(t.system IS NULL), 0)
    FROM turn t WHERE t.session = ?
"""
