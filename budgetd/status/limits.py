"""Limits: everything that can end a session, and which of it comes first.

Budgets, the model's context window and the caps of the key, each with the turns that are left to it
or the reason why nobody can tell.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, assert_never

from budgetd.core.forecast import Left, Unknown
from budgetd.ledger.histories import Profile
from budgetd.status.prospects import Beyond, Prospect, Reach

JSON = dict[str, Any]

# Reasons that are good news: as far as can be seen, nothing stops the session there.
NOT_NEAR = {"no growth", "compacts first", "resets first", "costs nothing", "too far off"}


@dataclass(frozen=True, slots=True)
class Limit:
    """One thing that ends a session, and how far it is: in turns, with the minutes of work that
    they take if that can be told; else why it is unknown.
    """

    kind: str  # "budget", "context window", "cap"
    name: str
    turns: int | None
    minutes: int | None = None
    unknown: str | None = None
    beyond: int | None = None  # turns that it is further off than, where it is too far off to tell
    observe: bool = False

    @property
    def reach(self) -> JSON:
        """How far it is."""
        return {"turns": self.turns, "minutes": self.minutes, "unknown": self.unknown}


def limits(mine: Profile, prospect: Prospect) -> list[Limit]:
    """Everything that can end a session."""
    caps, growth = prospect.caps, prospect.forecast.growth
    found = []
    for balance, reach in zip(prospect.balances, prospect.reaches, strict=True):
        spent = balance.unspent <= 0  # then it needs no turns to tell
        named, observe = balance.budget.name, balance.budget.observe
        found.append(_limit("budget", named, Left(0, 0) if spent else reach, observe=observe))
    found.append(_limit("context window", "context window", prospect.forecast.window))
    for name, cap, used in (("turns", caps.turns, mine.turns), ("calls", caps.calls, mine.calls)):
        if cap is not None:
            found.append(Limit("cap", f"{cap:,} {name}", max(cap - used, 0)))
    if caps.context is not None:
        name, room = f"{caps.context:,} tokens", max(caps.context - mine.context, 0)
        if isinstance(growth, Unknown):
            found.append(Limit("cap", name, None, None, growth.why))
        elif growth <= 0 < room:
            found.append(Limit("cap", name, None, None, "no growth"))
        else:
            found.append(Limit("cap", name, 1_000 * room // max(growth, 1)))
    return found


def tightest(those: Iterable[Limit]) -> JSON:
    """The limit that comes first; without one, why."""
    binding = [one for one in those if not one.observe]
    near = [(one.turns, number, one) for number, one in enumerate(binding) if one.turns is not None]
    beyond = min((one.beyond for one in binding if one.beyond is not None), default=None)
    if near and (beyond is None or min(near)[0] <= beyond):
        first = min(near)[2]
        return {"kind": first.kind, "name": first.name} | first.reach
    reasons = [one.unknown for one in binding if one.unknown is not None]
    unclear = [why for why in reasons if why not in NOT_NEAR and why != "no window"]
    why = unclear[0] if unclear else "none near" if set(reasons) & NOT_NEAR else "no limit"
    return {"kind": None, "name": None, "turns": None, "minutes": None, "unknown": why}


def _limit(kind: str, name: str, reach: Reach, *, observe: bool = False) -> Limit:
    match reach:
        case Left(turns, minutes):
            return Limit(kind, name, turns, minutes, observe=observe)
        case Beyond(turns):
            return Limit(kind, name, None, None, "too far off", turns, observe)
        case Unknown(why):
            return Limit(kind, name, None, None, why, observe=observe)
        case _:
            assert_never(reach)
