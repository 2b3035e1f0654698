"""What is remembered in memory of each session, and finding the one that a history belongs to.

A `Live` is a session as the request path needs it: the states its history has reached, with what
the provider reported of them, and how it has behaved. `Lives` keeps the most recently used, by id
and by the beginnings of their histories; what is forgotten here costs a session a dearer estimate
and, if nothing but its prefix tells it, its identity. No word of a conversation is kept, only
digests.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from budgetd.core.caps import Streak
from budgetd.core.loops import Trail
from budgetd.core.sessions import Session
from budgetd.core.transcript import Checkpoint, Head, Item
from budgetd.proxy.prefaces import Prefaces
from budgetd.wire.answers import mark_of, sealed
from budgetd.wire.history import History, Span

MOST = 4_096  # sessions in memory
HEAVIEST = 2_000_000  # parts, items, calls and results that are kept of all of them together
STATES = 8  # points of a session's history from which it can be recognised
CANDIDATES = 128  # raw beginnings that begin with the same bytes and are compared
LOOK_BACK = 8  # assistant turns, from the end, by which an edited history is recognised
ANSWERED = 4  # how well a session fits at least that gave the answer: more than any other
TELLING = 160  # bytes of an answer without a tool call, from which on it tells whose it is

End = Literal["open", "answered", "failed"]


@dataclass(slots=True, eq=False)
class State:
    """A point that a session's history has reached: a request that was sent, or tried."""

    chain: bytes
    items: int
    head: Head
    spans: tuple[Span, ...] = ()
    summary: tuple[Item, ...] = ()  # of all its items, `context.lightened`
    trail: Trail = field(default_factory=Trail)
    checkpoint: Checkpoint | None = None
    answer: int = 0  # the sealed mark of what came back
    end: End = "open"
    weight: int = 0  # how many things are kept of which a client may send as many as it likes

    def begins(self, history: History) -> bool:
        """Whether what was skipped of a history is the beginning of this one."""
        skipped = history.skipped and history.chains[0]
        return bool(skipped) and any(span.chain == skipped for span in self.spans)

    @property
    def is_beginning(self) -> bool:
        """Whether nothing was answered in it: no session can have come by on the way to it."""
        return bool(self.summary) and all(item.author != "assistant" for item in self.summary)


@dataclass(slots=True, eq=False)
class Live:
    """A session in memory. `start` is the bucket that its raw history falls into; `told_by_prefix`:
    it began with nothing but its history to tell which it is, even if it is named later.
    """

    session: Session
    told_by_prefix: bool
    states: list[State] = field(default_factory=list)  # the newest last
    start: int = 0
    spans: tuple[Span, ...] = ()  # raw beginnings by which it is recognised without reading them
    calls: int = 0
    turns: int = 0
    open_calls: int = 0  # under way, and not among `calls` yet
    open_turns: int = 0  # those of them that will add a turn
    items: int = 0  # of the newest turn's history
    context: int = 0  # input and output of the newest turn, in tokens
    system: int = 0  # of it, the system prompt and tools
    warm: bool = False  # its provider has shown that it caches
    streak: Streak = field(default_factory=Streak)  # of failed calls

    @property
    def state(self) -> State | None:
        """The newest state."""
        return self.states[-1] if self.states else None


_Index = dict[tuple[str, int | bytes], dict[str, None]]


