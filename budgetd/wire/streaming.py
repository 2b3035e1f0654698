"""What the taps of all event streams have in common: passing bytes, cutting events, ending early.

Every chunk goes on as it came, unless there is something to hide: then whole events go on, and an
incomplete one waits. Once somebody has asked for an ending, whole events go on too, because a
stream can only be ended between two of them. What an event means is for the dialect to say.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from budgetd.core.usage import Reported
from budgetd.wire.coding import Decoder
from budgetd.wire.dialect import Tap
from budgetd.wire.sse import Splitter, data_of

UNREADABLE_BYTES = 2**40  # "visible" in a stream that cannot be read: all that the hold covers


class EventTap(ABC):
    """Reads a stream of events as it passes. A dialect says what they mean, and how to end."""

    __slots__ = ("_closing", "_hides", "_splitter", "_unsent", "terminal", "visible_bytes")

    def __init__(self, *, hides: bool) -> None:
        self._hides = hides
        self._splitter = Splitter()
        self._closing = False  # an ending was asked for while an event was half sent
        self._unsent = b""  # kept back since
        self.terminal = False
        self.visible_bytes = 0

    @property
    @abstractmethod
    def reported(self) -> Reported | None:
        """Usage, as far as it is known by now."""

    @abstractmethod
    def _read(self, data: bytes) -> bool:
        """Take in an event's payload. True: it is to be hidden."""

    @abstractmethod
    def _last_words(self) -> bytes | None:
        """Events that end the stream legally; None where that is not possible now."""

    @abstractmethod
    def _at_end(self) -> None:
        """Upstream has ended."""

    def feed(self, chunk: bytes) -> bytes:
        """What goes on now. With nothing to hide that is the chunk."""
        events = self._splitter.feed(chunk)
        if self._hides:
            return b"".join([event for event in events if not self._read(data_of(event))])
        for event in events:
            self._read(data_of(event))
        return self._whole_events(chunk) if self._closing else chunk

    def _whole_events(self, chunk: bytes) -> bytes:
        unsent = self._unsent + chunk
        ready = max(len(unsent) - self._splitter.pending, 0)
        self._unsent = unsent[ready:]
        return unsent[:ready]

    def finish(self) -> bytes:
        """What was kept back. A last event without its blank line counts."""
        rest = self._splitter.finish()
        hidden = bool(rest) and self._read(data_of(rest + b"\n\n"))
        self._at_end()
        if self._hides:
            return b"" if hidden else rest
        unsent, self._unsent = self._unsent, b""
        return unsent

    def ending(self) -> bytes | None:
        """Bytes that end the stream legally after what was passed on so far, none if it has ended.
        None inside a tool call, and where an event is half sent: from then on only whole ones are.
        """
        if self.terminal:
            return b""
        if not self._hides and self._splitter.pending > len(self._unsent):
            self._closing = True
            return None
        return self._last_words()


class EncodedTap:
    """Reads a stream that came compressed although nobody asked for it: passes it on as it is."""

    __slots__ = ("_decoder", "_inner")

    def __init__(self, inner: Tap, encoding: str) -> None:
        self._inner = inner
        self._decoder = Decoder(encoding)

    @property
    def terminal(self) -> bool:
        """See `Tap.terminal`."""
        return self._inner.terminal

    @property
    def reported(self) -> Reported | None:
        """See `Tap.reported`."""
        return self._inner.reported

    @property
    def visible_bytes(self) -> int:
        """See `Tap.visible_bytes`. What cannot be read may have been anything."""
        return UNREADABLE_BYTES if self._decoder.broken else self._inner.visible_bytes

    @property
    def mark(self) -> int:
        """See `Tap.mark`. Of half an answer there is none."""
        return 0 if self._decoder.broken else self._inner.mark

    def feed(self, chunk: bytes) -> bytes:
        """The chunk."""
        for piece in self._decoder.feed(chunk):
            self._inner.feed(piece)
        return chunk

    def finish(self) -> bytes:
        """Nothing is kept back."""
        self._inner.finish()
        return b""

    def ending(self) -> bytes | None:
        """None: words cannot be added to what is compressed."""
        return None
