"""Loops: whether an agent goes in circles, told from its history alone.

Owns the `Trail` of steps that a history leaves (see `core.steps`) and the rules that find a loop at
its end. The *result* is part of a step, so asking again and being told something new is never a
loop: polling, a test that fails otherwise, even a result that differs only in the time it shows.

* *repeat*: the same step three times in a row.
* *cycle*: two to four steps, three times over. Not sooner: read, edit and test twice the same is
  how people work, too. Agents without tools go in circles of words, the user's among them.
* *stagnation*: the fourth turn in a row that is told the same although it asks otherwise, counted
  only where the turn looks things up or fails. Edits that all answer "ok" and commands that print
  nothing are work.

Only the end of the trail counts: a loop that was left is none. Words of the user belong to the step
that they follow: new ones mean that somebody stepped in, and what was before is not held against
the agent; the same ones after each step ("continue") are part of the loop. Who waits by asking the
same thing and is told the same thing three times in a row is reported like everybody: each look is
paid for, and from here waiting and being stuck are one. Nothing here stops anybody; what a
suspicion leads to is the owner's choice.

Clients blank out old results to save room. A result counts as what it said when it was new: see
`cut`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from budgetd.core.steps import Part, Step, part_of, step_of
from budgetd.core.transcript import Item

Loop = Literal["repeat", "cycle", "stagnation"]

KEPT = 16  # steps that a trail remembers: a cycle of four needs twelve
PARTS = 12  # items before the turn at the end that may be cut through without losing a step
HEAVIEST = 1_024  # calls, results and parts of one turn: longer ones are not followed
LONGEST_CYCLE = 4
REPEATS = 3  # the first time, and two full repetitions
STAGNANT = 4
NAMES = 4  # that are told of one turn
NO_TOOL = "the same answer"  # stands for the tools of a turn that is only words


@dataclass(frozen=True, slots=True)
class Trail:
    """What is remembered of a history of which `until` items were followed: its last steps, and the
    parts of the turn at its end, which may still get answers. `past` are the last parts before
    those, and `faded` steps whose items are about to be read again.
    """

    steps: tuple[Step, ...] = ()
    turn: tuple[Part, ...] = ()
    until: int = 0
    past: tuple[Part, ...] = ()
    faded: tuple[Step, ...] = ()

    @property
    def weight(self) -> int:
        """How many things are kept for it."""
        parts = sum(part.weight for part in (*self.turn, *self.past))
        return parts + len(self.steps) + len(self.faded)


@dataclass(frozen=True, slots=True)
class Suspicion:
    """A loop that a history ends with. `period` is its length in steps, `times` how often it was
    gone through; a trail does not reach back further than 16 steps. `what` names the tools.
    """

    kind: Loop
    period: int
    times: int
    what: str

    @property
    def words(self) -> str:
        """One line for a person, without the agent's or the user's words."""
        least = "at least " if (self.times + 1) * self.period > KEPT else ""
        often = f"{least}{self.times} times"
        if self.kind == "cycle":
            steps = f"a cycle of {self.period} steps ({self.what})"
            return f"{steps} was run {often} with the same arguments and the same results"
        if self.kind == "stagnation":
            return f"{self.what} brought the same result {often} in a row for different arguments"
        if self.what == NO_TOOL:
            return f"{NO_TOOL} was given {often} in a row, and the same was said to it"
        return f"{self.what} was run {often} with the same arguments and the same result"


def follow(trail: Trail, items: Sequence[Item], first: int) -> Trail:
    """The trail after more of the history, which has `items` from its item number `first` (from 0)
    to its end. What the trail has from there on is forgotten; where items are missing in between,
    it begins anew.
    """
    if first < trail.until:
        trail = cut(trail, first)
    elif first > trail.until:
        trail = Trail()
    steps, turn, past = list(trail.steps), list(trail.turn), list(trail.past)
    faded = {(step.first, step.place, step.acts): step for step in trail.faded}
    for number, item in enumerate(items, start=first):
        part = part_of(item, number)
        if part is None:
            continue
        if not part.speaks and not turn:
            steps.clear()  # it answers nothing we know of: the history was taken up elsewhere
            continue
        if part.speaks and turn and not turn[-1].speaks:
            step = step_of(turn)
            steps.append(_as_it_was(step, faded.get((step.first, step.place, step.acts))))
            past = [*past, *turn][-PARTS:]
            turn.clear()
        turn.append(part)
    if sum(part.weight for part in turn) > HEAVIEST:
        return Trail(until=first + len(items))
    return Trail(tuple(steps[-KEPT:]), tuple(turn), first + len(items), tuple(past))


def cut(trail: Trail, items: int) -> Trail:
    """The trail of a history of which only the first `items` are as they were.

    A step that is cut through becomes the turn at the end again; too far back it is lost, with
    those before it. What stood after the cut is kept aside for the one `follow` that comes next: if
    it finds the same calls at the same place, and more after them, then only their results were
    rewritten, and what they said when they were new counts.
    """
    gone = tuple(step for step in _steps(trail) if step.place >= items)
    steps = tuple(step for step in trail.steps if step.place < items)
    past = tuple(part for part in trail.past if part.place < items)
    turn = tuple(part for part in trail.turn if part.place < items)
    if len(steps) < len(trail.steps) and trail.steps[len(steps)].first < items:
        torn = trail.steps[len(steps)].first
        turn = tuple(part for part in past if part.place >= torn)
        past = tuple(part for part in past if part.place < torn)
        if not turn or turn[0].place > torn:
            steps, turn = (), ()
    return Trail(steps, turn, min(trail.until, items), past, (*trail.faded, *gone)[-KEPT:])


def suspect(trail: Trail) -> Suspicion | None:
    """The loop that the trail ends with, None if there is none; the shortest period if several."""
    if len(trail.steps) + 1 < REPEATS:
        return None  # too short for any of them
    steps = _steps(trail)
    for period in range(1, LONGEST_CYCLE + 1):
        same = _run(
            _same(steps[at - period], steps[at], newest=at == len(steps) - 1)
            for at in range(len(steps) - 1, period - 1, -1)
        )
        if same >= (REPEATS - 1) * period:
            what = ", ".join(_told(step) for step in steps[-period:])
            kind: Loop = "repeat" if period == 1 else "cycle"
            return Suspicion(kind, period, same // period + 1, what)
    return _stagnation(steps)


def _stagnation(steps: Sequence[Step]) -> Suspicion | None:
    count = _run(
        (step.reads or step.failed)
        and step.says == steps[-1].says != 0
        and (at == 0 or _heard_alike(step, steps[-at], newest=at == 1))
        for at, step in enumerate(reversed(steps))
    )
    stagnant = steps[len(steps) - count :]
    if count < STAGNANT or len({step.acts for step in stagnant}) == 1:
        return None
    return Suspicion("stagnation", 1, count, _listed(n for step in stagnant for n in step.names))


def _same(earlier: Step, later: Step, *, newest: bool) -> bool:
    return earlier.deed == later.deed != 0 and _heard_alike(earlier, later, newest=newest)


def _heard_alike(earlier: Step, later: Step, *, newest: bool) -> bool:
    """Whether the user said the same after both; to the newest step nothing may be said yet."""
    return earlier.heard == later.heard or (newest and later.heard == 0)


def _run(flags: Iterable[bool]) -> int:
    """How many are true before the first that is not."""
    count = 0
    for flag in flags:
        if not flag:
            break
        count += 1
    return count


def _steps(trail: Trail) -> tuple[Step, ...]:
    """The last steps, with the one that the turn at the end makes once it is answered."""
    if not trail.turn or trail.turn[-1].speaks:
        return trail.steps
    return (*trail.steps, step_of(trail.turn))[-KEPT:]


def _as_it_was(step: Step, earlier: Step | None) -> Step:
    """A step that was read again, with the results that it had when it was new."""
    if earlier is None:
        return step
    return replace(step, says=earlier.says, deed=earlier.deed, failed=earlier.failed)


def _told(step: Step) -> str:
    return _listed(step.names, " + ") if step.names else NO_TOOL


def _listed(names: Iterable[str], between: str = ", ") -> str:
    """The names, each once, and no more than a line of them."""
    shown = list(dict.fromkeys(names))
    return between.join([*shown[:NAMES], *(["…"] if len(shown) > NAMES else [])])
