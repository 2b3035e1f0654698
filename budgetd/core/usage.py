"""What a provider says it used, in buckets that never overlap.

Providers disagree on whether "input" includes cached tokens and whether "output" includes
reasoning. Each dialect states it when it builds a `Usage`, by arguments that have no default; after
that a token is in exactly one bucket and a price is a plain sum of products. A kind of token
without a bucket goes where it cannot cost too little: video and cached images with images. Nothing
here knows a wire format.
"""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens (and counted fees) of one attempt, disjoint. All are non-negative counts."""

    input: int = 0  # text, read at full price
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    output: int = 0  # text the client saw
    reasoning: int = 0  # billed like output unless the card says otherwise
    input_audio: int = 0
    cache_read_audio: int = 0
    output_audio: int = 0
    input_image: int = 0
    output_image: int = 0
    web_searches: int = 0  # a count of searches, not tokens

    @property
    def total_input(self) -> int:
        """Every input token, cached or not: what a context tier is chosen by."""
        return (
            self.input
            + self.cache_read
            + self.cache_write_5m
            + self.cache_write_1h
            + self.input_audio
            + self.cache_read_audio
            + self.input_image
        )

    @property
    def total_output(self) -> int:
        """Every output token, hidden reasoning included."""
        return self.output + self.reasoning + self.output_audio + self.output_image

    def plus(self, other: Usage) -> Usage:
        """The sum, bucket by bucket (an attempt that was billed in parts, like a compaction)."""
        return Usage(*(getattr(self, name) + getattr(other, name) for name in BUCKETS))


BUCKETS: tuple[str, ...] = tuple(field.name for field in fields(Usage))


@dataclass(frozen=True, slots=True)
class Traits:
    """What, besides tokens, decides the price of an attempt: as asked for, or as the answer reports
    it.
    """

    service_tier: str | None = None  # "default", "flex", "priority", "batch", ...
    speed: str | None = None  # Anthropic "fast"
    geo: str | None = None  # Anthropic inference_geo

    def or_else(self, asked: Traits) -> Traits:
        """These, and where an answer left one out, what was asked for."""
        return Traits(
            self.service_tier or asked.service_tier,
            self.speed or asked.speed,
            self.geo or asked.geo,
        )


@dataclass(frozen=True, slots=True)
class Reported:
    """What an answer said of itself. `cost` is in pico-dollars, and only there if the provider
    stated one.
    """

    usage: Usage
    model: str | None = None
    traits: Traits = Traits()
    cost: int | None = None


def split_input(
    total: int, *, cache_included: bool, cache_read: int, cache_write_5m: int, cache_write_1h: int
) -> tuple[int, int, int, int]:
    """(uncached, read, write 5 m, write 1 h) from a provider's input count.

    `cache_included` says whether that count contains the cached tokens. Nonsense (more cached than
    there is input) keeps the cached figures and makes the rest zero: never negative, never less
    than what was reported.
    """
    uncached = total - cache_read - cache_write_5m - cache_write_1h if cache_included else total
    return max(uncached, 0), cache_read, cache_write_5m, cache_write_1h


def split_output(total: int, *, reasoning_included: bool, reasoning: int) -> tuple[int, int]:
    """(visible, reasoning) from a provider's output count; `reasoning_included` as for
    `split_input`.
    """
    visible = total - reasoning if reasoning_included else total
    return max(visible, 0), reasoning
