"""Who a request says it is: the credential it carries and the client that sent it, as read from its
headers.

Everything here is a claim to be checked elsewhere. A budgetd token wins over any other credential
in the same request; which of a provider's header forms was used is kept, so that a credential of
ours can go upstream in the form that provider expects.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

TOKEN_PREFIX = "bgd_"  # noqa: S105  what a token begins with, not one

# Headers that carry a credential: none of them goes upstream when budgetd injects its own.
CREDENTIAL_HEADERS = ("authorization", "x-api-key", "api-key", "x-goog-api-key")


@dataclass(frozen=True, slots=True)
class Credential:
    """A secret from a request. Its repr does not show it."""

    header: str
    secret: str

    @property
    def is_token(self) -> bool:
        """Whether it is one of ours."""
        return self.secret.startswith(TOKEN_PREFIX)

    def __repr__(self) -> str:
        return f"Credential({self.header}, ***)"


def credentials(headers: Mapping[str, str]) -> tuple[Credential, ...]:
    """Every credential of a request, ours first: some clients send the same one in two headers, and
    one that looked at only the first could be shown another. `headers` may hold a name twice.
    """
    found: dict[str, Credential] = {}
    for one in _all_of(headers):
        found.setdefault(one.secret, one)
    return tuple(sorted(found.values(), key=lambda one: not one.is_token))


def _all_of(headers: Mapping[str, str]) -> Iterator[Credential]:
    for header in CREDENTIAL_HEADERS:
        for name, value in headers.items():
            if name.lower() == header:
                secrets = _secrets_of(value) if header == "authorization" else [value.strip()]
                yield from (Credential(header, secret) for secret in secrets if secret)


def _secrets_of(value: str) -> list[str]:
    """The secrets in an Authorization header, whatever its scheme: the last word; of Basic both
    halves, because some APIs take the key as the user.
    """
    scheme, *rest = value.split() or [""]
    if not rest:
        return [] if scheme.lower() in {"bearer", "basic"} else [scheme]
    if scheme.lower() != "basic":
        return rest[-1:]
    try:
        user, _, password = base64.b64decode(rest[-1]).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return rest[-1:]
    return [password, user] if password or user else rest[-1:]


def client_family(headers: Mapping[str, str]) -> str:
    """The kind of client, by what it sends of its own accord; "unknown" where nothing tells."""
    if "x-claude-code-session-id" in headers:
        return "claude_code"
    agent = headers.get("user-agent", "")
    for mark, family in _AGENTS:
        if agent.startswith(mark):
            return family
    if "codex" in agent.lower() or "codex" in headers.get("originator", "").lower():
        return "codex"
    return "goose" if "agent-session-id" in headers else "unknown"


_AGENTS = (
    ("claude-cli/", "claude_code"),
    ("opencode/", "opencode"),
    ("QwenCode/", "qwen_code"),
    ("GeminiCLI", "gemini_cli"),
    ("OpenAI/JS", "js_sdk"),
    ("Anthropic/JS", "js_sdk"),
    ("OpenAI/Python", "python_sdk"),
    ("AsyncOpenAI/Python", "python_sdk"),
    ("Anthropic/Python", "python_sdk"),
    ("AsyncAnthropic/Python", "python_sdk"),
    ("langchain-anthropic/", "python_sdk"),
    ("pydantic-ai/", "python_sdk"),
    ("Agents/Python", "python_sdk"),
)
FAMILIES = frozenset(
    {family for _, family in _AGENTS} | {"codex", "goose", "aider", "pi", "openclaw", "unknown"}
)
