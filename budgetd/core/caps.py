"""Caps: hard stops on how an agent behaves, beside what it may spend.

Owns the caps that an owner can set, the facts that they are held against (`Conduct`), and the one
function that compares the two. Calls and turns of a session, and the context of a call, end where
the owner said: only a new session, or a compacted one, goes on. The other caps are brakes, and a
brake that cannot be released would be an outage of our own making:

* Failures in a row and failures of one same request in a row close the way for a rest that begins
  with the last failure: 30 seconds, and twice that for each further failure, up to 15 minutes. Then
  a call is let through, and its answer decides: an answer opens the way, a failure begins the next
  rest. Of the same request the rest binds only that one; a changed request is heard at once.
* Dollars per minute close it until enough of the last 60 seconds' spending is older than that. They
  are counted per *key*: what runs away does so in sub-agents and new sessions, which only the key
  has in common, and a neighbour who is caught with it waits a minute at most.

A call has failed if it brought an error status, no answer, or one that was cut. One that its own
client gave up has neither failed nor succeeded. Time is an argument everywhere; where it was set
back by more than a minute nothing waits for it to catch up. How a breach is put to an agent is the
dialects' business.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from budgetd.core.money import usd_display
from budgetd.core.windows import Instant

Cap = Literal["calls", "turns", "context", "errors", "failures", "dollars_per_minute"]

FIRST_REST_MS = 30_000
LONGEST_REST_MS = 900_000
MINUTE_MS = 60_000
BUCKET_MS = 1_000

_WORDS: Mapping[Cap, str] = {
    "calls": "this would be call {} of the session",
    "turns": "this would be turn {} of the session",
    "context": "this call would have {} tokens of context",
    "errors": "{} calls in a row have failed",
    "failures": "the same request has failed {} times in a row",
    "dollars_per_minute": "{} was spent in the last minute",
}


@dataclass(frozen=True, slots=True)
class Caps:
    """What an owner allows; None: anything. From 1 up; `dollars_per_minute` is in pico-dollars."""

    calls: int | None = None  # per session
    turns: int | None = None  # per session
    errors: int | None = None  # failed calls in a row, per session
    failures: int | None = None  # of the same request in a row, per session
    dollars_per_minute: int | None = None  # per key
    context: int | None = None  # input tokens of one call


@dataclass(frozen=True, slots=True)
class Streak:
    """The calls of a session that failed in a row: `errors` of them, the last `failures` of which
    were of the same `request` (its digest), the last one at `at`. A success is `Streak()`.
    """

    errors: int = 0
    failures: int = 0
    request: int = 0
    at: Instant = 0

    def failed(self, request: int, at: Instant) -> Streak:
        """The streak after one more call failed."""
        failures = self.failures + 1 if self.request == request else 1
        return Streak(self.errors + 1, failures, request, at)


@dataclass(frozen=True, slots=True)
class Conduct:
    """What a session has come to at the instant `at` at which it wants to make a call.

    `calls`, `turns` and `context` are as they would be with this call (`turns` 0 if it is none);
    `request` is its digest, `streak` the failures before it. `spent` are the pico-dollars of the
    key's last minute, fewer than the cap again at `frees` (see `Pace`).
    """

    at: Instant
    calls: int = 0
    turns: int = 0
    context: int = 0
    request: int = 0
    streak: Streak = Streak()
    spent: int = 0
    frees: Instant | None = None


@dataclass(frozen=True, slots=True)
class Breach:
    """A cap that a call would break. `value` is what it would come to, or for brakes has come to;
    `until` is when a call may be made again, None: not in this session, as it is now.
    """

    cap: Cap
    limit: int
    value: int
    until: Instant | None = None

    @property
    def words(self) -> str:
        """One line for a person; the time is for who knows the zone to add."""
        shown = usd_display if self.cap == "dollars_per_minute" else "{:,}".format
        return f"{_WORDS[self.cap].format(shown(self.value))}; the cap is {shown(self.limit)}"


def breach(caps: Caps, conduct: Conduct) -> Breach | None:
    """The cap that would be broken for the longest, None if none: whoever comes back at `until`
    finds no other one that was known before. Those that do not end come first.
    """
    ends: tuple[tuple[Cap, int | None, int], ...] = (
        ("calls", caps.calls, conduct.calls),
        ("turns", caps.turns, conduct.turns),
        ("context", caps.context, conduct.context),
    )
    for cap, limit, value in ends:
        if limit is not None and value > limit:
            return Breach(cap, limit, value)
    streak = conduct.streak
    failures = streak.failures if streak.request == conduct.request else 0
    brakes = (
        _rest("errors", caps.errors, streak.errors, conduct),
        _rest("failures", caps.failures, failures, conduct),
        _haste(caps.dollars_per_minute, conduct),
    )
    return max(
        (found for found in brakes if found is not None),
        key=lambda found: (found.until is None, found.until or 0),
        default=None,
    )


def _rest(cap: Cap, limit: int | None, value: int, conduct: Conduct) -> Breach | None:
    if limit is None or value < limit:
        return None
    doublings = min(value - limit, LONGEST_REST_MS.bit_length())  # more change nothing
    until = conduct.streak.at + min(FIRST_REST_MS << doublings, LONGEST_REST_MS)
    if conduct.streak.at - MINUTE_MS <= conduct.at < until:
        return Breach(cap, limit, value, until)
    return None


def _haste(limit: int | None, conduct: Conduct) -> Breach | None:
    if limit is None or conduct.spent < limit:
        return None
    return Breach("dollars_per_minute", limit, conduct.spent, conduct.frees)


class Pace:
    """What was spent in the last 60 seconds, in at most 61 buckets of a second each.

    A bucket counts until the newest instant in it is a minute old: spending is counted for a minute
    and up to a second more, never for less. An instant that is earlier than one given before is
    taken for that one, but where time was set back by more than a minute the buckets go with it.
    """

    __slots__ = ("_buckets",)

    def __init__(self) -> None:
        self._buckets: deque[tuple[int, int]] = deque()  # (second, pico-dollars), oldest first

    def spend(self, pico: int, now: Instant) -> None:
        """Count pico-dollars, spent now. Less than 1 is nothing: a refund buys no haste."""
        second = self._second(now)
        if pico <= 0:
            return
        if self._buckets and self._buckets[-1][0] == second:
            pico += self._buckets.pop()[1]
        self._buckets.append((second, pico))

    def spent(self, now: Instant) -> int:
        """Pico-dollars of the last minute."""
        self._second(now)
        return sum(pico for _, pico in self._buckets)

    def frees(self, limit: int, now: Instant) -> Instant | None:
        """The first instant at which less than `limit` was spent, if nothing is spent meanwhile:
        `now` if that is so, None if it never will be.
        """
        left = self.spent(now)
        if left < limit:
            return now
        for second, pico in self._buckets:
            left -= pico
            if left < limit:
                return _gone(second)
        return None

    def _second(self, now: Instant) -> int:
        """The bucket of this instant, once those that are too old are dropped."""
        second = now // BUCKET_MS
        newest = self._buckets[-1][0] if self._buckets else second
        if (newest - second) * BUCKET_MS > MINUTE_MS:
            back = newest - second
            self._buckets = deque((at - back, pico) for at, pico in self._buckets)
            newest = second
        while self._buckets and _gone(self._buckets[0][0]) <= now:
            self._buckets.popleft()
        return max(second, newest)


def _gone(second: int) -> Instant:
    """When all that was spent in that second is a minute old."""
    return (second + 1) * BUCKET_MS + MINUTE_MS
