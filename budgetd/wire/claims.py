"""What a request says of its conversation: which session it is, whose sub-agent, what kind of call.

Owns the marks that real clients leave in headers and bodies, and which of them wins: our own
headers, the label in the URL, the client's ids, then fields of the body. Whatever names the session
from outside names the root: sub-agents that the client tells apart stay apart below it. All of it
is claims; nothing is believed here, and nothing that a client sends of its own accord is refused,
however odd: an id that cannot be shown is replaced by a digest of it. What sessions exist is not
known here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any, get_args

import msgspec

from budgetd.core.sessions import Claim, Kind, Source
from budgetd.errors import CallerFault
from budgetd.wire.body import Body
from budgetd.wire.dialects import Labels

LONGEST_METADATA = 16 * 1024  # of JSON in one header or field; Codex sends 1 KB
HEAD = 4 * 1024  # bytes of a history in which a client's own system prompt shows
TAIL = 16 * 1024  # and in which what started this call does

_UUID = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_COUNTED = re.compile(rf"({_UUID}):\d{{1,9}}")  # OpenClaw counts something after a session's id
_CONVERSATION = re.compile(rf"{_UUID}|ses_[0-9A-Za-z]{{8,}}")
_ID = re.compile(r"[0-9A-Za-z_.:-]{20,}")
_RANDOM = re.compile(r"\d[A-Za-z]+\d+[A-Za-z]+\d|\d{15}")  # as words and dates are not
# What a hash of something looks like, and a random UUID without its hyphens does not.
_PLAIN_HASH = re.compile(
    r"[0-9a-f]{40,}|[0-9a-f]{12}[^47][0-9a-f]{19}|[0-9a-f]{16}[^89ab][0-9a-f]{15}", re.IGNORECASE
)
_USER_SESSION = re.compile(rf"_session_({_UUID})")  # Claude Code before it wrote JSON there

_ANY = msgspec.json.Decoder()
_KINDS: tuple[Kind, ...] = get_args(Kind)

# Agents whose every turn offers tools: a call without any is a title, a summary or the like.
_EQUIPPED = frozenset({"claude_code", "opencode", "qwen_code", "gemini_cli", "codex"})
_NO_TOOLS = frozenset({b"", b"[]", b"null"})
_CODEX_CHORES = frozenset({"compact", "memory_consolidation"})
# How the system prompts of Qwen Code's housekeepers begin. They have tools, as its agents do; its
# questions have one, to answer by.
_QWEN_CHORES = (
    b"You are now acting as the managed memory extraction",
    b"You are performing a managed memory dream",
    b"You are reviewing this conversation to extract reusable skills",
)
_QWEN_QUESTION = b'[{"type":"function","function":{"name":"respond_in_schema"'
# How a message begins by which OpenClaw wakes its agent, and what stands in a history after one
# that was answered.
_WAKES: tuple[tuple[bytes, Kind], ...] = (
    (b"[cron:", "cron"),
    (b"[OpenClaw cron wake]", "cron"),
    (b"[OpenClaw heartbeat poll]", "heartbeat"),
    (b"Follow the heartbeat monitor scratch context", "heartbeat"),
    (b"Read HEARTBEAT.md if it exists", "heartbeat"),
)
_ANSWERED = re.compile(rb'"role"\s*:\s*"(?:assistant|tool|model)"|"type"\s*:\s*"function_call')


@dataclass(frozen=True, slots=True)
class _Line:
    """A session and those above it in the client's own names, the root last. `scoped`: the names
    below the root mean something only together with it.
    """

    names: tuple[str, ...]
    source: Source
    scoped: bool = False


def claim(
    headers: Mapping[str, str], labels: Labels, body: Body | None, family: str, longest: int
) -> Claim:
    """What a request claims. `headers` must not mind the case of names; `body` is None where there
    is none; ids have at most `longest` characters, or twice that and a slash for an agent's.

    Raises CallerFault (400) for X-Budgetd headers that say nothing we could use, for no other.
    """
    codex = _json(headers.get("x-codex-turn-metadata"))
    line = _line(headers, labels, body, codex, longest)
    parent = _ours(headers, "X-Budgetd-Parent", longest)
    refs = () if line is None else _refs(line)
    above = [*refs[1:], *([] if parent is None else [parent])]
    return Claim(
        refs[0] if refs else None,
        "prefix" if line is None else line.source,
        tuple(dict.fromkeys(one for one in above if one not in refs[:1])),
        _kind(headers, body, family, codex),
    )


def labelled(labels: Labels, headers: Mapping[str, str], longest: int) -> Labels:
    """The labels of a URL with what the headers add to them: the URL's own label wins. Raises
    CallerFault (400) for an X-Budgetd-Label that is empty or too long.
    """
    label = _ours(headers, "X-Budgetd-Label", longest)
    return labels if label is None or labels.label is not None else replace(labels, label=label)


def _ours(headers: Mapping[str, str], name: str, longest: int) -> str | None:
    """A name in a header of our own, None if it is not there."""
    value = headers.get(name)
    if value is None:
        return None
    value = value.strip()
    if not value or len(value) > longest or not value.isprintable():
        raise CallerFault(
            400, "bad_label", f"{name} must be one word of at most {longest} characters"
        )
    return value


def _line(
    headers: Mapping[str, str],
    labels: Labels,
    body: Body | None,
    codex: Mapping[str, Any],
    longest: int,
) -> _Line | None:
    """The session's names, by the source that wins; None if nothing names it."""
    own = _sent(headers, codex, longest)
    top = _ours(headers, "X-Budgetd-Session", longest)
    if top is not None or labels.session is not None:
        below = () if own is None else own.names[:-1]
        source: Source = "url" if top is None else "header"
        return _Line((*below, top or labels.session or ""), source, scoped=True)
    if own is None and body is not None:
        own = _cache_key(body, longest) or _user(body, longest)
    if own is None:
        count = _shown(headers.get("agent-session-id"), longest)
        own = None if count is None else _Line((f"goose:{count}",), "counter")
    return own


