"""What is remembered in memory of each session, and finding the one that a history belongs to.

A `Live` is a session as the request path needs it: the states its history has reached, with what
the provider reported of them, and how it has behaved. `Lives` keeps the most recently used, by id
and by the beginnings of their histories; what is forgotten here costs a session a dearer estimate
and, if nothing but its prefix tells it, its identity. No word of a conversation is kept, only
digests.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from budgetd.core.caps import Streak
from budgetd.core.loops import Trail
from budgetd.core.sessions import Session
from budgetd.core.transcript import Checkpoint, Head, Item
from budgetd.proxy.prefaces import Prefaces
from budgetd.wire.answers import mark_of
from budgetd.wire.history import History, Span

MOST = 4_096  # sessions in memory
STATES = 8  # points of a session's history from which it can be recognised
CANDIDATES = 64  # sessions that begin with the same bytes whose raw beginnings are compared
LOOK_BACK = 8  # assistant turns, from the end, by which an edited history is recognised
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
    answer: int = 0  # the mark of what came back
    end: End = "open"

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
    """A session in memory. `start` is the bucket that its raw history falls into."""

    session: Session
    states: list[State] = field(default_factory=list)  # the newest last
    trail: Trail = field(default_factory=Trail)
    start: int = 0
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
    def told_by_prefix(self) -> bool:
        """Whether nothing but its history tells which session this is."""
        return self.session.source == "prefix"

    @property
    def state(self) -> State | None:
        """The newest state."""
        return self.states[-1] if self.states else None

    @property
    def spans(self) -> Iterator[Span]:
        """The raw beginnings by which it is recognised without reading them. They end where
        something was reported, if it was anywhere: a request that failed and comes again must not
        hide what was known when it came first.
        """
        reported = [state for state in self.states if state.checkpoint is not None]
        for state in (reported or self.states)[-2:]:
            yield from state.spans


_Index = dict[tuple[str, int | bytes], dict[str, None]]


class Lives(Mapping[str, Session]):
    """The sessions in memory, by our ids; as a mapping, the sessions themselves."""

    def __init__(self) -> None:
        self._lives: OrderedDict[str, Live] = OrderedDict()
        # By a key and how the histories of its sessions begin, what they have come to, and what was
        # answered: ids, the one that came last at the end.
        self._starts: _Index = {}
        self._chains: _Index = {}
        self._answers: _Index = {}
        self.prefaces = Prefaces()

    def __getitem__(self, at: str) -> Session:
        return self._lives[at].session

    def __iter__(self) -> Iterator[str]:
        return iter(self._lives)

    def __len__(self) -> int:
        return len(self._lives)

    def live(self, at: str) -> Live | None:
        """A session's memory, by its id."""
        return self._lives.get(at)

    def admit(self, session: Session) -> Live:
        """The memory of a session, made if there is none; it is now the last to be forgotten."""
        live = self._lives.get(session.id)
        if live is None:
            live = self._lives[session.id] = Live(session)
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
        live.states.append(state)
        if live.told_by_prefix:
            self._chains.setdefault((live.session.key, state.chain), {})[live.session.id] = None
        if len(live.states) > STATES:
            self._drop(live, live.states.pop(0))

    def began(self, live: Live, start: int) -> None:
        """Under which bytes a session's raw history begins."""
        if not live.told_by_prefix:
            return
        key, at = live.session.key, live.session.id
        self._leave(self._starts, (key, live.start), live)
        self._starts.setdefault((key, start), {})[at] = None
        live.start = start

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

    def beginning_with(self, key: str, start: int) -> list[Live]:
        """The sessions of a key whose raw histories begin alike, the newest last."""
        bucket: Iterable[str] = self._starts.get((key, start), ())
        return [self._lives[at] for at in list(bucket)[-CANDIDATES:]]

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
        for number in range(len(history.chains) - 1, -1, -1):
            chain = history.chains[number]
            best, fit = None, 0
            for at in self._chains.get((key, chain), ()):
                live = self._lives[at]
                how = _fit(live, chain, history.items[number:], same=number == last and repeated)
                if how and how >= fit:  # of equals the one that came last
                    best, fit = live, how
            if best is not None:
                return best
        return None

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
            owners = self._answers.get((key, mark_of((item,))), {})
            if len(owners) == 1:
                return self._lives[next(iter(owners))]
        return None

    def _forget(self, live: Live) -> None:
        while live.states:
            self._drop(live, live.states.pop())
        self._leave(self._starts, (live.session.key, live.start), live)

    def _drop(self, live: Live, state: State) -> None:
        key = live.session.key
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


def _fit(live: Live, chain: bytes, rest: Sequence[Item], *, same: bool) -> int:
    """How well a history that begins as a session's does, and goes on with `rest`, fits it; 0: not.

    A session that is at that state now fits better than one that went on from there, and one whose
    answer is there better than one that answered something else.
    """
    state = next((one for one in live.states if one.chain == chain), None)
    if state is None:
        return 0
    current = state is live.state
    if not rest:  # the same request: the same conversation only if it is asked again
        return (8 if state.end == "failed" else 7) if same and current else 0
    answer = mark_of(rest)
    if not answer:
        return 1 if state.end == "failed" and current else 0
    if state.answer == answer:
        return 6 if current else 4
    if current:
        return 3 if not state.answer else 2
    return 0
