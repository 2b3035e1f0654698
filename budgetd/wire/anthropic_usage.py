"""Anthropic Messages' usage objects as disjoint buckets.

Input tokens leave cached ones out: total input is input + cache writes + cache reads. Output is
whole, thinking included. Compaction is billed as an iteration of its own, outside the totals. A
missing figure is not a zero.
"""

from __future__ import annotations

from typing import Any

import msgspec

from budgetd.core.usage import Reported, Traits, Usage, split_input
from budgetd.wire.figures import (
    count,
    decoded,
    is_count,
    json_object,
    members,
    text,
    word,
)

_APART = frozenset({"compaction", "advisor_message"})  # iterations that the totals leave out
_NOTHING = msgspec.Raw()


class Message(msgspec.Struct):
    """What of a message money needs, raw."""

    model: msgspec.Raw = _NOTHING
    usage: msgspec.Raw = _NOTHING


_ANSWER = msgspec.json.Decoder(Message)


def read_answer(document: bytes) -> Reported | None:
    """The report in a whole JSON answer, None if it states no usage."""
    answer = decoded(_ANSWER, document)
    if answer is None:
        return None
    return report(json_object(bytes(answer.usage)) or {}, word(bytes(answer.model)))


def report(usage: dict[str, Any], model: str | None) -> Reported | None:
    """A usage object of this dialect as disjoint buckets. None without an input count: a missing
    figure is not a zero.
    """
    if not is_count(usage.get("input_tokens")):
        return None
    counted = _buckets(usage)
    steps = usage.get("iterations")
    for step in steps if isinstance(steps, list) else []:
        if members(step).get("type") in _APART:
            counted = counted.plus(_buckets(step))
    traits = Traits(
        text(usage.get("service_tier")),
        text(usage.get("speed")),
        text(usage.get("inference_geo")),
    )
    return Reported(counted, model, traits)


def _buckets(usage: dict[str, Any]) -> Usage:
    detail = members(usage.get("cache_creation"))
    hour = count(detail.get("ephemeral_1h_input_tokens"))
    five = count(detail.get("ephemeral_5m_input_tokens"))
    # The total may grow in a message_delta, which does not repeat the detail: the dearer kind then.
    grown = max(count(usage.get("cache_creation_input_tokens")) - hour - five, 0)
    uncached, read, five, hour = split_input(
        count(usage.get("input_tokens")),
        cache_included=False,
        cache_read=count(usage.get("cache_read_input_tokens")),
        cache_write_5m=five if hour else five + grown,
        cache_write_1h=hour + grown if hour else 0,
    )
    searches = members(usage.get("server_tool_use")).get("web_search_requests")
    return Usage(
        input=uncached,
        cache_read=read,
        cache_write_5m=five,
        cache_write_1h=hour,
        output=count(usage.get("output_tokens")),
        web_searches=count(searches),
    )
