"""Sessions as JSON: how a conversation, its turns and its prospects look from outside.

Dollars are exact decimal strings, instants RFC 3339 in UTC, tokens whole numbers, unknown things
null with a word that says why. A session's cost is that of its tree; what is its own alone is
called so. Real and notional dollars are never added. No texts of requests.
"""

from __future__ import annotations

from collections.abc import Sequence

from budgetd.core.budgets import Money
from budgetd.core.causes import Causes, Split
from budgetd.core.forecast import Unknown
from budgetd.core.loops import Suspicion
from budgetd.core.money import usd_text
from budgetd.core.windows import Instant
from budgetd.ledger.breakdown import Carried, Tokens
from budgetd.ledger.histories import Profile
from budgetd.ledger.steps import Step
from budgetd.proxy.notices import iso
from budgetd.status import pictures
from budgetd.status.branches import Branch
from budgetd.status.crowd import Subject
from budgetd.status.limits import JSON, limits, tightest
from budgetd.status.prospects import ACTIVE, Prospect


def session(one: Subject, branch: Branch, prospect: Prospect, now: Instant) -> JSON:
    """A session at a glance, with what its turns tell."""
    foretold = prospect.forecast
    return member(one.profile, branch, now) | {
        "money": one.money,
        "growth_tokens_per_turn": _whole(foretold.growth),
        "cost_per_turn_usd": _usd(foretold.per_turn),
        "cached_share": None if isinstance(foretold.hits, Unknown) else foretold.hits / 1000,
        "forecast": tightest(limits(one.profile, prospect)),
    }


def own(one: Subject, branch: Branch, prospect: Prospect, now: Instant) -> JSON:
    """What an agent may know of its own session: dollars as numbers, for arithmetic in a prompt."""
    told = session(one, branch, prospect, now)
    spent = branch.cost if one.money == "real" else branch.notional
    per_turn = prospect.forecast.per_turn
    return {
        "id": told["id"],
        "spent": pictures.number(spent),
        "cost_per_turn": None if isinstance(per_turn, Unknown) else pictures.number(per_turn),
        "turns": told["turns"],
        "agents": told["agents"]["count"],
        "context_tokens": told["context_tokens"],
        "growth_tokens_per_turn": told["growth_tokens_per_turn"],
        "left": told["forecast"],
        "loop": told["loop"],
    }


def member(mine: Profile, branch: Branch, now: Instant) -> JSON:
    """A session in its tree."""
    return person(mine) | {
        "source": mine.session.source,
        "label": mine.label,
        "model": mine.model or None,
        "parent": mine.session.parent,
        "root": mine.session.root,
        "state": "active" if now - branch.last < ACTIVE else "idle",
        "started_at": iso(mine.started),
        "last_at": iso(branch.last),
        "calls": mine.calls,
        "turns": mine.turns,
        "cost_usd": usd_text(branch.cost),
        "notional_usd": usd_text(branch.notional),
        "own_cost_usd": usd_text(mine.cost),
        "own_notional_usd": usd_text(mine.notional),
        "agents": _agents(branch, now),
        "context_tokens": mine.context,
        "loop": suspicion(mine.suspicion),
    }


def more(hidden: Sequence[Branch]) -> JSON | None:
    """Sub-agents that a page has no room for, with all below them."""
    if not hidden:
        return None
    return {
        "agents": sum(1 + branch.agents for branch in hidden),
        "cost_usd": usd_text(sum(branch.cost for branch in hidden)),
        "notional_usd": usd_text(sum(branch.notional for branch in hidden)),
    }


def person(mine: Profile) -> JSON:
    """What a session is called."""
    named = mine.session
    return {"id": named.id, "ref": named.ref, "key": named.key, "client": named.client}


def suspicion(found: Suspicion | None) -> JSON | None:
    """A loop that a session seems to be in."""
    if found is None:
        return None
    return {
        "kind": found.kind,
        "period": found.period,
        "times": found.times,
        "what": found.what,
        "words": found.words,
    }


