"""The provider's prompt cache: which part of a prompt is read, which is written.

Owns two models of a cache. `marked` is Anthropic's: nothing is cached unless a block carries a
`cache_control` mark; a mark writes the prefix that ends there for five minutes or an hour, and a
later request reads the longest prefix written before that one of its own marks reaches within
twenty blocks. `automatic` is OpenAI's: prefixes of 1,024 tokens and more are kept in steps of
128 without being asked, and writing is free. A read renews the prefix. Time is an argument.
It knows nothing of requests: a prompt is a list of pieces here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Literal

from budgetd.simulator.prices import Tokens
from budgetd.simulator.tokens import BYTES_PER_TOKEN, count_bytes

Ttl = Literal["5m", "1h"]

MINIMUM_TOKENS = 1024
STEP_TOKENS = 128
LOOKBACK_BLOCKS = 20
AUTOMATIC_SECONDS = 600.0
_SECONDS: dict[Ttl, float] = {"5m": 300.0, "1h": 3600.0}


@dataclass(frozen=True, slots=True)
class Piece:
    """One block of a prompt: what it is, its tokens, and the mark that it may carry."""

    key: bytes
    tokens: int
    mark: Ttl | None = None


@dataclass(frozen=True, slots=True)
class _Mark:
    """A breakpoint: the number of pieces up to it, the tokens of those, and its lifetime."""

    at: int
    tokens: int
    ttl: Ttl


@dataclass(slots=True)
class PromptCache:
    """Prefixes by digest. `scope` is what prefixes are never shared across: model, credential."""

    _until: dict[bytes, tuple[float, float]] = field(default_factory=dict)

    def clear(self) -> None:
        """Forget every prefix."""
        self._until.clear()

    def marked(
        self, scope: str, pieces: Sequence[Piece], now: float, minimum: int = MINIMUM_TOKENS
    ) -> Tokens:
        """Read and write the prefixes that marks ask for; the prompt's tokens by bucket.

        Prefixes shorter than `minimum` tokens are not cached, as if their mark were not there.
        """
        digests, totals = _chain(scope, pieces)
        marks = [
            _Mark(at, totals[at], piece.mark)
            for at, piece in enumerate(pieces, start=1)
            if piece.mark is not None and totals[at] >= minimum
        ]
        found = self._longest(digests, marks, now)
        hour = max((m.at for m in marks if m.ttl == "1h" and m.at > found), default=found)
        last = max((m.at for m in marks if m.at > found), default=found)
        for mark in marks:
            if mark.at > found:
                self._keep(digests[mark.at], now, _SECONDS[mark.ttl])
        return Tokens(
            input=totals[-1] - totals[last],
            cache_read=totals[found],
            write_1h=totals[hour] - totals[found],
            write_5m=totals[last] - totals[hour],
        )

    def automatic(self, scope: str, prompt: bytes, now: float) -> Tokens:
        """Read the longest kept prefix of `prompt` and keep its own; tokens by bucket.

        The end of a prompt is always read afresh, so not all of it can come from the cache.
        """
        total = count_bytes(len(prompt))
        step, read = STEP_TOKENS * BYTES_PER_TOKEN, 0
        digest = blake2b(scope.encode() + b"\0" + prompt[: (MINIMUM_TOKENS - STEP_TOKENS) * 4])
        for end in range(MINIMUM_TOKENS * BYTES_PER_TOKEN, len(prompt) + 1, step):
            digest.update(prompt[end - step : end])
            key = digest.digest()
            if end < len(prompt) and self._alive(key, now):
                read = end // BYTES_PER_TOKEN
            self._keep(key, now, AUTOMATIC_SECONDS)
        return Tokens(input=total - read, cache_read=read)

    def _longest(self, digests: list[bytes], marks: list[_Mark], now: float) -> int:
        for mark in reversed(marks):
            for at in range(mark.at, max(mark.at - LOOKBACK_BLOCKS, 0), -1):
                if self._alive(digests[at], now):
                    self._keep(digests[at], now, self._until[digests[at]][1])
                    return at
        return 0

    def _alive(self, key: bytes, now: float) -> bool:
        return key in self._until and now < self._until[key][0]

    def _keep(self, key: bytes, now: float, seconds: float) -> None:
        until, lifetime = self._until.get(key, (now, seconds))
        self._until[key] = (max(until, now + seconds), max(lifetime, seconds))


def _chain(scope: str, pieces: Sequence[Piece]) -> tuple[list[bytes], list[int]]:
    """Digest and tokens of every prefix; index 0 is the empty one."""
    digests, totals = [blake2b(scope.encode()).digest()], [0]
    for piece in pieces:
        digests.append(blake2b(digests[-1] + blake2b(piece.key).digest()).digest())
        totals.append(totals[-1] + piece.tokens)
    return digests, totals
