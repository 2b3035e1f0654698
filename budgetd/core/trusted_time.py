"""Trusted time: which instant it is when the wall clock cannot simply be believed.

Owns the belief that turns two clock readings into `now`: the wall clock, which people, NTP and
hypervisors move, and the boot clock (CLOCK_BOOTTIME), which counts real time through suspends and
is never set. The belief is one `offset`: now = boot + offset. Windows are chosen by this `now`, so
a clock error opens no fresh budget and reopens no old one. The rules:

* While wall and boot agree nothing changes. A suspend moves both, so it is no event at all.
* *Small* steps, a minute in all and refilled at a tenth of real time (faster than daemons slew),
  are followed in silence. Followed backwards, time stands still until the wall has caught up.
* A *larger* step puts the wall in doubt. `now` goes on by the boot clock, so spending per real
  hour stays right: time neither jumps nor stops.
* A wall ahead is believed once an upstream `Date` sides with it, or when it has kept steady for
  15 minutes of boot time.
* A wall behind is believed only when a `Date` sides with it, however long it has kept steady:
  then, and only then, `now` goes back.
* A Date sides with the wall, or with us, if it is within five minutes of it and nearer to it than
  to the other. One that sides with us keeps the wall in doubt (the 15 minutes begin again). One
  that sides with neither is some provider's wrong clock, and moves nothing.
* A start believes the wall, since downtime looks like a jump; but it does not begin before the
  highest instant of the ledger.

The ledger keeps the *last* `now` it was given, not the maximum: after a confirmed correction the
lower one is true. Nothing here reads a clock, parses a header or knows what a window is. The boot
clock is taken at its word: it never goes back.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from budgetd.core.windows import Instant, duration_text

NOISE_MS = 100  # between reading two clocks, and small change of slewing: not worth a new belief
SMALL_STEP_MS = 60_000
REFILL = 10  # ms of boot time that earn 1 ms of small steps; chrony slews by at most 1 in 12
DATE_TOLERANCE_MS = 5 * 60_000
STEADY_MS = 15 * 60_000


@dataclass(frozen=True, slots=True)
class Suspicion:
    """A wall clock in doubt: its offset from boot time, steady since that boot time."""

    offset: int
    since: int


@dataclass(frozen=True, slots=True)
class TrustedTime:
    """What is believed about the time: a value, whose methods give the next one, or itself."""

    offset: int  # now = boot + offset, unless that is below the floor
    floor: Instant  # at least every instant given out before `offset` was believed
    whole_at: int  # boot time at which the allowance for small steps is whole again
    suspicion: Suspicion | None = None

    def observe(self, wall_ms: Instant, boot_ms: int) -> tuple[TrustedTime, Instant]:
        """The belief after reading both clocks, and the instant it is. Cheap: on each request."""
        now = boot_ms + self.offset
        if -NOISE_MS < wall_ms - now < NOISE_MS and self.suspicion is None:
            return self, now if now > self.floor else self.floor
        belief = self._reconsider(wall_ms, boot_ms)
        return belief, max(boot_ms + belief.offset, belief.floor)

    def witness(self, date_ms: Instant, wall_ms: Instant, boot_ms: int) -> TrustedTime:
        """The belief after an upstream `Date` header, with both clocks as read when it arrived."""
        ours = boot_ms + self.offset
        if abs(wall_ms - ours) < NOISE_MS:
            return self
        from_wall, from_ours = abs(date_ms - wall_ms), abs(date_ms - ours)
        if from_wall < from_ours and from_wall <= DATE_TOLERANCE_MS:
            # A Date is a second coarse and a journey old: it can tell that an hour was wrong, but
            # not that the last seconds were. Within a small step time stands still instead.
            given = max(self.floor, ours)
            floor = wall_ms if given - wall_ms > SMALL_STEP_MS else given
            return TrustedTime(wall_ms - boot_ms, floor, whole_at=boot_ms)
        if self.suspicion is not None and from_ours <= DATE_TOLERANCE_MS:
            return replace(self, suspicion=replace(self.suspicion, since=boot_ms))
        return self

    @property
    def doubt(self) -> str | None:
        """Why the wall clock is not believed at the moment, for status; None if it is."""
        if self.suspicion is None:
            return None
        ahead = self.suspicion.offset - self.offset
        size = duration_text(-(-abs(ahead) // 60_000) * 60_000)
        if ahead > 0:
            steady = duration_text(STEADY_MS)
            return f"the clock jumped {size} ahead; waiting for an upstream Date or {steady} steady"
        return f"the clock is {size} behind; waiting for an upstream Date that agrees with it"

    def _reconsider(self, wall_ms: Instant, boot_ms: int) -> TrustedTime:
        ours = boot_ms + self.offset
        # The allowance is one date, as in GCRA rate limiting: following a step moves it by REFILL
        # times the step, and it may lie ahead by what one whole small step costs. So many little
        # steps are no way around the doubt.
        whole_at = max(self.whole_at, boot_ms) + REFILL * abs(wall_ms - ours)
        if whole_at <= boot_ms + REFILL * SMALL_STEP_MS:
            return TrustedTime(wall_ms - boot_ms, max(self.floor, ours), whole_at)
        seen = self.suspicion
        if seen is None or abs(wall_ms - boot_ms - seen.offset) > SMALL_STEP_MS:
            return replace(self, suspicion=Suspicion(wall_ms - boot_ms, boot_ms))
        if wall_ms > ours and boot_ms - seen.since >= STEADY_MS:
            return TrustedTime(wall_ms - boot_ms, self.floor, whole_at=boot_ms)
        return self


def begin(wall_ms: Instant, boot_ms: int, high_water: Instant | None) -> TrustedTime:
    """The belief at start. `high_water` is the last instant the ledger saw, None if it is new."""
    floor = wall_ms if high_water is None else high_water
    # Time cannot begin below the floor. A wall that is behind it counts as having stepped back, and
    # the first reading decides what kind of step that was.
    return TrustedTime(max(wall_ms, floor) - boot_ms, floor, whole_at=boot_ms)
