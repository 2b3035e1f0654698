"""Knowing a retry when it comes: the same bytes from the same key, soon after they failed.

Remembers failed calls for a while, in memory; a retry that is not recognised after a restart is
only not marked as one. The words of a request are not kept, only a hash.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

import xxhash

from budgetd.core.windows import Instant

MEMORY_MS = 10 * 60_000
MOST = 10_000
Mark = tuple[str, int]  # key, hash of the body
RETRY_HEADER = "x-stainless-retry-count"


class Repeats:
    """Failed calls by key and body."""

    def __init__(self) -> None:
        self._failed: OrderedDict[Mark, tuple[str | None, Instant]] = OrderedDict()

    def mark(self, key: str, data: bytes) -> Mark:
        """What a request is known by."""
        return key, xxhash.xxh3_64_intdigest(data)

    def previous(self, mark: Mark, headers: Mapping[str, str], now: Instant) -> str | None:
        """The call that this one repeats, None if it is new. A client that counts its retries is
        believed.
        """
        failed = self._failed.get(mark)
        if failed is not None and now - failed[1] <= MEMORY_MS:
            return failed[0]
        return "unknown" if headers.get(RETRY_HEADER, "0") not in {"", "0"} else None

    def note(self, mark: Mark, call: str, now: Instant, *, well: bool) -> None:
        """How a call ended. After a good end the same request is a new one."""
        self._failed.pop(mark, None)
        if not well:
            self._remember(mark, call, now)

    def turned_away(self, mark: Mark, now: Instant) -> None:
        """budgetd refused it, so nothing was spent: asked again it is no retry, whatever its client
        counts, unless it failed before.
        """
        if mark not in self._failed:
            self._remember(mark, None, now)

    def _remember(self, mark: Mark, call: str | None, now: Instant) -> None:
        self._failed[mark] = (call, now)
        if len(self._failed) > MOST:
            self._failed.popitem(last=False)
