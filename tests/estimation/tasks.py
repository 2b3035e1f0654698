"""Agents at work, as values: what is said in a task, and the requests that a client makes of it.

A transcript is kept without any protocol's form. A `Task` tells its requests one after the other,
with everything that real clients do to a history on the way: reminders that come and go, retries,
resumed sessions, compactions, edited turns, tool results taken out again, tools that are added.
Knows nothing of tokens or bytes.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random
from typing import Any, Literal

from tests.estimation import corpus, prompts
from tests.estimation.prompts import Tool

Wire = Literal["anthropic", "chat", "responses", "gemini"]


@dataclass(frozen=True, eq=False, slots=True)
class Text:
    words: str


@dataclass(frozen=True, eq=False, slots=True)
class Thought:
    """What a model thought: all of it, what of it is shown, and the seal that stands for it."""

    words: str
    shown: str
    seal: str


@dataclass(frozen=True, eq=False, slots=True)
class Call:
    id: str
    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True, eq=False, slots=True)
class Outcome:
    """What came of a call."""

    call: Call
    words: str
    failed: bool = False


@dataclass(frozen=True, eq=False, slots=True)
class Picture:
    data: str  # base64
    tokens: int


Part = Text | Thought | Call | Outcome | Picture


@dataclass(frozen=True, eq=False, slots=True)
class Said:
    """One entry of a transcript."""

    author: Literal["user", "assistant", "tool"]
    parts: tuple[Part, ...]


@dataclass(frozen=True, eq=False, slots=True)
class Head:
    system: str
    tools: tuple[Tool, ...]


@dataclass(frozen=True, slots=True)
class Habits:
    """How a client writes. `blocks`: content in a list even where a string would do; `roomy`: with
    spaces in the JSON that travels in strings; `marks`: with cache_control at the end; `clocks`:
    with the time before the newest answer; `returns`: thoughts go back where they need not.

    And how its model reads: `forgets`: not what was thought before the user's last word; `calm`:
    no thoughts at all, because thinking is switched off.
    """

    wire: Wire
    ascii: bool = False
    spaced: bool = False
    blocks: bool = False
    roomy: bool = False
    marks: bool = False
    clocks: bool = False
    thinks: bool = False
    returns: bool = False
    forgets: bool = False
    calm: bool = False


@dataclass(frozen=True, eq=False, slots=True)
class Request:
    """One call: what is asked, and what comes back. `fails`: no answer the first time."""

    head: Head
    entries: tuple[Said, ...]
    answer: Said
    habits: Habits
    fails: bool = False


class Pool:
    """Contents that tasks draw from, made once: what differs between tasks is how they go."""

    def __init__(self, random: Random, size: int) -> None:
        self.results = [corpus.some(random, corpus.length(random)) for _ in range(size)]
        self.snippets = [corpus.source(random, random.randrange(20, 1_500)) for _ in range(size)]
        self.scripts = [corpus.script(random, random.randrange(20, 300)) for _ in range(size // 4)]
        self.heads = [
            Head(
                prompts.system_prompt(random, random.randrange(8_000, 64_000)),
                prompts.toolbox(random, random.randrange(12_000, 60_000)),
            )
            for _ in range(24)
        ]


# What happens once to how many of a hundred tasks.
INCIDENTS = {
    "compaction": 15, "edit": 10, "resume": 12, "pruning": 4, "connection": 6, "failure": 12, "reform": 5,
    "calm": 8,
}  # fmt: skip  # a table


class Task:
    """One task of an agent. The same number and pool give the same task."""

    def __init__(self, number: int, pool: Pool) -> None:
        self._random = random = Random(number)
        self._pool = pool
        self.habits = _habits(random)
        self.length = min(5 + int(random.lognormvariate(2.6, 0.7)), 60)
        self.incidents = {
            random.randrange(2, self.length): incident
            for incident, share in INCIDENTS.items()
            if random.random() * 100 < share
        }
        self._head = random.choice(pool.heads)
        self._entries: list[Said] = []
        self.tells = random.random() < 0.5  # its client says which session a call is of
        self._pictures = self.habits.wire in {"anthropic", "chat"} and random.random() < 0.05

    def requests(self) -> Iterator[Request]:
        """Its requests, the first to the last."""
        self._entries.append(self._user())
        for number in range(self.length):
            incident = self.incidents.get(number, "")
            if self.incidents.get(number - 3) == "calm":
                self.habits = replace(self.habits, calm=False)
            self._meet(incident)
            entries = self._clocked() if self.habits.clocks else tuple(self._entries)
            answer = self._answer(more=number + 1 < self.length)
            fails = incident == "failure"
            yield Request(self._head, entries, answer, self.habits, fails)
            self._entries.append(answer)
            calls = [part for part in answer.parts if isinstance(part, Call)]
            self._entries.append(self._outcomes(calls) if calls else self._user())

    def _meet(self, incident: str) -> None:
        """Change the transcript as clients do."""
        random, entries = self._random, self._entries
        if incident == "compaction":
            summary = " ".join(corpus.sentence(random) for _ in range(random.randrange(20, 90)))
            self._entries = [Said("user", (Text(f"Summary of the work so far: {summary}"),))]
        elif incident == "edit":
            users = [n for n, said in enumerate(entries) if said.author == "user"]
            self._entries = [*entries[: random.choice(users)], self._user()]
        elif incident == "resume":
            kept = self._head.system.rpartition("\n\n<env>")[0]
            system = f"{kept}\n\n{prompts.workplace(random)}"
            self._head = Head(system, self._head.tools)
        elif incident == "pruning":
            self._entries = [
                _pruned(said) if n < len(entries) - 4 else said for n, said in enumerate(entries)
            ]
        elif incident == "connection":
            more = [prompts.connected_tool(random) for _ in range(random.randrange(1, 25))]
            self._head = Head(self._head.system, (*self._head.tools, *more))
        elif incident == "calm":
            self.habits = replace(self.habits, calm=True)
        elif incident == "reform":
            self.habits = replace(
                self.habits, blocks=not self.habits.blocks, roomy=not self.habits.roomy
            )

    def _clocked(self) -> tuple[Said, ...]:
        """The transcript with a clock and a list of plans before the newest answer, as goose does
        it.
        """
        random, entries = self._random, self._entries
        plans = "\n".join(f"- {corpus.sentence(random)}" for _ in range(random.randrange(40)))
        words = f"It is {corpus.stamp(random)}\n{plans}"
        clock = Text(f"<info-msg>\n{words}\n</info-msg>")
        last = max((n for n, said in enumerate(entries) if said.author == "assistant"), default=1)
        before = entries[last - 1]
        if before.author == "user":
            return (*entries[: last - 1], Said("user", (*before.parts, clock)), *entries[last:])
        return (*entries[:last], Said("user", (clock,)), *entries[last:])

    def _user(self) -> Said:
        random = self._random
        words = " ".join(corpus.sentence(random) for _ in range(random.randrange(1, 5)))
        if random.random() < 0.1:
            words = random.choice(self._pool.scripts)
        parts: list[Part] = [Text(words)]
        if random.random() < 0.15:
            parts.append(Text(random.choice(self._pool.results)[:8_000] or "-"))
        if self._pictures and random.random() < 0.5:
            data = base64.b64encode(random.randbytes(random.randrange(9_000, 40_000))).decode()
            parts.append(Picture(data, random.randrange(200, 1_600)))
        return Said("user", tuple(parts))

    def _answer(self, *, more: bool) -> Said:
        random = self._random
        parts: list[Part] = []
        if self.habits.thinks and not self.habits.calm and random.random() < 0.8:
            parts.append(self._thought())
        calls = random.choice([0, 1, 1, 1, 1, 1, 1, 2, 3, 5]) if more else 0
        if not calls or random.random() < 0.6:
            parts.append(
                Text(" ".join(corpus.sentence(random) for _ in range(random.randrange(1, 6))))
            )
        parts += [self._call() for _ in range(calls)]
        return Said("assistant", tuple(parts))

    def _thought(self) -> Thought:
        random = self._random
        length = int(random.lognormvariate(2.5, 1.0)) + 1
        words = " ".join(corpus.sentence(random) for _ in range(length))
        if random.random() < 0.5:
            return Thought(words, words, corpus.token(random, 344))
        if random.random() < 0.2:
            return Thought(words, "", corpus.token(random, 344))
        return Thought(words, words[: length * 15], corpus.token(random, 200 + len(words) * 4 // 3))

    def _call(self) -> Call:
        random, pool = self._random, self._pool
        name = random.choice(
            [
                "Read",
                "Read",
                "Bash",
                "Bash",
                "Grep",
                "Edit",
                "Edit",
                "Write",
                "Glob",
                "Plan",
                "Notebook",
            ]
        )
        arguments: dict[str, Any] = {}
        for param, kind, required in prompts.WORKSHOP[name]:
            if not required and random.random() < 0.5:
                continue
            if kind == "integer":
                arguments[param] = random.randrange(2_000)
            elif kind == "array":
                arguments[param] = [
                    random.choice([corpus.name(random), random.randrange(99)])
                    for _ in range(random.randrange(9))
                ]
            elif param in {"old_string", "new_string", "cell"}:
                arguments[param] = random.choice(pool.snippets)
            elif param == "content":
                arguments[param] = random.choice(pool.results)[:12_000]
            else:
                arguments[param] = random.choice([corpus.path, corpus.name, corpus.sentence])(
                    random
                )
        prefix = {"anthropic": "toolu_01", "gemini": ""}.get(self.habits.wire, "call_")
        return Call(prefix + corpus.token(random, 22), name, arguments)

    def _outcomes(self, calls: list[Call]) -> Said:
        return Said("tool", tuple(self._outcome(call) for call in calls))

    def _outcome(self, call: Call) -> Outcome:
        random = self._random
        if call.name in {"Edit", "Write", "Plan", "Notebook"}:
            path = call.arguments.get("file_path", "the plan")
            return Outcome(call, random.choice(["", "ok", f"The file {path} has been updated."]))
        if random.random() < 0.06:
            return Outcome(call, f"error: {corpus.sentence(random)}", failed=True)
        return Outcome(call, random.choice(self._pool.results) if random.random() < 0.95 else "")


def _habits(random: Random) -> Habits:
    wire: Wire = random.choices(["anthropic", "chat", "responses", "gemini"], [45, 42, 8, 5])[0]  # type: ignore[assignment]  # one of the literals
    return Habits(
        wire=wire,
        ascii=random.random() < 0.25,
        spaced=random.random() < 0.2,
        blocks=random.random() < 0.5,
        roomy=random.random() < 0.5,
        marks=wire == "anthropic" and random.random() < 0.7,
        clocks=random.random() < 0.08,
        thinks=random.random() < 0.4,
        returns=wire == "anthropic" or random.random() < 0.5,
        forgets=random.random() < 0.5,
    )


def _pruned(said: Said) -> Said:
    """An entry whose long results were taken out."""
    if said.author != "tool":
        return said
    return Said(
        "tool",
        tuple(
            replace(part, words="[old result cleared]")
            if isinstance(part, Outcome) and len(part.words) > 200
            else part
            for part in said.parts
        ),
    )