class Lives(Mapping[str, Session]):
    """The sessions in memory, by our ids; as a mapping, the sessions themselves. Answers are known
    by their marks, sealed with `seed`.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._lives: OrderedDict[str, Live] = OrderedDict()
        # By a key and how the histories of its sessions begin, what they have come to, and what was
        # answered: ids, the one that came last at the end.
        self._chains: _Index = {}
        self._answers: _Index = {}
        # The raw beginnings of those that begin alike, with how many sessions have each.
        self._starts: dict[tuple[str, int], dict[Span, int]] = {}
        self._weight = 0
        self.prefaces = Prefaces()

    def __getitem__(self, at: str) -> Session:
        return self._lives[at].session

    def __iter__(self) -> Iterator[str]:
        return iter(self._lives)

    def __len__(self) -> int:
        return len(self._lives)

    def admit(self, session: Session) -> Live:
        """The memory of a session, made if there is none; it is now the last to be forgotten."""
        live = self._lives.get(session.id)
        if live is None:
            live = self._lives[session.id] = Live(session, session.source == "prefix")
            if len(self._lives) > MOST:
                self._forget(self._lives.popitem(last=False)[1])
        else:
            live.session = session
            self._lives.move_to_end(session.id)
        return live

    def reach(self, live: Live, state: State) -> None:
        """A session's history has come to a new state, or again to one that it has been at."""
        old = next((one for one in live.states if one.chain == state.chain), None)
        if old is not None:
            state.checkpoint = state.checkpoint or old.checkpoint
            state.answer = old.answer  # until another one comes
            live.states.remove(old)
            self._weight -= old.weight
        live.states.append(state)
        items = sum(1 + len(item.calls) + len(item.results) for item in state.summary)
        state.weight = items + state.trail.weight
        self._weight += state.weight
        if live.told_by_prefix:
            self._chains.setdefault((live.session.key, state.chain), {})[live.session.id] = None
        if len(live.states) > STATES:
            self._drop(live, live.states.pop(0))
        while self._weight > HEAVIEST and len(self._lives) > 1:
            self._forget(self._lives.popitem(last=False)[1])

    def began(self, live: Live, start: int) -> None:
        """Under which bytes a session's raw history begins."""
        if start != live.start:
            self._file(live, ())
            live.start = start
        self.file(live)

    def file(self, live: Live) -> None:
        """Keep a session's newest raw beginnings where they are looked for. They end where something
        was reported, if it was anywhere: a request that failed and comes again must not hide what
        was known when it came first.
        """
        if self._lives.get(live.session.id) is not live:
            return
        reported = [state for state in live.states if state.checkpoint is not None]
        newest = (reported or live.states)[-2:]
        self._file(live, tuple(dict.fromkeys(span for state in newest for span in state.spans)))

    def _file(self, live: Live, spans: tuple[Span, ...]) -> None:
        before, live.spans = live.spans, spans
        if before == spans or not live.told_by_prefix:
            return
        place = live.session.key, live.start
        bucket = self._starts.setdefault(place, {})
        for span in spans:
            bucket[span] = bucket.get(span, 0) + 1
        for span in before:
            bucket[span] -= 1
            if not bucket[span]:
                del bucket[span]
        if not bucket:
            del self._starts[place]

    def answered(self, live: Live, state: State, answer: int) -> None:
        """What came back for a state. One that its session has left behind, or of a session that
        is forgotten, is not looked for any more.
        """
        state.end = "answered"
        if not answer or answer == state.answer:
            return
        before, state.answer = state.answer, answer
        at = live.session.id
        if not live.told_by_prefix or self._lives.get(at) is not live or state not in live.states:
            return
        self._answers.setdefault((live.session.key, answer), {})[at] = None
        if not any(one.answer == before for one in live.states):
            self._leave(self._answers, (live.session.key, before), live)

    def sealed(self, mark: int) -> int:
        """The mark of an answer as it is kept here and in the ledger."""
        return sealed(mark, self._seed)

    def beginnings(self, key: str, start: int) -> list[Span]:
        """The raw beginnings of a key's sessions that begin with the same bytes, the newest last."""
        return list(self._starts.get((key, start), ()))[-CANDIDATES:]

    def like(self, key: str, history: History) -> State | None:
        """A state of some session of a key that this history is word for word."""
        at = next(iter(self._chains.get((key, history.chains[-1]), ())), None)
        states = self._lives[at].states if at is not None else []
        return next((one for one in states if one.chain == history.chains[-1]), None)

    def find(self, key: str, history: History, *, repeated: bool) -> Live | None:
        """The session that a history belongs to, told by nothing else. None: a new one.

        `repeated`: the same request has come before and got no answer.
        """
        return self._extended(key, history, repeated=repeated) or self._recognised(key, history)

    def _extended(self, key: str, history: History, *, repeated: bool) -> Live | None:
        """The session whose known history this one goes on from, the longest beginning first."""
        last = len(history.items)
        for number in range(last, -1, -1):
            chain = history.chains[number]
            owners = self._chains.get((key, chain))
            if not owners or (number == last and not repeated):
                continue
            rest = history.items[number:]
            answer = self.sealed(mark_of(rest)) if rest else None
            told = self._answers.get((key, answer or 0), {})
            near = [at for at in told if at in owners]
            # Of thousands that begin alike hardly any gave this answer.
            found = self._best(near, chain, answer, ANSWERED) or self._best(owners, chain, answer)
            if found is not None:
                return found
        return None

    def _best(
        self, ids: Iterable[str], chain: bytes, answer: int | None, fit: int = 1
    ) -> Live | None:
        """The session of these that fits best, and at least so well; of equals the last one."""
        best = None
        for at in ids:
            live = self._lives[at]
            how = _fit(live, chain, answer)
            if how >= fit:
                best, fit = live, how
        return best

    def _recognised(self, key: str, history: History) -> Live | None:
        """The session that gave one of the last answers in a history that was edited or made
        shorter. Nobody, where several have answered the same.
        """
        seen = 0
        for item in reversed(history.items):
            if item.author != "assistant":
                continue
            seen += 1
            if seen > LOOK_BACK:
                return None
            if not item.calls and item.size < TELLING:
                continue
            owners = self._answers.get((key, self.sealed(mark_of((item,)))), {})
            if len(owners) == 1:
                return self._lives[next(iter(owners))]
        return None

    def _forget(self, live: Live) -> None:
        while live.states:
            self._drop(live, live.states.pop())
        self._file(live, ())

    def _drop(self, live: Live, state: State) -> None:
        key = live.session.key
        self._weight -= state.weight
        if not any(other.chain == state.chain for other in live.states):
            self._leave(self._chains, (key, state.chain), live)
        if not any(other.answer == state.answer for other in live.states):
            self._leave(self._answers, (key, state.answer), live)

    def _leave(self, index: _Index, place: tuple[str, int | bytes], live: Live) -> None:
        owners = index.get(place)
        if owners is not None:
            owners.pop(live.session.id, None)
            if not owners:
                del index[place]


def _fit(live: Live, chain: bytes, answer: int | None) -> int:
    """How well a history that begins as a session's does, and goes on with `answer`, fits it; 0: not.
    None: it does not go on, and comes again.

    A session that is at that state now fits better than one that went on from there, and one whose
    answer is there better than one that answered something else.
    """
    state = next((one for one in live.states if one.chain == chain), None)
    if state is None:
        return 0
    current = state is live.state
    if answer is None:
        return (8 if state.end == "failed" else 7) if current else 0
    if not answer:
        return 1 if state.end == "failed" and current else 0
    if state.answer == answer:
        return ANSWERED + 2 if current else ANSWERED
    if current:
        return 3 if not state.answer else 2
    return 0
