"""OpenAI Chat Completions' usage objects, in every provider's habit.

Prompt tokens include cached ones and completion tokens include reasoning (not at xAI). A stated
cost (OpenRouter, xAI, Perplexity) is kept as pico-dollars. A missing figure is not a zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec

from budgetd.core.money import MAX_PICO, AmountError, pico_from_usd
from budgetd.core.usage import Reported, Traits, Usage, split_input, split_output
from budgetd.wire.figures import (
    count,
    decoded,
    is_count,
    json_object,
    members,
    text,
    word,
)

TICKS_TO_PICO = 100  # xAI: 10^10 ticks to the dollar
_NOTHING = msgspec.Raw()


class _Answer(msgspec.Struct):
    usage: msgspec.Raw = _NOTHING
    model: msgspec.Raw = _NOTHING
    service_tier: msgspec.Raw = _NOTHING


_ANSWER = msgspec.json.Decoder(_Answer)


def read_answer(document: bytes) -> Reported | None:
    """The report in a whole JSON answer, None if it states no usage."""
    answer = decoded(_ANSWER, document)
    if answer is None:
        return _read_leniently(document)
    usage = json_object(bytes(answer.usage))
    if usage is None:
        return None
    return report(usage, word(bytes(answer.model)), word(bytes(answer.service_tier)))


def _read_leniently(document: bytes) -> Reported | None:
    """What the strict reader refuses for things that have nothing to do with usage: NaN, a BOM."""
    answer = members(json_object(document))
    return report(
        members(answer.get("usage")), text(answer.get("model")), text(answer.get("service_tier"))
    )


def report(usage: Mapping[str, Any], model: str | None, tier: str | None) -> Reported | None:
    """A usage object of this dialect, whoever's habits it follows, as disjoint buckets. None if it
    states neither tokens nor a cost: a missing figure is not a zero.
    """
    cost = _stated_cost(usage)
    if cost is None and not is_count(usage.get("prompt_tokens")):
        return None
    asked = members(usage.get("prompt_tokens_details"))
    given = members(usage.get("completion_tokens_details"))
    cached = (
        count(asked.get("cached_tokens"))
        or count(usage.get("cached_tokens"))  # Kimi
        or count(usage.get("prompt_cache_hit_tokens"))  # DeepSeek
    )
    heard, spoken = count(asked.get("audio_tokens")), count(given.get("audio_tokens"))
    drawn = count(given.get("image_tokens"))
    uncached, read, written, _ = split_input(
        count(usage.get("prompt_tokens")),
        cache_included=True,
        cache_read=cached,
        cache_write_5m=count(asked.get("cache_write_tokens")),
        cache_write_1h=0,
    )
    reasoning = count(given.get("reasoning_tokens"))
    visible, hidden = split_output(
        _completion(usage),
        reasoning_included=not _reasoning_apart(usage, reasoning),
        reasoning=reasoning,
    )
    counted = Usage(
        input=max(uncached - heard, 0),
        cache_read=read,
        cache_write_5m=written,
        output=max(visible - spoken - drawn, 0),
        reasoning=hidden,
        input_audio=heard,
        output_audio=spoken,
        output_image=drawn,
    )
    tier = text(usage.get("service_tier")) or tier  # Mistral states it here
    return Reported(counted, model, Traits(service_tier=tier), cost)


def _completion(usage: Mapping[str, Any]) -> int:
    """Completion tokens; where none are stated, what the total has beyond the prompt."""
    stated = usage.get("completion_tokens")
    if is_count(stated):
        return count(stated)
    return max(count(usage.get("total_tokens")) - count(usage.get("prompt_tokens")), 0)


def _reasoning_apart(usage: Mapping[str, Any], reasoning: int) -> bool:
    """Whether completion tokens leave the reasoning out: xAI's habit, known by its ticks, by more
    reasoning than completion, or by a total that only so adds up.
    """
    if usage.get("cost_in_usd_ticks") is not None:
        return True
    completion = _completion(usage)
    plain = count(usage.get("prompt_tokens")) + completion
    return reasoning > completion or (
        reasoning > 0 and count(usage.get("total_tokens")) == plain + reasoning
    )


def _stated_cost(usage: Mapping[str, Any]) -> int | None:
    """The provider's own figure in pico-dollars, None if there is none that can be believed."""
    ticks = usage.get("cost_in_usd_ticks")
    if isinstance(ticks, int) and not isinstance(ticks, bool):
        pico = ticks * TICKS_TO_PICO
        return pico if 0 <= pico <= MAX_PICO else None
    cost = usage.get("cost")
    if isinstance(cost, dict):  # Perplexity
        cost = cost.get("total_cost")
    parts = [cost]
    upstream = members(usage.get("cost_details")).get("upstream_inference_cost")
    if upstream is not None and usage.get("is_byok") is not False:
        parts.append(upstream)  # OpenRouter with one's own key: its fee, and the provider's bill
    return _dollars(parts)


def _dollars(parts: list[Any]) -> int | None:
    amounts = [part for part in parts if is_count(part) and part >= 0]
    if len(amounts) < len(parts):
        return None
    try:
        return pico_from_usd(sum(amounts, Decimal(0)))
    except (AmountError, ArithmeticError):  # more than a ledger row, or than a Decimal, holds
        return None
