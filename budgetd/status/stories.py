"""Stories: what the pages of sessions say, gathered and put together in one snapshot of the ledger.

Functions of a connection that give JSON; `status.sessions` is their door to HTTP. Each bounds what
it reads and what it shows, and says what it left out: a tree may have thousands of sub-agents, of
which the dearest are named and the others counted.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from budgetd.core.sessions import Session
from budgetd.core.windows import Instant
from budgetd.errors import CallerFault
from budgetd.ledger import breakdown, histories, steps
from budgetd.ledger.histories import MOST_KIN, Kin, Profile, Wanted
from budgetd.ledger.steps import Step
from budgetd.proxy.notices import iso
from budgetd.proxy.order import Setup
from budgetd.status import portraits
from budgetd.status.branches import Branch, grow, shown
from budgetd.status.crowd import Subject
from budgetd.status.limits import JSON
from budgetd.status.prospects import ACTIVE, Prospects

LISTED_AGENTS = (3, 12)  # of each root that a list shows: at least, at most
LIST_AGENTS = 200  # of all its roots together, about
STORY_AGENTS = 200  # on one session's page
TURNS = 60  # from which a forecast is made, the same on every page
AGENT_TURNS = 10  # of a sub-agent in a list, of which nothing is foretold
HORIZON = 300  # turns that a list looks ahead, about
RESULTS = 20  # tool results on its page


@dataclass(frozen=True, slots=True)
class Page:
    """A session's page: by which name it is asked for, and which of its calls it shows (the newest,
    or those before one).
    """

    name: str
    turns: int
    before: str | None = None


class Ambiguous(Exception):
    """The name fits several sessions."""

    def __init__(self, found: list[Profile]) -> None:
        super().__init__(f"{len(found)} sessions")
        self.found = found


def trees(
    db: sqlite3.Connection, *, setup: Setup, now: Instant, wanted: Wanted, whole: bool
) -> JSON:
    """The newest trees; `whole`: with their sub-agents."""
    roots = histories.trees(db, wanted)
    branches = _branches(db, roots)
    agents: dict[str, Profile] = {}
    if whole:
        fewest, most = LISTED_AGENTS
        room = min(max(LIST_AGENTS // max(len(roots), 1), fewest), most)
        agents = histories.profiles(
            db, [at for root in roots for at in shown(branches[root.session.id], room)]
        )
    told = {root.session.id: root for root in roots} | agents
    subjects = {
        at: _subject(
            one, branches[at], steps.newest(db, at, AGENT_TURNS if at in agents else TURNS)
        )
        for at, one in told.items()
    }
    prospects = Prospects(db, setup, now)
    found = prospects.of([subjects[root.session.id] for root in roots], horizon=HORIZON)
    found |= prospects.of([subjects[at] for at in agents], horizon=0)

    def portrait(branch: Branch) -> JSON:
        made = portraits.session(subjects[branch.id], branch, found[branch.id], now)
        if branch.id in agents:
            made["forecast"] = None  # its limits are its tree's
        if whole:
            made["children"] = [portrait(one) for one in branch.children if one.id in told]
            made["more"] = portraits.more([one for one in branch.children if one.id not in told])
        return made

    return {
        "now": iso(now),
        "active": histories.active(db, now - ACTIVE + 1),
        "sessions": [portrait(branches[root.session.id]) for root in roots],
    }


def story(db: sqlite3.Connection, *, setup: Setup, now: Instant, page: Page) -> JSON:
    """All about one session. Raises CallerFault (404) and Ambiguous."""
    named = histories.find(db, page.name)
    if not named:
        raise CallerFault(404, "unknown_session", f"there is no session {page.name!r}")
    if len(named) > 1:
        raise Ambiguous(named)
    me = named[0]
    branches = _branches(db, [me])
    branch = branches[me.session.id]
    chosen = shown(branch, STORY_AGENTS)
    people = histories.profiles(db, [*chosen, *(one.id for one in branch.above())])
    above = [people[one.id].session for one in branch.above()]
    turns = steps.newest(db, me.session.id, TURNS)
    subject = _subject(me, branch, turns, above)
    prospect = Prospects(db, setup, now).of([subject])[subject.id]
    own, tree = breakdown.causes(db, branch.kin, subject.below)
    listed = steps.steps(db, me.session.id, page.turns + 1, page.before)

    def member(one: Branch) -> JSON:
        made = portraits.member(people[one.id], one, now)
        return made | family(one)

    def family(one: Branch) -> JSON:
        return {
            "children": [member(child) for child in one.children if child.id in chosen],
            "more": portraits.more([child for child in one.children if child.id not in chosen]),
        }

    return (
        {"now": iso(now)}
        | portraits.session(subject, branch, prospect, now)
        | portraits.prospects(me, prospect)
        | {
            "above": [portraits.person(people[one.id]) for one in above],
            **family(branch),
            "causes": portraits.causes(own, tree),
            "tokens": portraits.tokens(breakdown.tokens(db, me.session.id)),
            "results": [
                portraits.result(one) for one in breakdown.carried(db, me.session.id, RESULTS)
            ],
            "steps": [portraits.turn(step) for step in listed[: page.turns]],
            "steps_before": listed[page.turns - 1].call if len(listed) > page.turns else None,
        }
    )


def own(db: sqlite3.Connection, *, setup: Setup, now: Instant, session: str) -> JSON | None:
    """What an agent may know of its own session; None if there is none."""
    me = histories.profiles(db, [session]).get(session)
    if me is None:
        return None
    branch = _branches(db, [me])[session]
    above = histories.profiles(db, [one.id for one in branch.above()])
    turns = steps.newest(db, session, TURNS)
    subject = _subject(me, branch, turns, [above[one.id].session for one in branch.above()])
    prospect = Prospects(db, setup, now).of([subject])[session]
    return portraits.own(subject, branch, prospect, now)


def glance(db: sqlite3.Connection, *, since: Instant) -> JSON:
    """How many trees were busy since an instant, and which of their sessions go in circles."""
    return {
        "active": histories.active(db, since),
        "looping": [
            portraits.person(one) | {"loop": portraits.suspicion(one.suspicion)}
            for one in histories.looping(db, since)
        ],
    }


def _branches(db: sqlite3.Connection, wanted: Iterable[Profile]) -> dict[str, Branch]:
    """The branches of the trees of these sessions. The root's own sums count where a tree is too
    large to be read.
    """
    members = {one.session.id: _kin(one) for one in wanted}
    found = histories.kin(db, {one.root for one in members.values()})
    members |= {one.id: one for one in found}
    roots = {one.root for one in members.values()} - members.keys()
    members |= {at: _kin(one) for at, one in histories.profiles(db, roots).items()}
    branches = grow(members.values())
    if len(found) == MOST_KIN:
        for at, one in histories.profiles(db, {one.root for one in members.values()}).items():
            branch = branches[at]
            branch.cost, branch.notional = one.tree_cost, one.tree_notional
            branch.calls, branch.last = one.tree_calls, one.tree_last
    return branches


def _kin(one: Profile) -> Kin:
    session = one.session
    return Kin(
        session.id,
        session.root,
        session.parent,
        one.started,
        one.last,
        one.calls,
        one.cost,
        one.notional,
        int(one.suspicion is not None),
    )


def _subject(
    one: Profile, branch: Branch, turns: Sequence[Step], above: Sequence[Session] = ()
) -> Subject:
    under = {}
    for session, over in zip(above, branch.above(), strict=False):
        under[session.id] = {over.id, *(other.id for other in over.below())}
    below = [other.kin for other in branch.below()]
    return Subject(one, turns, branch.last, above, under, below)