def _refs(line: _Line) -> tuple[str, ...]:
    *below, root = line.names
    if line.scoped:
        below = [f"{root}/{name}" for name in below]
    return (*below, root)


def _sent(headers: Mapping[str, str], codex: Mapping[str, Any], longest: int) -> _Line | None:
    """What clients say in headers that they send of their own accord."""

    def sent(*names: str) -> str | None:
        found = (_shown(headers.get(name), longest) for name in names)
        return next((one for one in found if one is not None), None)

    session = sent("x-claude-code-session-id")
    if session is not None:
        agents = sent("x-claude-code-agent-id"), sent("x-claude-code-parent-agent-id")
        return _named(*(agents if agents[0] else ()), session, scoped=True)
    session = sent("x-session-id", "x-session-affinity")  # OpenCode
    if session is not None:
        return _named(session, sent("x-parent-session-id"))
    # Codex: its session is the root's, its threads are the sessions. The names with an underscore
    # are those of Pi and OpenClaw, and of an older Codex.
    session = sent("session-id") or _shown(codex.get("session_id"), longest)
    session = session or sent("session_id", "conversation_id")
    thread = sent("thread-id") or _shown(codex.get("thread_id"), longest) or session
    if thread is None:
        return None
    parent = sent("x-codex-parent-thread-id") or _shown(codex.get("parent_thread_id"), longest)
    return _named(thread, parent, session)


def _named(*names: str | None, scoped: bool = False) -> _Line:
    return _Line(tuple(dict.fromkeys(one for one in names if one)), "client", scoped)


