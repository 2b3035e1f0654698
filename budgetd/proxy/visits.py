"""One call's stay in its session: what was known when it came, and what it was once it is over.

A `Visit` is made by `proxy.sessions` before the call is admitted and closed by its settlement. In
between it keeps only figures and digests, and of a long history that was seen for the first time
only their sums, because a stream may last for an hour.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from budgetd.core.caps import Conduct, Streak
from budgetd.core.causes import Split, cause_of, split, whole
from budgetd.core.context import BYTES_A_TOKEN, Makeup, makeup
from budgetd.core.estimate import Facts, Known, Media
from budgetd.core.loops import Suspicion
from budgetd.core.prices import RateCard
from budgetd.core.sessions import Claim, Kind, Session
from budgetd.core.settlement import Settlement
from budgetd.core.transcript import Checkpoint, Head, Item, Meeting
from budgetd.core.turns import Carried, Turn
from budgetd.core.usage import Traits, Usage
from budgetd.core.windows import Instant
from budgetd.proxy.lives import Live, Lives, State
from budgetd.proxy.prefaces import Preface

_OURS = frozenset({"client_gone", "stopped", "stopped_inside_tool_call", "interrupted"})
_FAMILY = re.compile(r"[a-z]{3,}")


@dataclass(frozen=True, slots=True)
class Arrival:
    """A call as it comes in. `mark` is a hash of its body; `repeated`: the same request came before
    and got no answer, `retry`: and may have cost something. `reader` is what tells, besides its
    body and its model, how it will be read: where it goes, and with which of the provider's features.
    """

    key: str
    family: str
    provider: str
    claim: Claim
    mark: int
    repeated: bool
    retry: bool
    at: Instant
    reader: bytes = b""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a call's history showed. `met`: where it goes on from what its model has read before,
    `alike` from what any model has; `fresh` are the items after that.

    `size` is bytes of the request; `kept` items of the session's earlier histories are still there;
    `edited`: not all of them, and what follows is no new beginning. `results` are place and tool of
    the results in `fresh`; `preface` is how the request begins, with its bytes, if it was read from
    its beginning.
    """

    head: Head
    size: int
    items: int
    fresh: tuple[Item, ...]
    met: Meeting | None
    alike: Meeting | None
    kept: int
    edited: bool
    results: tuple[tuple[int, str], ...]
    preface: tuple[Preface, int] | None


@dataclass(frozen=True, slots=True)
class Ending:
    """What a call came to: its settlement, what priced it, and the mark of its answer."""

    done: Settlement
    card: RateCard
    traits: Traits
    answer: int
    at: Instant


