"""What the simulated provider charges: a hand-written table, and one function.

Owns the simulator's list prices, model limits and the arithmetic from token buckets to money.
The figures are typed from vendors' price pages, in dollars per million tokens, and are turned
once into integer pico-dollars per token (1 $/MTok = 1,000,000 pico-dollars per token), so every
sum is exact. Nothing here may come from budgetd's own price code: this table is the second
opinion that the ledger is compared with, and a shared source could not disagree with itself.
It knows nothing of HTTP, dialects or scripts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import Literal

Kind = Literal["chat", "completion", "embedding", "messages"]

PICO_PER_DOLLAR = 10**12
WEB_SEARCH_PICO = PICO_PER_DOLLAR // 100  # $10 per thousand searches


@dataclass(frozen=True, slots=True)
class Tokens:
    """Disjoint buckets of one request. `reasoning` is a part of `output`, shown for information."""

    input: int = 0
    cache_read: int = 0
    write_5m: int = 0
    write_1h: int = 0
    output: int = 0
    reasoning: int = 0
    searches: int = 0

    @property
    def prompt(self) -> int:
        """All prompt tokens, whatever their price."""
        return self.input + self.cache_read + self.write_5m + self.write_1h


@dataclass(frozen=True, slots=True)
class Rate:
    """Pico-dollars per token of each bucket."""

    input: int
    output: int
    cache_read: int
    write_5m: int
    write_1h: int

    def cost(self, tokens: Tokens) -> int:
        """Pico-dollars for `tokens` at this rate, web searches included."""
        return (
            tokens.input * self.input
            + tokens.cache_read * self.cache_read
            + tokens.write_5m * self.write_5m
            + tokens.write_1h * self.write_1h
            + tokens.output * self.output
            + tokens.searches * WEB_SEARCH_PICO
        )


def rate(prices: str) -> Rate:
    """Read `"input output [cache_read [write_5m [write_1h]]]"`, dollars per million tokens.

    A missing cache price is the input price: a provider without a cache bills plain input.
    """
    pico = [int(Decimal(word) * 10**6) for word in prices.split()]
    pico += [pico[0]] * (5 - len(pico))
    return Rate(*pico)


@dataclass(frozen=True, slots=True)
class Model:
    """One model on offer: its endpoint, prices, and the limits that its provider enforces.

    `above` and `above_rate` are a context tier: a prompt of more than `above` tokens (cached ones
    included) moves the whole request to `above_rate`. `tiers` are service tiers with own rates.
    """

    name: str
    kind: Kind
    rate: Rate
    max_output: int
    context: int
    reasoning: bool = False
    above: int | None = None
    above_rate: Rate | None = None
    tiers: tuple[tuple[str, Rate], ...] = ()

    def cost(self, tokens: Tokens, tier: str = "default") -> int:
        """Pico-dollars for one request of this model, exact."""
        if self.above is not None and self.above_rate is not None and tokens.prompt > self.above:
            return self.above_rate.cost(tokens)
        return dict(self.tiers).get(tier, self.rate).cost(tokens)


def _claude(name: str, prices: str, max_output: int, context: int = 200_000) -> Model:
    return Model(name, "messages", rate(prices), max_output, context)


def _chat(name: str, prices: str, max_output: int, context: int, **more: str) -> Model:
    """`more` names service tiers with their own prices."""
    tiers = tuple((tier, rate(text)) for tier, text in more.items())
    return Model(name, "chat", rate(prices), max_output, context, tiers=tiers)


def _thinker(name: str, prices: str, max_output: int, context: int, **more: str) -> Model:
    tiers = tuple((tier, rate(text)) for tier, text in more.items())
    return Model(name, "chat", rate(prices), max_output, context, reasoning=True, tiers=tiers)


def _embedder(name: str, price: str) -> Model:
    return Model(name, "embedding", rate(f"{price} 0"), 0, 8_191)


_MODELS = (
    # Anthropic: input output read write-5m write-1h. opus-4-8 costs the same as opus-4-6.
    _claude("claude-opus-4-8", "5 25 .5 6.25 10", 128_000, 1_000_000),
    _claude("claude-opus-4-6", "5 25 .5 6.25 10", 128_000, 1_000_000),
    _claude("claude-opus-4-5", "5 25 .5 6.25 10", 64_000),
    _claude("claude-opus-4-1", "15 75 1.5 18.75 30", 32_000),
    _claude("claude-opus-5-5", "4 20 .2 5 8", 128_000, 1_000_000),
    _claude("claude-sonnet-4-6", "3 15 .3 3.75 6", 128_000, 1_000_000),
    _claude("claude-sonnet-4-5", "3 15 .3 3.75 6", 64_000),
    _claude("claude-haiku-4-5", "1 5 .1 1.25 2", 64_000),
    # OpenAI: input output read.
    _chat("gpt-4o", "2.5 10 1.25", 16_384, 128_000, priority="4.25 17 2.125"),
    _chat("gpt-4o-mini", ".15 .6 .075", 16_384, 128_000, priority=".25 1 .125"),
    _chat("gpt-4.1", "2 8 .5", 32_768, 1_047_576, priority="3.5 14 .875"),
    _chat("gpt-4.1-mini", ".4 1.6 .1", 32_768, 1_047_576, priority=".7 2.8 .175"),
    _chat("gpt-4.1-nano", ".1 .4 .025", 32_768, 1_047_576, priority=".2 .8 .05"),
    _thinker("gpt-5", "1.25 10 .125", 128_000, 400_000, flex=".625 5 .0625", priority="2.5 20 .25"),
    _thinker(
        "gpt-5-mini", ".25 2 .025", 128_000, 400_000, flex=".125 1 .0125", priority=".45 3.6 .045"
    ),
    _thinker("gpt-5-nano", ".05 .4 .005", 128_000, 400_000, flex=".025 .2 .0025"),
    _thinker("gpt-5.4-mini", ".75 4.5 .075", 128_000, 400_000),
    _thinker("gpt-5.4-nano", ".2 1.25 .02", 128_000, 400_000),
    _thinker("o3", "2 8 .5", 100_000, 200_000),
    _thinker("o4-mini", "1.1 4.4 .275", 100_000, 200_000),
    Model(
        name="gpt-5.4",
        kind="chat",
        rate=rate("2.5 15 .25"),
        max_output=128_000,
        context=1_050_000,
        reasoning=True,
        above=272_000,
        above_rate=rate("5 22.5 .5"),
    ),
    Model("gpt-3.5-turbo-instruct", "completion", rate("1.5 2"), 4_096, 4_096),
    _embedder("text-embedding-3-small", ".02"),
    _embedder("text-embedding-3-large", ".13"),
    # Others that speak the OpenAI dialect, for their ways of reporting usage.
    Model(
        name="grok-4.5",
        kind="chat",
        rate=rate("2 6 .3"),
        max_output=64_000,
        context=500_000,
        # xAI says "200k and above", so the tier starts one token earlier than the others' do.
        above=199_999,
        above_rate=rate("4 12 .6"),
    ),
    _chat("kimi-k2.5", ".6 3 .1", 32_768, 262_144),
    _chat("glm-4.7", ".6 2.2 .11", 128_000, 200_000),
    _chat("glm-5", "1 3.2 .2", 128_000, 200_000),
    _chat("llama-3.1-8b-instant", ".05 .08", 131_072, 131_072),
    _chat("mistral-large-2512", ".5 1.5 .05", 32_768, 262_144),
    # The dearer of DeepSeek's two prices by time of day.
    _chat("deepseek-chat", ".27 1.1 .07", 8_192, 64_000),
    _chat("openai/gpt-4o", "2.5 10 1.25", 16_384, 128_000),
    _chat("qwen/qwen3-coder", ".3 1 .1", 65_536, 262_144),
)

_DATED = {
    "claude-opus-4-5-20251101": "claude-opus-4-5",
    "claude-opus-4-1-20250805": "claude-opus-4-1",
    "claude-sonnet-4-5-20250929": "claude-sonnet-4-5",
    "claude-haiku-4-5-20251001": "claude-haiku-4-5",
    "gpt-4o-2024-08-06": "gpt-4o",
    "gpt-4.1-2025-04-14": "gpt-4.1",
    "gpt-4.1-mini-2025-04-14": "gpt-4.1-mini",
    "gpt-5-2025-08-07": "gpt-5",
}

MODELS: Mapping[str, Model] = MappingProxyType(
    {model.name: model for model in _MODELS}
    | {alias: model for alias, name in _DATED.items() for model in _MODELS if model.name == name}
)
"""Every model on offer by name, dated names included."""