def _cache_key(body: Body, longest: int) -> _Line | None:
    """The key for the provider's cache, where it is one conversation's. Apps also use one constant
    for everybody, or a hash of the prompt: those are no names.
    """
    if body.view("prompt_cache_key").nbytes > longest + 2:
        return None
    key = body.get("prompt_cache_key")
    if not isinstance(key, str):
        return None
    key = _uncounted(key)
    if _CONVERSATION.fullmatch(key) or (
        _ID.fullmatch(key)
        and not _PLAIN_HASH.fullmatch(key)
        and any(len(word) >= 12 and _RANDOM.search(word) for word in re.split(r"[_.:-]", key))
    ):
        return _Line((key,), "cache_key")
    return None


def _user(body: Body, longest: int) -> _Line | None:
    """The session that Claude Code puts, as JSON in a string, into metadata.user_id."""
    if "metadata" not in body:
        return None
    user = _json(body.view("metadata")).get("user_id")
    session = _shown(_json(user).get("session_id"), longest)
    if session is None and isinstance(user, str):
        found = _USER_SESSION.search(user)
        session = found[1] if found else None
    return None if session is None else _Line((session,), "user_id")


def _json(text: object) -> Mapping[str, Any]:
    """A JSON object, empty if it is none that we would read."""
    if isinstance(text, str):
        text = text.encode("utf-8", "surrogatepass")
    elif not isinstance(text, memoryview):
        return {}
    if len(text) > LONGEST_METADATA:
        return {}
    try:
        found = _ANY.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _shown(value: object, longest: int) -> str | None:
    """An id as it is shown and kept; None if it is none."""
    if not isinstance(value, str) or not (value := value.strip()):
        return None
    if len(value) > longest or not value.isprintable():
        return "#" + blake2b(value.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    return _uncounted(value)


def _uncounted(value: str) -> str:
    found = _COUNTED.fullmatch(value)
    return found[1] if found else value


def _kind(
    headers: Mapping[str, str], body: Body | None, family: str, codex: Mapping[str, Any]
) -> Kind:
    """What kind of call it is, as far as it shows: a turn where nothing tells."""
    said = headers.get("X-Budgetd-Kind")
    if said is not None:
        return _kind_named(said)
    request = codex.get("request_kind")
    if isinstance(request, str) and request:
        return "turn" if request == "turn" else "side"
    if headers.get("x-openai-subagent") in _CODEX_CHORES or "x-openai-memgen-request" in headers:
        return "side"
    if body is None:
        return "turn"
    if family in _EQUIPPED:
        return "side" if _is_chore(body, family) else "turn"
    if family == "openclaw" or (family in {"js_sdk", "unknown"} and "traceparent" in headers):
        return _woken(body)
    return "turn"


def _kind_named(said: str) -> Kind:
    kind = next((kind for kind in _KINDS if kind == said.strip().lower()), None)
    if kind is None:
        raise CallerFault(400, "bad_kind", f"X-Budgetd-Kind must be one of {', '.join(_KINDS)}")
    return kind


def _is_chore(body: Body, family: str) -> bool:
    tools = bytes(body.view("tools")[: len(_QWEN_QUESTION)])
    if tools.translate(None, b" \t\r\n") in _NO_TOOLS:
        return True
    if family != "qwen_code":
        return False
    head = bytes(body.view("messages")[:HEAD])
    return tools == _QWEN_QUESTION or any(_beginning(head, words) >= 0 for words in _QWEN_CHORES)


def _woken(body: Body) -> Kind:
    """What woke OpenClaw's agent, by how the newest messages begin. Only the first call of such a
    run shows it: after an answer nothing tells whose words follow.
    """
    tail = bytes(body.view("messages" if "messages" in body else "input")[-TAIL:])
    for words, kind in _WAKES:
        place = _beginning(tail, words)
        if place >= 0 and not _ANSWERED.search(tail, place):
            return kind
    return "turn"


def _beginning(text: bytes, words: bytes) -> int:
    """Where in JSON the last string stands that begins with these words; -1 if there is none."""
    place = text.rfind(b'"' + words)
    return -1 if text[place - 1 : place] == b"\\" else place
