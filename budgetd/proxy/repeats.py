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
MOST_ALIKE = 256  # failed calls of the same words: conversations that begin alike fail together
Mark = tuple[str, int]  # key, hash of the body
RETRY_HEADER = "x-stainless-retry-count"


class Repeats:
    """Failed calls by key and body."""

    def __init__(self) -> None:
        # None: a call that was turned away. The newest last.
        self._failed: OrderedDict[Mark, dict[str | None, Instant]] = OrderedDict()

    def mark(self, key: str, data: bytes) -> Mark:
        """What a request is known by."""
        return key, xxhash.xxh3_64_intdigest(data)

    def previous(self, mark: Mark, headers: Mapping[str, str], now: Instant) -> str | None:
        """The call that this one repeats, None if it is new. A client that counts its retries is
        believed.
        """
        if self.remembers(mark, now):
            return next(reversed(self._failed[mark]))
        return "unknown" if headers.get(RETRY_HEADER, "0") not in {"", "0"} else None

    def remembers(self, mark: Mark, now: Instant) -> bool:
        """Whether the same request came a while ago and got no answer, refused ones too."""
        failed = self._failed.get(mark)
        return failed is not None and now - next(reversed(failed.values())) <= MEMORY_MS

    def note(
        self, mark: Mark, call: str, now: Instant, *, well: bool, repeats: str | None = None
    ) -> None:
        """How a call ended. The one that it `repeats` will not come again; others that failed with
        the same words still may.
        """
        failed = self._failed.get(mark)
        if failed is not None:
            if repeats is not None and repeats not in failed:  # two have repeated the same one
                repeats = next(reversed(failed))
            failed.pop(repeats, None)
            if not failed:
                del self._failed[mark]
        if not well:
            self._remember(mark, call, now)

    def turned_away(self, mark: Mark, now: Instant) -> None:
        """budgetd refused it, so nothing was spent: asked again it is no retry, whatever its client
        counts, unless it failed before.
        """
        if mark not in self._failed:
            self._remember(mark, None, now)

    def _remember(self, mark: Mark, call: str | None, now: Instant) -> None:
        failed = self._failed.setdefault(mark, {})
        failed[call] = now
        if len(failed) > MOST_ALIKE:
            del failed[next(iter(failed))]
        if len(self._failed) > MOST:
            self._failed.popitem(last=False)
