"""Whose conversation a call belongs to, and what that tells before it is sent.

`Sessions` receives every priced call: it finds the call's session by what the client says, else by
the conversation's own beginning, and gives out a `Visit`. A visit knows how much of the request the
provider has read before, and whether the session goes in circles. All of it happens in the event
loop without an await, so that two calls of one session never see half of each other. A name that a
client gives is looked up under its key and nowhere else.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from budgetd.core.caps import Caps, Conduct, Pace, breach
from budgetd.core.context import lightened
from budgetd.core.estimate import Facts
from budgetd.core.loops import Trail, follow, suspect
from budgetd.core.sessions import Session, lineage
from budgetd.core.steps import shown
from budgetd.core.transcript import Item, Meeting, meet
from budgetd.core.windows import Instant
from budgetd.ledger.recall import Recalled
from budgetd.proxy.bars import Bar
from budgetd.proxy.callers import Caller
from budgetd.proxy.lives import Live, Lives, State
from budgetd.proxy.prefaces import preface_of
from budgetd.proxy.visits import Arrival, Reading, Visit
from budgetd.runtime import new_id
from budgetd.wire.body import Body
from budgetd.wire.history import Fields, Historian, History

LARGEST = 24 * 1024 * 1024  # bytes of a request whose history is looked at
MOST_KEYS = 10_000  # whose pace is kept: names may be invented by callers
RECENT = 96  # items of a new history in which loops are looked for: a trail keeps 16 turns
NO_CAPS = Caps()
MOST_NEW = 256  # items that one request may bring and be told word for word from others


class Sessions:
    """Every session that is remembered. `seed` is this installation's own: digests of one cannot be
    forged by who does not know it.
    """

    def __init__(self, seed: int) -> None:
        self._historian = Historian(seed)
        self._lives = Lives(seed)
        self._paces: OrderedDict[str, Pace] = OrderedDict()

    def recall(self, recalled: Sequence[Recalled]) -> None:
        """Take in what the ledger remembers from before a restart, the newest first."""
        for one in reversed(recalled):
            live = self._lives.admit(one.session)
            live.turns, live.calls = one.turns, one.calls
            live.context, live.system, live.warm = one.context, one.system, one.cached
            for point in one.checkpoints:
                state = State(point.chain, point.items, point.head, checkpoint=point)
                self._lives.reach(live, state)
                self._lives.answered(live, state, point.answer)
                live.items = point.items

    def arrive(self, who: Arrival, facts: Facts, body: Body, fields: Fields | None) -> Visit | None:
        """The visit of a call. None: it is part of no conversation (an embedding, say)."""
        if fields is not None and (body.size > LARGEST or fields.history not in body):
            fields = None
        history = like = None
        if who.claim.id is not None:
            path = lineage(who.key, who.claim.id, who.claim, who.family, self._lives)
            live = self._settled_in(path)
            if fields is not None:
                history = self._historian.read(body, fields, live.spans, who.reader)
        elif fields is not None:
            history, found, like = self._recognise(who, body, fields)
            ref = found.session.ref if found is not None else new_id(who.at)
            path = lineage(who.key, ref, who.claim, who.family, self._lives)
            live = self._settled_in(path)
        else:
            return None
        visit = Visit(self._lives, live, path, who)
        if history is not None and fields is not None:
            self._look_at(visit, history, facts, like)
        return visit

    def barred(self, visit: Visit | None, caller: Caller, now: Instant) -> Bar | None:
        """Why a call must not be made whatever its price: a cap of its key, or a loop that its key's
        owner wants refused. None: it may be.
        """
        caps = caller.policy.caps
        if caps != NO_CAPS:
            found = breach(caps, self._conduct(visit, caller.key, caps, now))
            if found is not None:
                return found
        if visit is not None and caller.policy.loops == "refuse":
            return visit.suspicion
        return None

    def paid(self, key: str, pico: int, now: Instant) -> None:
        """What a key has just spent."""
        pace = self._paces.get(key)
        if pace is None:
            pace = self._paces[key] = Pace()
            if len(self._paces) > MOST_KEYS:
                self._paces.popitem(last=False)
        self._paces.move_to_end(key)
        pace.spend(pico, now)

    def _conduct(self, visit: Visit | None, key: str, caps: Caps, now: Instant) -> Conduct:
        conduct = visit.conduct(now) if visit is not None else Conduct(now)
        pace = self._paces.get(key)
        if pace is None or caps.dollars_per_minute is None:
            return conduct
        limit = caps.dollars_per_minute
        return replace(conduct, spent=pace.spent(now), frees=pace.frees(limit, now))

    def _settled_in(self, path: tuple[Session, ...]) -> Live:
        for above in reversed(path[1:]):
            self._lives.admit(above)
        return self._lives.admit(path[0])

    def _recognise(
        self, who: Arrival, body: Body, fields: Fields
    ) -> tuple[History, Live | None, State | None]:
        """The history of a call that says nothing of its session, and the session that it is of, if
        that is known. For one that is new, but word for word what another has said: that one's
        state.

        First past the longest beginning that some session of this key has. Where that turns out to
        be another's, which only begins alike, all of it is read.
        """
        begun = self._lives.beginnings(who.key, self._historian.start(body, fields))
        history = self._historian.read(body, fields, begun, who.reader)
        found = self._lives.find(who.key, history, repeated=who.repeated)
        like = self._lives.like(who.key, history) if found is None and not history.items else None
        if like is not None and like.is_beginning:
            return history, None, like
        if history.skipped and (found is None or not _is_own(found, history)):
            history = self._historian.read(body, fields, reader=who.reader)
            found = self._lives.find(who.key, history, repeated=who.repeated)
        return history, found, like if found is None else None

    def _look_at(self, visit: Visit, history: History, facts: Facts, like: State | None) -> None:
        """Compare a history with what is known of its session, and move the session on."""
        live, turn = visit.live, visit.kind == "turn"
        met, alike = _meetings(visit, history, facts, like)
        kept = _kept(live, history)
        edited = alike is not None and kept < live.items
        summary = like.summary if like is not None else ()
        fresh = alike.fresh if alike is not None else summary or history.items
        if alike is None or edited:
            fresh = lightened(fresh)
        items = history.skipped + len(history.items)
        state = State(history.chains[-1], items, history.head, (history.stable, history.whole))
        state.summary = _summary(live, history, like)
        if turn:
            state.trail = like.trail if like else _trail(live, history)
            visit.suspicion = suspect(state.trail)
        who = visit.who
        reading = Reading(
            history.head,
            facts.input_bytes,
            items,
            fresh,
            met,
            alike,
            kept,
            edited,
            _results(history, fresh, items),
            preface_of(who.key, who.provider, facts.model, history),
        )
        visit.read(facts, reading, state)
        if turn or live.told_by_prefix:
            self._lives.reach(live, state)
            self._lives.began(live, history.start)


def _meetings(
    visit: Visit, history: History, facts: Facts, like: State | None
) -> tuple[Meeting | None, Meeting | None]:
    """Where a history goes on from what its model has read before, and from what any model has in
    this session. Of another conversation that is word for word the same only the former is true.
    """
    points = [s.checkpoint for s in visit.live.states if s.checkpoint is not None]
    others = [like.checkpoint] if like is not None and like.checkpoint is not None else []
    # A model counts as it did if all that may tell it how to read is as it was.
    reader = (visit.who.provider, facts.model, history.head.rest)
    own = [p for p in (*points, *others) if (p.provider, p.model, p.head.rest) == reader]
    seen = (history.chains, history.items, history.head)
    met = meet(own, *seen, skipped=history.skipped)
    if others:
        return met, None
    return met, met or meet(points, *seen, skipped=history.skipped)


def _trail(live: Live, history: History) -> Trail:
    """What the trail of a session's history has come to; several conversations may share the session.
    Of a history that is new only its end is followed: nobody asks what was before.
    """
    items = history.items[-RECENT:]
    before = next((s.trail for s in reversed(live.states) if s.begins(history)), Trail())
    return follow(before, items, history.skipped + len(history.items) - len(items))


def _summary(live: Live, history: History, like: State | None) -> tuple[Item, ...]:
    """All of a history in a few items, for conversations that say the same; only of sessions that
    their prefix tells.
    """
    if like is not None or not live.told_by_prefix:
        return like.summary if like is not None else ()
    before: tuple[Item, ...] = ()
    if history.skipped:
        before = next((s.summary for s in live.states if s.chain == history.chains[0]), ())
    if history.skipped and not before:
        return ()
    items = lightened((*before, *history.items))
    return items if len(items) <= MOST_NEW else ()


def _kept(live: Live, history: History) -> int:
    """How many items of the session's earlier histories stand at the beginning of this one."""
    places = {chain: number for number, chain in enumerate(history.chains, start=history.skipped)}
    return max((s.items for s in live.states if places.get(s.chain) == s.items), default=0)


def _is_own(live: Live, history: History) -> bool:
    """Whether what was skipped of a history is this session's own: others may begin alike."""
    return any(span.chain == history.chains[0] for span in live.spans)


def _results(history: History, fresh: Iterable[Item], items: int) -> tuple[tuple[int, str], ...]:
    """Place and tool of the results in the last items of a history."""
    names = {call.id: call.name for item in history.items for call in item.calls}
    last = list(fresh)
    return tuple(
        (place, shown(names.get(result.id, "tool")))
        for place, item in enumerate(last, start=items - len(last))
        for result in item.results
    )
