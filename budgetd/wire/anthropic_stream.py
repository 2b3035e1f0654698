"""Anthropic Messages' streams: usage that overlays, event by event, and how to end one early.

A stream states its input in `message_start` and its output, cumulatively, in every `message_delta`:
fields overlay, nothing is added up. `message_stop` ends it.
"""

from __future__ import annotations

from typing import Any

import msgspec

from budgetd.core.usage import Reported
from budgetd.wire.answers import Answer
from budgetd.wire.anthropic_usage import Message, report
from budgetd.wire.figures import count, decoded, is_count, json_object, present, word
from budgetd.wire.streaming import EventTap

_NOTHING = msgspec.Raw()


class _Delta(msgspec.Struct):
    text: msgspec.Raw = _NOTHING
    thinking: msgspec.Raw = _NOTHING
    partial_json: msgspec.Raw = _NOTHING
    citation: msgspec.Raw = _NOTHING
    stop_reason: msgspec.Raw = _NOTHING


class _Block(msgspec.Struct):
    type: str = ""
    id: msgspec.Raw = _NOTHING
    text: msgspec.Raw = _NOTHING


class _Event(msgspec.Struct):
    type: str = ""
    index: int | None = None
    delta: _Delta | None = None
    content_block: _Block | None = None
    message: Message | None = None
    usage: msgspec.Raw = _NOTHING


_EVENT = msgspec.json.Decoder(_Event)


class MessagesTap(EventTap):
    """Reads a stream of events; there is nothing to hide in it."""

    __slots__ = ("_answer", "_block", "_model", "_reported", "_started", "_stopped", "_usage")

    def __init__(self) -> None:
        super().__init__(hides=False)
        self._started = self._stopped = False  # a message_start, a stop_reason was sent
        self._block: tuple[int, str] | None = None  # the open content block: index and type
        self._model: str | None = None
        self._usage: dict[str, Any] = {}
        self._answer = Answer()
        self._reported: Reported | None = None

    @property
    def reported(self) -> Reported | None:
        """See `Tap.reported`."""
        if self._reported is None:
            self._reported = report(self._usage, self._model)
        return self._reported

    @property
    def mark(self) -> int:
        """See `Tap.mark`."""
        return self._answer.mark

    def _read(self, data: bytes) -> bool:
        if not data:
            return False
        event = decoded(_EVENT, data)
        if event is None:
            self.visible_bytes += len(data)  # cannot be read: count all of it
            return False
        match event.type:
            case "content_block_delta":
                self._count(event.delta)
            case "content_block_start":
                self._open(event.index or 0, event.content_block or _Block())
                self.visible_bytes += len(data)
            case "content_block_stop":
                self._block = None
            case "message_start":
                self._start(event.message)
            case "message_delta":
                self._overlay(event.usage)
                if event.delta is not None and present(bytes(event.delta.stop_reason)):
                    self._stopped = True
            case "message_stop":
                self.terminal = True
        return False

    def _start(self, message: Message | None) -> None:
        self._started = True
        if message is not None:
            self._model = word(bytes(message.model))
            self._overlay(message.usage)

    def _open(self, index: int, block: _Block) -> None:
        self._block = (index, block.type)
        if block.type == "tool_use":
            self._answer.call(word(bytes(block.id)))
        elif block.text is not _NOTHING:  # empty, but from some gateways
            self._answer.words(bytes(block.text))

    def _count(self, delta: _Delta | None) -> None:
        if delta is not None:
            if delta.text is not _NOTHING:
                text = bytes(delta.text)
                self._answer.words(text)
                self.visible_bytes += len(text)
            for raw in (delta.thinking, delta.partial_json, delta.citation):
                if raw is not _NOTHING:
                    self.visible_bytes += len(bytes(raw))

    def _overlay(self, raw: msgspec.Raw) -> None:
        stated = json_object(bytes(raw)) or {}
        for name, value in stated.items():
            # Figures are cumulative: a zero takes back nothing, it was left out (by gateways).
            if value is not None and not (is_count(value) and not value and self._usage.get(name)):
                self._usage[name] = value
        self._reported = None

    def _at_end(self) -> None:
        """Nothing but a message_stop ends a message."""

    def _last_words(self) -> bytes | None:
        """Close the open block, state `max_tokens`, stop."""
        if not self._started or (self._block is not None and self._block[1].endswith("tool_use")):
            return None
        out = b""
        if self._block is not None:
            out += (
                b'event: content_block_stop\ndata: {"type":"content_block_stop","index":%d}\n\n'
                % self._block[0]
            )
        if not self._stopped:
            out += (
                b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"max_tokens",'
                b'"stop_sequence":null},"usage":{"output_tokens":%d}}\n\n'
                % count(self._usage.get("output_tokens"))
            )
        return out + b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
