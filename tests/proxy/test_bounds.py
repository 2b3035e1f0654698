"""Whatever clients do to their histories, nothing is held below what a reader finds in them.

The reader here takes a token for each byte of every word, the most that any tokenizer makes of it,
and the clients do all at once what real ones do: words as a string or in blocks, clocks that move
about, cache marks, members that say nothing, other tools, edits, compactions, calls at once, calls
that fail, sessions with a name and without.
"""

from __future__ import annotations

import json
import random
import re
from typing import Any

import pytest

from budgetd.core.sessions import Claim
from budgetd.proxy.visits import Visit
from tests.proxy.test_forged_histories import bound
from tests.proxy.test_sessions import Message, Town, ran, said

CLOCK = re.compile(r"\n?<info-msg>.*</info-msg>", re.DOTALL)
TOOLS: tuple[Message, ...] = (
    {"tools": []},
    {"tools": [{"name": "T" * 400}]},
    {"tools": [{"name": "U" * 50}]},
)
STEPS = 800


def tokens(value: Any) -> int:
    """What the reader finds in a value of JSON: every word, but for marks and types."""
    if isinstance(value, str):
        return len(value.encode())
    if isinstance(value, dict):
        words = (told for name, told in value.items() if name not in {"cache_control", "type"})
        return sum(map(tokens, words))
    return sum(map(tokens, value)) if isinstance(value, list) else 0


class Client:
    """Makes up messages, and sends them in another form each time."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice

    def words(self) -> str:
        """Something that somebody says."""
        dice = self._dice
        return dice.choice(["a" * dice.randrange(1, 300), "é" * dice.randrange(40), "", "x\ny"])

    def clocked(self) -> str:
        """The same, often with a clock in it."""
        clock = f"<info-msg>{'i' * self._dice.choice([0, 5, 500])}</info-msg>"
        told = self.words() + self._dice.choice(["", "\n"]) + clock + self._dice.choice(["", "\ny"])
        return told if self._dice.random() < 0.25 else self.words()

    def message(self) -> Message:
        """Anybody's."""
        author = self._dice.choice(["system", "user", "user", "user", "assistant", "tool", "call"])
        if author == "call":
            return ran(f"c{self._dice.randrange(99)}", cmd=self.words())
        if author == "user" and self._dice.random() < 0.4:
            mark = {"type": "text", "text": self.words(), "cache_control": {"type": "ephemeral"}}
            return {"role": "user", "content": [{"type": "text", "text": self.clocked()}, mark]}
        return {"role": author, "content": self.clocked() if author == "user" else self.words()}

    def rewritten(self, message: Message) -> Message:
        """The same message in another form, or another one in its place."""
        content = message["content"]
        if not isinstance(content, str):
            return message
        if message["role"] != "user":
            return {**message, "name": None, "content": [{"type": "text", "text": content}]}
        other = self._dice.choice(
            [CLOCK.sub("", content), f"{content}\n<info-msg>{'z' * 800}</info-msg>"]
        )
        return {**message, "content": other} if self._dice.random() < 0.7 else self.message()

    def history(self, earlier: list[Message]) -> list[Message]:
        """What comes after an earlier one."""
        dice = self._dice
        found = [*earlier, *(self.message() for _ in range(dice.randrange(3)))]
        if dice.random() < 0.35:
            found = [self.rewritten(one) if dice.random() < 0.3 else one for one in found]
        if dice.random() < 0.1:
            found.insert(dice.randrange(len(found) + 1), self.message())
        return found if len(found) <= 14 else found[: dice.randrange(2, 9)]


@pytest.mark.parametrize("seed", range(4))
def test_no_bound_is_below_what_is_read(seed: int) -> None:
    dice, town = random.Random(seed), Town()
    client, earlier, waiting, known = Client(dice), [[said("a")]], [], 0
    for _ in range(STEPS):
        talk = client.history(dice.choice(earlier))
        earlier = [*earlier, talk][-25:]
        fields: dict[str, Any] = dict(dice.choice(TOOLS))
        if dice.random() < 0.1:
            fields["response_format"] = {"x": client.words()}
        read = tokens(talk) + tokens(fields)
        if dice.random() < 0.4:
            fields["claim"] = Claim(dice.choice("pq"), "client", kind=dice.choice(["turn", "side"]))
        visit = town.ask(talk, repeated=dice.random() < 0.2, **fields)
        assert bound(visit) >= read, json.dumps(talk)
        known += visit.known is not None
        waiting.append((visit, read))
        while waiting and dice.random() < 0.7:
            end(town, client, dice, *waiting.pop(dice.randrange(len(waiting))))
    assert known > STEPS / 3


def end(town: Town, client: Client, dice: random.Random, visit: Visit, read: int) -> None:
    """A call is refused, fails, or is answered."""
    if dice.random() < 0.2:
        visit.refused()
        return
    reply = dice.choice([None, said(client.words()), ran(f"c{dice.randrange(99)}")])
    town.answer(visit, reply, input=max(read, 1), output=dice.randrange(1, 900))
