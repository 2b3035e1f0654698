"""Server-sent events, cut out of a byte stream without changing a byte.

`Splitter.feed` returns the events that are complete, each with the blank line that ends it; what is
not complete stays until it is. The concatenation of what comes out is what went in, whatever the
chunks were. Lines may end in LF, CRLF or CR. `data_of` gives the payload of one event.
"""

from __future__ import annotations

import re

LONGEST_EVENT = (
    8 * 1024 * 1024
)  # beyond this an "event" is passed on unread: memory per stream stays bounded

# A blank line: two line ends in a row. The two halves of one CRLF are no such thing, so a CR counts by itself only
# where no LF follows; one at the very end of the data may still get its LF.
_END = rb"(?:\r\n|\r(?!\n)|\n)"
_BLANK = re.compile(_END + _END)
_LONGEST_BLANK = 4


class Splitter:
    """Cuts a stream into events."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = bytearray()

    @property
    def pending(self) -> int:
        """How many bytes have come of an event that is not complete."""
        return len(self._rest)

    def feed(self, chunk: bytes) -> list[bytes]:
        """The events that this chunk completes."""
        if not self._rest:
            return self._cut(chunk, 0)
        before = len(self._rest)
        self._rest += chunk
        if b"\n" not in chunk and b"\r" not in chunk and self._rest[before - 1] != 13:
            return self._overflow()  # no line ended, so no event did: a long one costs no rescan
        data = bytes(self._rest)
        self._rest.clear()
        return self._cut(data, max(before - _LONGEST_BLANK, 0))

    def _cut(self, data: bytes, search_from: int) -> list[bytes]:
        if b"\r" not in data:
            parts = data.split(b"\n\n")
            self._rest += parts.pop()
            events = [part + b"\n\n" for part in parts]
            return events + self._overflow() if self._rest else events
        events = []
        start = 0
        for blank in _BLANK.finditer(data, search_from):
            if blank.end() == len(data) and data.endswith(b"\r"):
                break  # its LF may be in the next chunk
            events.append(data[start : blank.end()])
            start = blank.end()
        self._rest += data[start:]
        return events + self._overflow()

    def _overflow(self) -> list[bytes]:
        return [self.finish()] if len(self._rest) > LONGEST_EVENT else []

    def finish(self) -> bytes:
        """The incomplete rest at the end of the stream."""
        rest = bytes(self._rest)
        self._rest.clear()
        return rest


def data_of(event: bytes) -> bytes:
    """The payload of an event: its `data:` lines joined by newlines; b"" for a comment or a bare
    field.
    """
    if event.startswith(b"data: ") and event.find(b"\n") == len(event) - 2 and b"\r" not in event:
        return event[6:-2]  # the usual one-liner
    lines = event.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    found = [line[5:] for line in lines if line.startswith(b"data:")]
    return b"\n".join([value.removeprefix(b" ") for value in found])