def prospects(mine: Profile, prospect: Prospect) -> JSON:
    """All that is foretold of a session, with the budgets that bind it."""
    foretold = prospect.forecast
    found = limits(mine, prospect)
    window = next(one for one in found if one.kind == "context window")
    budgets = [one for one in found if one.kind == "budget"]
    return {
        "next_turn": {
            "warm_usd": _usd(foretold.warm),
            "cold_usd": _usd(foretold.cold),
            "warm_until": iso(foretold.warm_until),
        },
        "context_window": {"tokens": prospect.window} | window.reach,
        "budgets": [
            pictures.balance(balance) | {"forecast": one.reach}
            for balance, one in zip(prospect.balances, budgets, strict=True)
        ],
        "caps": [{"name": one.name} | one.reach for one in found if one.kind == "cap"],
    }


def causes(own: dict[Money, Causes], tree: dict[Money, Causes]) -> JSON:
    """Cost by cause, of both kinds of money; each sums to the session's cost exactly."""
    return {money: {"own": _causes(own[money]), "tree": _causes(tree[money])} for money in tree}


def tokens(sums: Tokens) -> JSON:
    """Where a session's tokens stood, summed over its own calls."""
    parts = sums.parts
    return {
        "system": parts.system,
        "history": parts.history,
        "results": parts.results,
        "user": parts.user,
        "output": parts.output,
        "input": parts.input,
        "cached": sums.cached,
        "resent": sums.resent,
        "calls": sums.calls,
        "unreported_calls": sums.silent,
    }


def turn(step: Step) -> JSON:
    """One call of a session."""
    parts = step.makeup
    split = Causes().add(
        Split("work", step.cold, step.reread) if step.cause == "work" else Split("loop"),
        step.cost,
        agent=False,
    )
    return {
        "call": step.call,
        "at": iso(step.at),
        "number": step.number or None,
        "kind": step.kind,
        "provider": step.provider,
        "model": step.model,
        "state": step.state,
        "money": step.money,
        "cost_usd": usd_text(step.cost),
        "estimated": step.estimated,
        "cause": step.cause,
        "cold_usd": usd_text(split.cold),
        "reread_usd": usd_text(split.reread),
        "fresh_usd": usd_text(split.fresh),
        "tokens": None
        if parts is None
        else {
            "system": parts.system,
            "history": parts.history,
            "results": parts.results,
            "user": parts.user,
            "output": parts.output,
        },
        "input_tokens": step.input,
        "cached_tokens": step.cached,
        "resent_tokens": step.resent,
        "retry_of": step.retry_of,
        "loop": suspicion(step.suspicion),
    }


def result(one: Carried) -> JSON:
    """A tool result and what it has cost since it came."""
    return {
        "tool": one.tool,
        "turn": one.turn,
        "call": one.call,
        "place": one.place,
        "tokens": one.tokens,
        "resent_times": one.times,
        "resent_tokens": one.resent,
        "cost_usd": usd_text(one.cost),
        "dropped": one.dropped,
    }


def _agents(branch: Branch, now: Instant) -> JSON:
    mine = branch.kin
    looping = sum(1 for one in branch.below() if one.kin.suspected and now - one.kin.last < ACTIVE)
    return {
        "count": branch.agents,
        "calls": branch.calls - mine.calls,
        "cost_usd": usd_text(branch.cost - mine.cost),
        "notional_usd": usd_text(branch.notional - mine.notional),
        "looping": looping,
    }


def _causes(found: Causes) -> JSON:
    return {f"{name}_usd": usd_text(amount) for name, amount in found}


def _usd(amount: int | Unknown) -> str | None:
    return None if isinstance(amount, Unknown) else usd_text(amount)


def _whole(thousandths: int | Unknown) -> int | None:
    return None if isinstance(thousandths, Unknown) else round(thousandths / 1000)