class Visit:
    """One call in its session. `path` is the session and those above it, the root last."""

    __slots__ = ("_facts", "_here", "_lives", "_reading", "_state", "live", "path", "suspicion",
                 "who")  # fmt: skip  # one a line is half a screen

    def __init__(self, lives: Lives, live: Live, path: tuple[Session, ...], who: Arrival) -> None:
        self._lives = lives
        self.live = live
        self.who = who
        self._reading: Reading | None = None
        self._state: State | None = None
        self._facts: Facts | None = None
        self.path = path
        self.suspicion: Suspicion | None = None
        self._here = True
        live.open_calls += 1
        live.open_turns += self.adds_turn

    def read(self, facts: Facts, reading: Reading, state: State) -> None:
        """What was found out about its history, and the state that this brings its session to."""
        self._facts, self._reading, self._state = facts, reading, state

    @property
    def kind(self) -> Kind:
        """What kind of call it is."""
        return self.who.claim.kind

    @property
    def adds_turn(self) -> bool:
        """Whether it is a turn of its own; a retry is the one that it repeats."""
        return self.kind == "turn" and not self.who.retry

    @property
    def session(self) -> Session:
        """Whose call it is."""
        return self.path[0]

    @property
    def known(self) -> Known | None:
        """What of the request its model has read before, None if nothing is known."""
        reading, facts = self._reading, self._facts
        if reading is None or facts is None:
            return None
        if reading.met is None:
            return self._beyond(reading, facts)
        before = reading.met.checkpoint.media
        if before is None and facts.media != Media():
            return None  # which pictures are new cannot be told any more
        media = facts.media.since(before or Media())
        new = reading.met.fresh_bytes
        if reading.head.tools != reading.met.checkpoint.head.tools:
            new += facts.overhead  # the provider's own words about tools may be new too
        return Known(reading.met.tokens, new, media)

    def _beyond(self, reading: Reading, facts: Facts) -> Known | None:
        """The same of a request of which only the preface was read before."""
        if reading.preface is None:
            return None
        preface, size = reading.preface
        least = self._lives.prefaces.least(preface)
        if least is None:
            return None
        # Of the media, which are not words, some may stand in the preface's part of the history.
        beside = min(facts.media.inline_bytes, size - reading.head.size)
        return Known(least, facts.input_bytes - size + beside, facts.media)

    def conduct(self, now: Instant) -> Conduct:
        """How the session has behaved, and what it would come to with this call and those that are
        under way.
        """
        live = self.live
        return Conduct(
            at=now,
            calls=live.calls + live.open_calls,
            turns=live.turns + live.open_turns if self.adds_turn else 0,
            context=self._context(),
            request=self.who.mark,
            streak=live.streak,
        )

    def _context(self) -> int:
        """About how many tokens of input it has; media that are new do not count."""
        reading, facts = self._reading, self._facts
        if reading is None or facts is None:
            return 0
        at = reading.alike
        if at is None:
            return max(reading.size - facts.media.inline_bytes, 0) // BYTES_A_TOKEN
        seen = at.checkpoint.media or Media()
        new = at.fresh_bytes - facts.media.since(seen).inline_bytes
        return at.tokens + max(new, 0) // BYTES_A_TOKEN

    def refused(self) -> None:
        """Nothing was sent."""
        self._leave()
        if self._state is not None and self._state.end == "open":
            self._state.end = "failed"

    def close(self, ending: Ending) -> Turn | None:
        """What the call was in its session, once it is settled. None: it never left."""
        done = ending.done
        if done.state == "not_sent":
            self.refused()
            return None
        self._leave()
        live = self.live
        live.calls += 1
        self._behaved(ending)
        usage = done.usage if done.state == "settled" else None
        if usage is not None and not usage.total_input:
            usage = None
        number = self._number()
        resent = self._resent(usage)
        parts = self._split(ending, usage, resent)
        made, tokens = self._makeup(usage)
        point = self._checkpoint(ending, usage)
        self._remember(ending, usage, made, point)
        reading = self._reading
        return Turn(
            session=self.session,
            kind=self.kind,
            number=number,
            split=parts,
            makeup=made,
            resent=resent,
            checkpoint=point,
            results=self._carried(tokens),
            kept=reading.kept if reading is not None else live.items,
            suspicion=self.suspicion,
        )

    def _leave(self) -> None:
        if self._here:
            self._here = False
            self.live.open_calls -= 1
            self.live.open_turns -= self.adds_turn

    def _number(self) -> int:
        """Its number among the session's turns; a retry has that of the turn it repeats."""
        live = self.live
        if self.kind != "turn":
            return 0
        if not (self.who.retry and live.turns):
            live.turns += 1
        return live.turns

    def _behaved(self, ending: Ending) -> None:
        """Count failures in a row. One whose client or owner ended it is neither that nor an answer."""
        done, live = ending.done, self.live
        if done.state == "settled":
            live.streak = Streak()
        elif done.cause not in _OURS or (done.status is not None and done.status >= 400):
            live.streak = live.streak.failed(self.who.mark, ending.at)

    def _resent(self, usage: Usage | None) -> int:
        if usage is None or self._reading is None or self._reading.alike is None:
            return 0
        return min(self._reading.alike.tokens, usage.total_input)

    def _split(self, ending: Ending, usage: Usage | None, resent: int) -> Split:
        cause = cause_of(
            loop=self.suspicion is not None, retry=self.who.retry, side=self.kind != "turn"
        )
        if cause != "work" or usage is None:
            return whole(cause)
        cost = ending.done.cost
        return split(cost, usage, ending.card, ending.traits, resent=resent, warm=self.live.warm)

    def _makeup(self, usage: Usage | None) -> tuple[Makeup | None, list[int]]:
        reading = self._reading
        if usage is None or reading is None:
            return None, []
        system = self.live.system or None
        return makeup(
            usage, reading.head, reading.fresh,
            met=reading.alike, system=system, edited=reading.edited,
        )  # fmt: skip  # two lines say it as well as seven

    def _carried(self, tokens: list[int]) -> tuple[Carried, ...]:
        reading = self._reading
        if reading is None or self.kind != "turn" or not tokens:
            return ()
        pairs = zip(reading.results, tokens, strict=True)
        return tuple(Carried(place, tool, count) for (place, tool), count in pairs)

    def _checkpoint(self, ending: Ending, usage: Usage | None) -> Checkpoint | None:
        reading, facts, state = self._reading, self._facts, self._state
        if usage is None or reading is None or facts is None or state is None:
            return None
        if not akin(facts.model, ending.done.model):
            return None
        if reading.preface is not None:
            self._lives.prefaces.note(reading.preface[0], usage.total_input)
        return Checkpoint(
            chain=state.chain,
            items=state.items,
            provider=self.who.provider,
            model=facts.model,
            head=reading.head,
            input=usage.total_input,
            output=usage.total_output,
            at=ending.at,
            answer=self._lives.sealed(ending.answer),
            media=facts.media.since(facts.linked),
        )

    def _remember(
        self, ending: Ending, usage: Usage | None, made: Makeup | None, point: Checkpoint | None
    ) -> None:
        live, state = self.live, self._state
        if state is not None:
            if ending.done.state == "settled":
                state.checkpoint = point or state.checkpoint
                self._lives.file(live)
                self._lives.answered(live, state, self._lives.sealed(ending.answer))
            elif state.end == "open":
                state.end = "failed"
        if self.kind != "turn" or usage is None:
            return
        live.context = usage.total_input + usage.total_output
        live.warm = live.warm or usage.cache_read + usage.cache_write_5m + usage.cache_write_1h > 0
        if made is not None and self._reading is not None:
            live.system, live.items = made.system, self._reading.items


def akin(asked: str, answered: str | None) -> bool:
    """Whether the model that answered is of the family that was asked for, as far as names tell:
    one that stands for several ("auto") may count tokens in another way next time.
    """
    if answered is None or answered == asked:
        return True
    return not _words(asked).isdisjoint(_words(answered))


def _words(model: str) -> set[str]:
    return set(_FAMILY.findall(model.lower().rpartition("/")[2]))
