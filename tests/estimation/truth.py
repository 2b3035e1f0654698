"""The truth of a request: its tokens, by a real tokenizer and a chat template on the dear side.

Each message, block, call, result and tool costs what stands in it and 8 tokens around it, more than
any of the published templates puts there (ChatML: 4 to 5; Llama 3: 5; Mistral: 2; Harmony: 4 to 7).
Tools and arguments are JSON with spaces between, as `tojson` in those templates writes them; ids
are counted too. Offered tools cost 350 tokens more, like at Anthropic. What was thought goes back
whole, however short its seal is.
"""

from __future__ import annotations

import json

from tests.estimation.prompts import Tool
from tests.estimation.shapes import given
from tests.estimation.tasks import (
    Call,
    Habits,
    Head,
    Outcome,
    Part,
    Picture,
    Request,
    Said,
    Text,
    Thought,
)

AROUND = 8
TOOL_PROMPT = 350
# Vendor's vocabulary -> its name in the package that brings it.
VOCABULARIES = {
    "OpenAI o200k": "o200k_base",
    "Qwen 3": "qwen3",
    "DeepSeek V3": "deepseek_v3",
    "Mistral Tekken": "mistral_v3",
    "Mistral SentencePiece": "mistral_v2",
}


class Family:
    """A family of models: how it counts."""

    def __init__(self, vocabulary: str) -> None:
        from splintr import Tokenizer

        self.vocabulary = vocabulary
        self._encode = Tokenizer.from_pretrained(VOCABULARIES[vocabulary]).encode_ordinary
        self._counts: dict[str, int] = {}
        self._kept: dict[tuple[object, object], tuple[int, int]] = {}

    def ids(self, text: str) -> list[int]:
        """The tokens of a text."""
        return self._encode(text)

    def count(self, text: str) -> int:
        """Tokens of a text by itself."""
        found = self._counts.get(text)
        if found is None:
            found = self._counts[text] = len(self._encode(text))
        return found

    def input(self, request: Request) -> int:
        """Tokens that the provider reads."""
        habits = request.habits
        last = max(n for n, said in enumerate(request.entries) if said.author == "user")
        total = self._head(request.head) + AROUND
        for number, said in enumerate(request.entries):
            words, thoughts = self._said(said, habits)
            total += words
            if _goes_back(habits) and not habits.calm and (number > last or not habits.forgets):
                total += thoughts
        return total

    def output(self, request: Request) -> int:
        """Tokens that the model writes."""
        return sum(self._said(request.answer, request.habits))

    def _head(self, head: Head) -> int:
        found = self._kept.get((head, None))
        if found is None:
            tools = sum(self._json(_told(tool)) + AROUND for tool in head.tools)
            tokens = self.count(head.system) + AROUND + tools + (TOOL_PROMPT if tools else 0)
            found = self._kept[head, None] = (tokens, 0)
        return found[0]

    def _said(self, said: Said, habits: Habits) -> tuple[int, int]:
        """Tokens of an entry without what was thought, and of the thoughts in it."""
        key = (said, (habits.wire, habits.roomy))
        found = self._kept.get(key)
        if found is None:
            counts = [(self._part(part, habits), isinstance(part, Thought)) for part in said.parts]
            thoughts = sum(tokens for tokens, thought in counts if thought)
            words = sum(tokens for tokens, thought in counts if not thought)
            found = self._kept[key] = (words + AROUND, thoughts)
        return found

    def _part(self, part: Part, habits: Habits) -> int:
        if isinstance(part, Picture):
            return part.tokens + AROUND
        if isinstance(part, Text | Thought):
            return self.count(part.words) + AROUND
        if isinstance(part, Outcome):
            words = _roomy(part.words) if habits.wire == "gemini" else part.words
            return self.count(words) + self._named(part.call) + AROUND
        in_string = habits.wire in {"chat", "responses"}
        arguments = given(part, habits) if in_string else _roomy(part.arguments)
        return self.count(arguments) + self._named(part) + AROUND

    def _named(self, call: Call) -> int:
        return self.count(call.name) + self.count(call.id)

    def _json(self, value: object) -> int:
        return self.count(_roomy(value))


def _goes_back(habits: Habits) -> bool:
    """Whether what was thought is part of later requests."""
    return habits.wire in {"anthropic", "responses"} or (habits.wire == "chat" and habits.returns)


def _told(tool: Tool) -> dict[str, object]:
    function = {"name": tool.name, "description": tool.description, "parameters": tool.schema}
    return {"type": "function", "function": function}


def _roomy(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
