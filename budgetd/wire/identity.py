"""Who a request says it is: the credential it carries and the client that sent it, as read from its
headers.

Everything here is a claim to be checked elsewhere. A budgetd token wins over any other credential
in the same request; which of a provider's header forms was used is kept, so that a credential of
ours can go upstream in the form that provider expects.
"""

from __future__ import annotations

from collections.abc import Mapping
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


def credential(headers: Mapping[str, str]) -> Credential | None:
    """The credential of a request; None if it carries none. Placeholders that SDKs need but nobody
    reads count as none.
    """
    found = None
    for header in CREDENTIAL_HEADERS:
        value = headers.get(header)
        if not value:
            continue
        if header == "authorization":
            scheme, _, value = value.strip().partition(" ")
            if scheme.lower() != "bearer":
                continue
        value = value.strip()
        if not value:
            continue
        this = Credential(header, value)
        if this.is_token:
            return this
        found = found or this
    return found


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
