"""Presets: the usual providers, so that a configuration with nothing in it works.

One table: where each API lives, how its credentials begin, its name in the price catalogue and its
habits. What an owner writes under `providers.<name>` wins over it field by field. Several providers
share a prefix such as `sk-`: who asks takes the longest that matches, and between equals the
dialect's default.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from budgetd.config.providers import ProviderSettings
from budgetd.core.policy import DialectName, UnknownPrice


@dataclass(frozen=True, slots=True)
class Preset:
    """What is known of a provider. Fields as in `core.policy.Provider`."""

    base_urls: Mapping[DialectName, str]
    catalogue: str | None
    credential_prefixes: tuple[str, ...] = ()
    plan_prefixes: tuple[str, ...] = ()
    unknown_price: UnknownPrice = "ceiling"
    needs_credential: bool = True
    asks_stream_usage: bool = True
    shows_reasoning: bool = False
    output_field: str = "max_tokens"
    bills_aborted: bool = False  # by OpenRouter's undated list of upstreams


def _chat(url: str) -> Mapping[DialectName, str]:
    return {"openai_chat": url}


def _both(chat: str, anthropic: str) -> Mapping[DialectName, str]:
    return {"openai_chat": chat, "anthropic": anthropic}


PRESETS: Mapping[str, Preset] = {
    "openai": Preset(
        _chat("https://api.openai.com"),
        "openai",
        ("sk-proj-", "sk-svcacct-", "sk-admin-", "sk-"),
        output_field="max_completion_tokens",  # its reasoning models refuse max_tokens
    ),
    "anthropic": Preset(
        {"anthropic": "https://api.anthropic.com"},
        "anthropic",
        ("sk-ant-",),
        plan_prefixes=("sk-ant-oat",),
    ),
    "openrouter": Preset(
        _both("https://openrouter.ai/api", "https://openrouter.ai/api"),
        "openrouter",
        ("sk-or-",),
        asks_stream_usage=False,  # it always sends usage
    ),
    "deepseek": Preset(
        _both("https://api.deepseek.com", "https://api.deepseek.com/anthropic"),
        "deepseek",
        ("sk-",),
        shows_reasoning=True,
    ),
    "google": Preset(
        _chat("https://generativelanguage.googleapis.com/v1beta/openai"),
        "google",
        ("AIza",),
        bills_aborted=True,
    ),
    "groq": Preset(_chat("https://api.groq.com/openai"), "groq", ("gsk_",), bills_aborted=True),
    "mistral": Preset(
        _chat("https://api.mistral.ai"),
        "mistral",
        asks_stream_usage=False,  # the last chunk has it, and its own SDK has no such field
        bills_aborted=True,
    ),
    "xai": Preset(_chat("https://api.x.ai"), "x-ai", ("xai-",)),
    "together": Preset(_chat("https://api.together.xyz"), "together", ("tgp_",)),
    "fireworks": Preset(_chat("https://api.fireworks.ai/inference"), "fireworks", ("fw_",)),
    "moonshot": Preset(
        _both("https://api.moonshot.ai", "https://api.moonshot.ai/anthropic"),
        "moonshotai",
        ("sk-",),
        shows_reasoning=True,
    ),
    "zai": Preset(
        _both("https://api.z.ai/api/paas/v4", "https://api.z.ai/api/anthropic"),
        "zai",
        shows_reasoning=True,
    ),
    "ollama": Preset(
        _chat("http://127.0.0.1:11434"),
        None,
        unknown_price="free",
        needs_credential=False,
        shows_reasoning=True,
    ),
}


UNKNOWN = Preset({}, None, unknown_price="deny", asks_stream_usage=False)


def preset_of(name: str, provider: ProviderSettings) -> Preset | None:
    """The built-in provider that this one starts from."""
    return PRESETS.get(provider.preset or name)


def effective(name: str, provider: ProviderSettings) -> Preset:
    """What holds for a provider: what is written, else its preset's, else a stranger's."""
    start = preset_of(name, provider) or UNKNOWN
    if provider.catalogue and start is UNKNOWN:
        start = replace(start, unknown_price="ceiling")
    written: dict[str, Any] = {
        "catalogue": provider.catalogue,
        "credential_prefixes": _tuple(provider.credential_prefixes),
        "plan_prefixes": _tuple(provider.plan_prefixes),
        "unknown_price": provider.unknown_price,
        "needs_credential": provider.needs_credential,
        "asks_stream_usage": provider.stream_usage,
        "shows_reasoning": provider.shows_reasoning,
        "output_field": provider.output_field,
        "bills_aborted": provider.bills_aborted,
    }
    given = {field: value for field, value in written.items() if value is not None}
    return replace(start, base_urls=_base_urls(start, provider), **given)


def provider_names(providers: Mapping[str, ProviderSettings]) -> list[str]:
    """All providers there are: the owner's and the built-in ones."""
    return sorted({*providers, *PRESETS})


def _base_urls(start: Preset, provider: ProviderSettings) -> Mapping[DialectName, str]:
    """Its own addresses, else the preset's; only for the dialects it is to speak."""
    if provider.base_urls:
        found: Mapping[DialectName, str] = provider.base_urls
    elif provider.base_url:
        found = dict.fromkeys(provider.dialects or start.base_urls, provider.base_url)
    else:
        found = start.base_urls
    allowed = provider.dialects or tuple(found)
    return {dialect: url for dialect, url in found.items() if dialect in allowed}


def _tuple(values: list[str] | None) -> tuple[str, ...] | None:
    return None if values is None else tuple(values)
