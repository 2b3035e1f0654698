"""OpenAI Chat Completions' streams: what each chunk says, and how to end one early.

Usage arrives in an extra chunk with no choices if asked for, on the last content chunk (Mistral),
inside `choices[0]` (Kimi) or in `x_groq`; the last report wins and none are added up. `[DONE]` ends
a stream. What a usage object means is read in `wire.openai_chat_usage`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from budgetd.core.usage import Reported
from budgetd.wire.answers import Answer
from budgetd.wire.figures import decoded, json_object, members, present, word
from budgetd.wire.openai_chat_usage import report
from budgetd.wire.streaming import EventTap

_NOTHING = msgspec.Raw()


class _Function(msgspec.Struct):
    name: msgspec.Raw = _NOTHING
    arguments: msgspec.Raw = _NOTHING
    input: msgspec.Raw = _NOTHING


class _Call(msgspec.Struct):
    id: msgspec.Raw = _NOTHING
    function: _Function | None = None
    custom: _Function | None = None


class _Delta(msgspec.Struct):
    content: msgspec.Raw = _NOTHING
    reasoning_content: msgspec.Raw = _NOTHING
    reasoning: msgspec.Raw = _NOTHING
    refusal: msgspec.Raw = _NOTHING
    audio: msgspec.Raw = _NOTHING
    tool_calls: list[_Call] | None = None
    function_call: _Function | None = None


class _Choice(msgspec.Struct):
    index: int | None = None
    delta: _Delta | None = None
    text: msgspec.Raw = _NOTHING
    finish_reason: msgspec.Raw = _NOTHING
    usage: msgspec.Raw = _NOTHING


class _Chunk(msgspec.Struct):
    id: msgspec.Raw = _NOTHING
    choices: list[_Choice] | None = None
    usage: msgspec.Raw = _NOTHING
    x_groq: msgspec.Raw = _NOTHING
    model: msgspec.Raw = _NOTHING
    service_tier: msgspec.Raw = _NOTHING
    created: msgspec.Raw = _NOTHING
    error: msgspec.Raw = _NOTHING


_CHUNK = msgspec.json.Decoder(_Chunk)
_OPEN, _TOOL, _DONE = "open", "tool", "done"  # the states of a choice


class ChatTap(EventTap):
    """Reads a stream of chunks; `hides` drops the usage chunk that the client did not ask for.
    `words` is true for the older completions, whose choices carry text.
    """

    __slots__ = (
        "_answer",
        "_choices",
        "_created",
        "_id",
        "_model",
        "_reported",
        "_tier",
        "_words",
    )

    def __init__(self, *, hides: bool, words: bool) -> None:
        super().__init__(hides=hides)
        self._words = words
        self._id = self._created = b""
        self._model = self._tier = _NOTHING
        self._choices: dict[int, str] = {}
        self._answer = Answer()
        self._reported: Reported | None = None

    @property
    def reported(self) -> Reported | None:
        """See `Tap.reported`."""
        return self._reported

    @property
    def mark(self) -> int:
        """See `Tap.mark`. Of several answers a conversation goes on with the first."""
        return self._answer.mark

    def _read(self, data: bytes) -> bool:
        if not data or self.terminal:
            return False
        if data.startswith(b"[DONE]"):
            self.terminal = True
            return False
        chunk = decoded(_CHUNK, data)
        if chunk is None:
            self.visible_bytes += len(data)  # cannot be read: count all of it
            return False
        if not self._id:
            self._id, self._created = bytes(chunk.id), bytes(chunk.created)
        if chunk.model is not _NOTHING:
            self._model = chunk.model
        if chunk.service_tier is not _NOTHING:
            self._tier = chunk.service_tier
        choices = chunk.choices
        if choices:
            for choice in choices:
                self._take(choice)
        if chunk.usage is not _NOTHING and present(usage := bytes(chunk.usage)):
            self._report(json_object(usage))
            return not choices and not _there(chunk.error)
        if chunk.x_groq is not _NOTHING:
            self._report(members(json_object(bytes(chunk.x_groq))).get("usage"))
        return False

    def _take(self, choice: _Choice) -> None:
        index = choice.index or 0
        state = self._choices.get(index, _OPEN)
        delta = choice.delta
        if delta is not None:
            content = bytes(delta.content)
            self.visible_bytes += len(content) + _visible(delta)
            if content and not index:
                self._answer.words(content)
            if delta.tool_calls or delta.function_call is not None:
                state = _TOOL
                if not index:
                    self._hear(delta)
        if choice.text is not _NOTHING:
            self.visible_bytes += len(bytes(choice.text))
        if _there(choice.finish_reason):
            state = _DONE
        self._choices[index] = state
        if _there(choice.usage):
            self._report(json_object(bytes(choice.usage)))

    def _hear(self, delta: _Delta) -> None:
        """Take note of the tool calls that begin in a delta: what goes on has neither id nor name."""
        for call in delta.tool_calls or ():
            called = call.function or call.custom
            if call.id is not _NOTHING or (called and called.name is not _NOTHING):
                self._answer.call(word(bytes(call.id)))
        old = delta.function_call
        if old is not None and (name := word(bytes(old.name))):
            self._answer.call(f"{name}#0")  # it has no id

    def _report(self, usage: Any) -> None:
        found = report(members(usage), word(bytes(self._model)), word(bytes(self._tier)))
        self._reported = found or self._reported

    def _at_end(self) -> None:
        finished = bool(self._choices) and set(self._choices.values()) == {_DONE}
        if finished and self._reported is not None:
            self.terminal = True  # some servers leave [DONE] out

    def _last_words(self) -> bytes | None:
        """A last chunk with `finish_reason: "length"` for every open choice, then `[DONE]`."""
        if _TOOL in self._choices.values():
            return None
        states = self._choices or {0: _OPEN}
        unfinished = [index for index, state in states.items() if state == _OPEN]
        chunks = [b"data: %s\n\n" % self._cut_short(index) for index in unfinished]
        return b"".join(chunks) + b"data: [DONE]\n\n"

    def _cut_short(self, index: int) -> bytes:
        kind, empty = (
            (b"text_completion", b'"text":"","logprobs":null')
            if self._words
            else (b"chat.completion.chunk", b'"delta":{}')
        )
        return (
            b'{"id":%s,"object":"%s","created":%s,"model":%s,"choices":[{"index":%d,%s,"finish_reason":"length"}]}'
            % (
                self._id or b'"budgetd"',
                kind,
                self._created or b"0",
                bytes(self._model) or b'""',
                index,
                empty,
            )
        )


def _there(raw: msgspec.Raw) -> bool:
    return raw is not _NOTHING and present(bytes(raw))


def _visible(delta: _Delta) -> int:
    """Bytes of output in a delta, its content aside. Some send the same thought under two names: it
    counts once.
    """
    size = 0
    for raw in (delta.refusal, delta.audio):
        if raw is not _NOTHING:
            size += len(bytes(raw))
    for call in delta.tool_calls or ():
        size += _generated(call.function) + _generated(call.custom)
    size += _generated(delta.function_call)
    thought = delta.reasoning_content if _there(delta.reasoning_content) else delta.reasoning
    return size + len(bytes(thought))


def _generated(call: _Function | None) -> int:
    """Bytes of a piece of a tool call that the model wrote: not the JSON around them."""
    if call is None:
        return 0
    return len(bytes(call.name)) + len(bytes(call.arguments)) + len(bytes(call.input))
