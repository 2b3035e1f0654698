"""The toy tokenizer: how many tokens a text is, and a text of so many tokens.

Owns one rule: a token is four bytes of UTF-8, the last one may be shorter. Two promises follow,
which the estimates under test rely on for real tokenizers too: never more than one token for two
bytes of text, and so never more tokens than bytes received. The rule is deterministic, so that a
test can work out every figure with pencil and paper.
"""

from __future__ import annotations

from hashlib import blake2b

BYTES_PER_TOKEN = 4
_WORDS = ("the ", "red ", "fox ", "ran ", "far ", "and ", "saw ", "one ", "big ", "owl ")


def utf8(text: str) -> bytes:
    """The bytes of `text`; lone surrogates, which JSON allows, stay countable."""
    return text.encode("utf-8", "surrogatepass")


def count_bytes(size: int) -> int:
    """Tokens of `size` bytes: one for each four, a short last one only if it has two or more."""
    return min(-(-size // BYTES_PER_TOKEN), size // 2)


def count(text: str) -> int:
    """Tokens of a text."""
    return count_bytes(len(utf8(text)))


def spell(tokens: int) -> str:
    """A readable text of exactly `tokens` tokens."""
    full, rest = divmod(tokens, len(_WORDS))
    return "".join(_WORDS) * full + "".join(_WORDS[:rest])


def clip(text: str, tokens: int) -> str:
    """The longest start of `text` that is at most `tokens` tokens."""
    if count(text) <= tokens:
        return text
    return utf8(text)[: tokens * BYTES_PER_TOKEN].decode("utf-8", "ignore")


def picture(payload: str) -> str:
    """Stands in a prompt for an image or a file: up to 1,024 tokens, other bytes other tokens.

    Never longer than the payload, so that the promises of this module hold for it as well.
    """
    return (blake2b(utf8(payload), digest_size=32).hexdigest() * 64)[: min(4096, len(payload))]
