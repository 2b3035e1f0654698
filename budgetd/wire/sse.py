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

# A blank line: two line ends in a row, not counting the two halves of one CRLF. A CR at the very end of the data could be half
# of a CRLF, so a CR only counts here once something follows it or it is doubled.
_BLANK = re.compile(rb"\n\n|\r\n\r\n|\n\r\n|\r\n\n|\r\r(?!\n)|\n\r(?!\n)")


class Splitter:
    """Cuts a stream into events."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    @property
    def rest(self) -> bytes:
        """What has come of an event that is not complete."""
        return self._rest

    def feed(self, chunk: bytes) -> list[bytes]:
        """The events that this chunk completes."""
        data = self._rest + chunk if self._rest else chunk
        if b"\r" not in data:
            return self._split_plain(data)
        events = []
        start = 0
        for blank in _BLANK.finditer(data):
            if blank.end() == len(data) and data.endswith(b"\r"):
                break  # its LF may be in the next chunk
            events.append(data[start : blank.end()])
            start = blank.end()
        return self._keep(data, start, events)

    def _split_plain(self, data: bytes) -> list[bytes]:
        parts = data.split(b"\n\n")
        if len(parts) == 1:
            return self._keep(data, 0, [])
        self._rest = parts.pop()
        return [part + b"\n\n" for part in parts]

    def _keep(self, data: bytes, start: int, events: list[bytes]) -> list[bytes]:
        self._rest = data[start:] if start else data
        if len(self._rest) > LONGEST_EVENT:
            events.append(self._rest)
            self._rest = b""
        return events

    def finish(self) -> bytes:
        """The incomplete rest at the end of the stream."""
        rest, self._rest = self._rest, b""
        return rest


def data_of(event: bytes) -> bytes:
    """The payload of an event: its `data:` lines joined by newlines; b"" for a comment or a bare
    field.
    """
    if event.startswith(b"data: ") and event.find(b"\n") == len(event) - 2:
        return event[6:-2]  # the usual one-liner
    found = []
    for line in event.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n"):
        if line.startswith(b"data:"):
            found.append(line[6:] if line.startswith(b"data: ") else line[5:])
    return b"\n".join(found)
