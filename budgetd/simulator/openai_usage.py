"""How providers of the OpenAI dialect tell usage, each in its own way.

Owns the usage object of every flavour. The base is OpenAI's: cached tokens are inside
`prompt_tokens`, reasoning is inside `completion_tokens`. The others move, rename or add fields;
xAI is the one that leaves reasoning out of `completion_tokens`. Costs that a provider reports
are computed from the simulator's own prices.
"""

from __future__ import annotations

from decimal import Decimal

from budgetd.simulator.answer import Json
from budgetd.simulator.prices import PICO_PER_DOLLAR, Model, Tokens
from budgetd.simulator.script import Flavour

PICO_PER_TICK = 100  # xAI counts in ten-billionths of a dollar


def chat_usage(flavour: Flavour, tokens: Tokens, model: Model, tier: str) -> Json:
    """The usage object of a chat completion with these tokens."""
    usage: Json = {
        "prompt_tokens": tokens.prompt,
        "completion_tokens": tokens.output,
        "total_tokens": tokens.prompt + tokens.output,
        "prompt_tokens_details": {"cached_tokens": tokens.cache_read, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": tokens.reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }
    match flavour:
        case "openrouter":
            dollars = Decimal(model.cost(tokens, tier)) / PICO_PER_DOLLAR
            # A JSON number; a float of so few digits reads back as the same decimal.
            usage["cost"] = float(dollars)
            usage["is_byok"] = False
            usage["cost_details"] = {"upstream_inference_cost": None}
        case "groq":
            usage |= {"queue_time": 0.01, "prompt_time": 0.002, "completion_time": 0.05}
            usage["total_time"] = 0.052
        case "kimi":
            usage["cached_tokens"] = tokens.cache_read
        case "deepseek":
            usage["prompt_cache_hit_tokens"] = tokens.cache_read
            usage["prompt_cache_miss_tokens"] = tokens.prompt - tokens.cache_read
        case "xai":
            usage["completion_tokens"] = tokens.output - tokens.reasoning
            usage["cost_in_usd_ticks"] = -(-model.cost(tokens, tier) // PICO_PER_TICK)
        case "mistral":
            del usage["completion_tokens_details"]
        case "openai":
            pass
    return usage


def text_usage(tokens: Tokens) -> Json:
    """The usage object of a legacy completion."""
    return {
        "prompt_tokens": tokens.prompt,
        "completion_tokens": tokens.output,
        "total_tokens": tokens.prompt + tokens.output,
    }
