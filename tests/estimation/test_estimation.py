"""The estimate of 300 agent tasks against the truth, by five real tokenizers of four vendors.

Each request goes the way of a call, from its bytes to its bound, through the code that the daemon
runs: the dialect reads its facts, `Sessions` finds the session and what of it was read before,
`input_bound` makes the figure, and the settlement reports what was really read. The bound must
never be below the truth, and from the second request of a task on at most a fifth above it on
average.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from itertools import pairwise
from random import Random
from statistics import mean
from typing import NamedTuple

import pytest

from budgetd.core.estimate import Facts, Known, input_bound
from budgetd.core.policy import Estimation
from budgetd.core.prices import RateCard
from budgetd.core.sessions import Claim
from budgetd.core.settlement import Settlement
from budgetd.core.usage import BUCKETS, Traits, Usage
from budgetd.proxy.sessions import Sessions
from budgetd.proxy.visits import Arrival, Ending
from budgetd.wire import anthropic, openai_chat
from budgetd.wire.answers import mark_of
from budgetd.wire.body import Body, parse
from budgetd.wire.history import Fields, Historian
from tests.estimation.prompts import minimal_toolbox
from tests.estimation.shapes import Writer
from tests.estimation.tasks import (
    INCIDENTS,
    Call,
    Habits,
    Head,
    Outcome,
    Pool,
    Request,
    Said,
    Task,
    Text,
    Thought,
)
from tests.estimation.truth import VOCABULARIES, Family

TASKS = 300
SEED = 20_260_301
NOW = 1_772_366_400_000_000
CARD = RateCard("p", "m", dict.fromkeys(BUCKETS, 1))
FIELDS = {
    "anthropic": Fields(system="system"),
    "chat": Fields(),
    "responses": Fields("input", "instructions"),
    "gemini": Fields("contents", "systemInstruction"),
}
REFERENCE = {
    "OpenAI o200k": "13225 11 185558 0 88038 220 15 87 16 37 198 1224 350 64 1666 287 8 622 220 7633 "
    "2548 26",
    "Qwen 3": "9707 11 220 99489 0 90316 220 15 87 16 37 198 743 320 64 961 293 8 470 220 16 17 18 "
    "19 20 26",
    "DeepSeek V3": "19923 14 223 3427 3 53769 225 223 18 90 19 40 201 5733 343 67 6269 291 11 1354 "
    "223 6895 1883 29",
    "Mistral Tekken": "22177 1044 1032 29659 1033 119685 1152 1128 1032 1048 1120 1049 1070 1010 3353 "
    "1319 1097 3942 1289 1041 1850 1032 1049 1050 1051 1052 1053 1059",
    "Mistral SentencePiece": "23325 29493 29473 30818 30590 29576 29473 31343 29473 29502 29512 29508 "
    "29533 781 780 1103 1093 29476 2051 1055 29499 1372 29473 29508 29518 29538 29549 29550 29513",
}
PLAIN = Habits("anthropic", thinks=True)
# In two tests, so that two workers can share them.
PANELS = [list(VOCABULARIES)[:3], list(VOCABULARIES)[3:]]


class Case(NamedTuple):
    """One call: what was bounded, and what it came to. `turn` counts from 0 in its task."""

    task: int
    turn: int
    truth: int
    bound: int
    known: Known | None

    @property
    def above(self) -> float:
        """By what part of the truth the bound is above it."""
        return self.bound / self.truth - 1


class Desk:
    """What the daemon does of one key's calls, without the network: once for each family of models,
    as if each were the only one.
    """

    def __init__(self, families: Sequence[Family], *, tells: bool = True) -> None:
        self._families = {family: Sessions(SEED) for family in families}
        self._claim = Claim("task", "header") if tells else Claim()
        self._historian = Historian(SEED)
        self._writer = Writer()

    def call(self, request: Request) -> Iterator[tuple[Family, int, Known | None]]:
        """The bounds of a request and what of it was known; once more if it fails at first."""
        body = parse(self._writer.body(request))
        facts, mark = read(body, request), self._mark(request)
        for family, sessions in self._families.items():
            usage = Usage(input=family.input(request), output=family.output(request))
            done = Settlement("settled", 1, usage=usage, status=200)
            failed = [Settlement("known_zero", 0, status=529)] if request.fails else []
            for number, ending in enumerate((*failed, done)):
                again = number > 0
                who = Arrival("default", "agent", "p", self._claim, 0, again, again, NOW)
                visit = sessions.arrive(who, facts, body, FIELDS[request.habits.wire])
                assert visit is not None
                yield family, input_bound(facts, Estimation(), visit.known), visit.known
                visit.close(Ending(ending, CARD, Traits(), mark, NOW))

    def _mark(self, request: Request) -> int:
        """The mark of the answer, as the tap would have made it."""
        alone = parse(self._writer.alone(request.answer, request.habits))
        return mark_of(self._historian.read(alone, FIELDS[request.habits.wire]).items)


def read(body: Body, request: Request) -> Facts:
    """The facts of a request. Two of the protocols have no dialect yet; their tasks hold no
    pictures, which only a dialect can find.
    """
    if request.habits.wire == "anthropic":
        return anthropic.DIALECT.read(anthropic.MESSAGES, body)
    if request.habits.wire == "chat":
        return openai_chat.DIALECT.read(openai_chat.CHAT, body)
    return Facts("m", body.size, overhead=anthropic.TEMPLATE_TOKENS + anthropic.TOOL_PROMPT_TOKENS)


@functools.cache
def pool() -> Pool:
    return Pool(Random(SEED), 900)


def cases(families: Sequence[Family]) -> dict[Family, list[Case]]:
    """Every call of every task."""
    found: dict[Family, list[Case]] = {family: [] for family in families}
    for number in range(TASKS):
        task = Task(number, pool())
        desk = Desk(families, tells=task.tells)
        for turn, request in enumerate(task.requests()):
            for family, bound, known in desk.call(request):
                truth = family.input(request)
                found[family].append(Case(number, turn, truth, bound, known))
    return found


def figures(found: Sequence[Case]) -> str:
    """What a person wants to know of them, in a line."""
    first = [case.above for case in found if case.turn == 0]
    later = sorted(case.above for case in found if case.turn > 0)
    least = min(found, key=lambda case: case.bound - case.truth)
    return (
        f"{len(found)} calls, from the second turn on {mean(later):.1%} above on average, "
        f"p50 {later[len(later) // 2]:.1%}, p95 {later[len(later) * 95 // 100]:.1%}, "
        f"most {later[-1]:.0%}; first turns {mean(first):.0%}; "
        f"least margin {least.bound - least.truth} of {least.truth} tokens"
    )


@pytest.mark.parametrize("vocabularies", PANELS, ids=" and ".join)
def test_the_bound_is_never_below_the_truth_and_seldom_far_above(vocabularies: list[str]) -> None:
    for family, found in cases([Family(vocabulary) for vocabulary in vocabularies]).items():
        print(f"\n{family.vocabulary}: {figures(found)}")  # noqa: T201 -- shown with -s, or on failure
        assert len({case.task for case in found}) == TASKS >= 300
        assert [case for case in found if case.bound < case.truth] == []
        assert mean([case.above for case in found if case.turn > 0]) <= 0.20
        assert retried(found) == {True}


def retried(found: Sequence[Case]) -> set[bool]:
    """Whether what failed and came again was bounded as when it came first."""
    pairs = [two for two in pairwise(found) if two[0][:2] == two[1][:2]]
    return {first.bound == again.bound for first, again in pairs}


def test_the_tasks_are_as_various_as_real_ones() -> None:
    tasks = [Task(number, pool()) for number in range(TASKS)]
    assert {task.habits.wire for task in tasks} == FIELDS.keys()
    assert {what for task in tasks for what in task.incidents.values()} == INCIDENTS.keys()
    assert min(task.length for task in tasks) <= 6
    assert max(task.length for task in tasks) == 60
    family = Family("OpenAI o200k")
    prompts = [family.count(head.system) for head in pool().heads]
    assert min(prompts) < 3_000
    assert max(prompts) > 12_000


def margin(*requests: Request) -> int:
    """By how many tokens the bound of the last of these requests is above the truth."""
    family = Family("OpenAI o200k")
    desk = Desk([family])
    calls = [list(desk.call(request)) for request in requests]
    [(_, bound, known)] = calls[-1]
    assert known is not None
    return bound - family.input(requests[-1])


def test_what_a_provider_says_of_tools_by_itself_is_in_the_bound() -> None:
    """The first tool of a conversation may be shorter than the words that the provider adds."""
    question, answer = Said("user", (Text("Good day."),)), Said("assistant", (Text("Yes?"),))
    more = Said("user", (Text("Then look."),))
    bare, tooled = Head("Be brief.", ()), Head("Be brief.", minimal_toolbox())
    first = Request(bare, (question,), answer, PLAIN)
    assert 0 <= margin(first, Request(tooled, (question, answer, more), answer, PLAIN)) < 1_100


def test_a_thought_that_is_longer_than_its_seal_is_in_the_bound() -> None:
    call = Call("toolu_01", "a", {})
    thought = Thought("Why? I do not know, but it may be so. " * 200, "", "c2VhbA==")
    question, answer = Said("user", (Text("Why?"),)), Said("assistant", (thought, call))
    result = Said("tool", (Outcome(call, ""),))
    head = Head("Be brief.", minimal_toolbox())
    first = Request(head, (question,), answer, PLAIN)
    assert 0 <= margin(first, Request(head, (question, answer, result), answer, PLAIN)) < 200


SAMPLE = "Hello, 世界! 😀 0x1F\n\tif (a != b) return 12345;"


@pytest.mark.parametrize(("vocabulary", "ids"), REFERENCE.items())
def test_the_vocabularies_are_the_real_ones(vocabulary: str, ids: str) -> None:
    """The ids are those of the vendors' own libraries: tiktoken, tokenizers, sentencepiece."""
    assert Family(vocabulary).ids(SAMPLE) == [int(one) for one in ids.split()]
