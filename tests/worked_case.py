"""The worked case that this field quotes, call by call: 38 calls of a coding task, 525,000 tokens.

What is quoted are sums: 280,000 tokens of accumulated context, 156,000 of system prompt (38 times),
70,000 of tool outputs and 19,000 of agent output. In an append-only history every token is sent
again by each later call, so with 89,000 tokens that came in and 280,000 that were sent again, most
of the content must have come in the last few calls; a file of 2,000 tokens read at step 5 is sent
again 33 times and takes 66,000 of the sum by itself. `worked_case` spreads the rest so that every
sum is met to the token.

Real requests put JSON around a message, and some of it counts: in the simulator, where a token is
four bytes, a text counts its own bytes, but a tool call or a result the JSON of its block. A result
here is as long as its whole block (`exchange` shortens the text in it). An answer is billed by the
name and the arguments of the call alone and is longer when it is sent back, by `frame` tokens: they
are in the sum of accumulated context, and the case is spread so that it is met with them. A frame
is new in the next request, where no report tells it from the result beside it: of the 70,000 the
breakdown may show up to 37 frames more.

Knows the simulator's tokenizer and Anthropic's blocks, and nothing of the package under test.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from budgetd.simulator.tokens import count, spell

CALLS = 38
SYSTEM = 4_105  # tokens; 38 times 155,990
TASK = 40  # tokens of the user's one message
HISTORY, RESULTS, OUTPUT = 280_000, 70_000, 19_000
READ_AT, READ = 5, 2_000  # the file: new in the fifth request
TOOL = "Read"
_LEAST_RESULT, _LEAST_OUTPUT = 40, 30


@dataclass(frozen=True, slots=True)
class Step:
    """A call: tokens of the tool result that is new in its request (0 in the first one), and of its
    answer. `sent_back` is what the answer counts in later requests.
    """

    result: int
    output: int
    sent_back: int


@dataclass(frozen=True, slots=True)
class Case:
    """The calls of the task, and how long the parts are that do not change."""

    steps: tuple[Step, ...]
    system: int = SYSTEM
    task: int = TASK

    @property
    def inputs(self) -> list[int]:
        """The input tokens of each request."""
        sizes, size = [], self.system + self.task
        for step in self.steps:
            size += step.result
            sizes.append(size)
            size += step.sent_back
        return sizes


def worked_case(frame: int = 0) -> Case:
    """The case with answers that are `frame` tokens longer in later requests than they were billed."""
    results = [0, *(_LEAST_RESULT,) * (CALLS - 1)]
    results[READ_AT - 1] = READ
    outputs = [_LEAST_OUTPUT] * CALLS
    both = zip(results, outputs, strict=True)
    again = sum((CALLS - at) * (result + output) for at, (result, output) in enumerate(both, 1))
    again += (CALLS - 1) * TASK + frame * sum(range(CALLS))
    rest = RESULTS - sum(results), OUTPUT - sum(outputs)
    late = (HISTORY - again) * rest[0] // sum(rest)
    for sizes, tokens, weight in (
        (results, rest[0], late),
        (outputs, rest[1], HISTORY - again - late),
    ):
        for age, more in enumerate(_spread(tokens, weight)):
            sizes[CALLS - 1 - age] += more
    return Case(tuple(Step(r, o, o + frame) for r, o in zip(results, outputs, strict=True)))


def _spread(tokens: int, weight: int) -> list[int]:
    """Tokens by age (how many calls are still to come), evenly over the youngest ages, so that the
    sum of tokens x age is `weight`.
    """
    ages = 2 * weight // tokens + 1  # evenly over these the sum is a little less than wanted
    sizes = [tokens // ages] * ages + [0]
    sizes[0] += tokens % ages
    short = weight - sum(age * size for age, size in enumerate(sizes))
    for age in reversed(range(ages)):
        older = min(short // (age + 1), sizes[age])  # every token that gets a call older adds one
        sizes[age] -= older
        sizes[age + 1] += older
        short -= older
    return sizes


# ------------------------------------------------------------------------- for a replay, in messages


def opening() -> tuple[str, str]:
    """System prompt and task, as texts of so many tokens."""
    return spell(SYSTEM), spell(TASK)


def arguments(step: Step) -> dict[str, str]:
    """Arguments for `TOOL` with which an answer has as many tokens as the step's."""
    empty = len(TOOL + json.dumps({"path": ""}, separators=(",", ":")))
    return {"path": "x" * (4 * step.output - empty)}


def exchange(asked: Step, answered: Step, call_id: str) -> list[dict[str, object]]:
    """The two messages with which the request of `answered` goes on after the answer of `asked`."""
    call = _call(asked, call_id)
    result = {"type": "tool_result", "tool_use_id": call_id, "content": ""}
    result["content"] = "y" * (4 * answered.result - len(_json(result)))
    return [{"role": "assistant", "content": [call]}, {"role": "user", "content": [result]}]


def frame_of(call_id: str) -> int:
    """Tokens that a call is longer when it is sent back than it was billed."""
    step = Step(100, 100, 100)
    return count(_json(_call(step, call_id))) - step.output


def _call(step: Step, call_id: str) -> dict[str, object]:
    return {"type": "tool_use", "id": call_id, "name": TOOL, "input": arguments(step)}


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
