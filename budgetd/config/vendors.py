"""What a provider is called elsewhere.

Owns the names by which the price catalogue and the model table know a provider that an operator
calls by another, and the words that may stand before a slash in front of its model names. Knows no
price and no model.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

# Also called -> its name in the catalogue (genai-prices' provider id).
ALIASES: Mapping[str, str] = MappingProxyType(
    {
        "gemini": "google",
        "google-gemini": "google",
        "vertex_ai": "google",
        "xai": "x-ai",
        "moonshot": "moonshotai",
        "kimi": "moonshotai",
        "z.ai": "zai",
        "z-ai": "zai",
        "together_ai": "together",
        "togetherai": "together",
        "fireworks_ai": "fireworks",
        "bedrock": "aws",
    }
)


def catalogue_name(provider: str) -> str:
    """What the catalogue calls a provider known by this name ("gemini": "google"), or the name in lower case."""
    return ALIASES.get(provider.lower(), provider.lower())


def prefixes(provider: str) -> frozenset[str]:
    """The words that may stand before a slash in front of a model name of the catalogue's `provider`."""
    return frozenset(
        {provider, "models", *(alias for alias, known in ALIASES.items() if known == provider)}
    )
