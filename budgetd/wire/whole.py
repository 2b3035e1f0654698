"""Answers that are not streamed: one JSON document, passed on while a copy is kept to read the
usage from.

The last chunk is kept back until the document has been read, so that a call is settled before its
caller can know that it ended.
"""

from __future__ import annotations

from collections.abc import Callable

from budgetd.core.usage import Reported
from budgetd.errors import CallerFault
from budgetd.wire.coding import decompress

LONGEST_ANSWER = (
    64 * 1024 * 1024
)  # beyond this the copy is given up, and the call settled by estimate


class WholeTap:
    """Reads one JSON answer. `read` makes a report of it, or None if it states no usage; `heard` its
    mark, where a conversation goes on from it.
    """

    __slots__ = (
        "_copy",
        "_encoding",
        "_heard",
        "_kept",
        "_read",
        "_size",
        "mark",
        "reported",
        "terminal",
        "visible_bytes",
    )

    def __init__(
        self,
        read: Callable[[bytes], Reported | None],
        encoding: str = "",
        *,
        heard: Callable[[bytes], int] | None = None,
    ) -> None:
        self._read = read
        self._heard = heard
        self._encoding = encoding
        self._copy: list[bytes] = []
        self._kept = b""
        self._size = 0
        self.mark = 0
        self.terminal = False
        self.reported: Reported | None = None
        self.visible_bytes = 0

    def feed(self, chunk: bytes) -> bytes:
        """The chunk before this one."""
        self._size += len(chunk)
        if self._size <= LONGEST_ANSWER:
            self._copy.append(chunk)
        else:
            self._copy.clear()
        self.visible_bytes = self._size
        passed, self._kept = self._kept, chunk
        return passed

    def finish(self) -> bytes:
        """The last chunk, once the whole answer has been read."""
        if self._copy:
            self._settle(b"".join(self._copy))
            self._copy.clear()
        kept, self._kept = self._kept, b""
        return kept

    def _settle(self, document: bytes) -> None:
        try:
            plain = (
                decompress(document, self._encoding, LONGEST_ANSWER) if self._encoding else document
            )
        except CallerFault:  # not what its own header says: nothing to read
            return
        self.reported = self._read(plain)
        self.terminal = self.reported is not None
        if self._heard is not None:
            self.mark = self._heard(plain)

    def ending(self) -> bytes | None:
        """A document cannot end early."""
        return None
