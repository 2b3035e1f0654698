"""OpenAI Chat Completions, with completions, embeddings and models: the dialect most providers
speak, each with its own habits.

Reads a request's facts, names the fields to rewrite and writes errors; what comes back is read in
`wire.openai_chat_stream` and `wire.openai_chat_usage`. What runs at the provider, or lets another
model answer, is named as unbounded.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import msgspec

from budgetd.core.estimate import Facts, Media
from budgetd.core.policy import DialectName
from budgetd.core.usage import Traits
from budgetd.errors import CallerFault
from budgetd.wire.answers import mark_of_message
from budgetd.wire.body import Body
from budgetd.wire.coding import is_coded
from budgetd.wire.dialect import Blind, Complaint, Operation, Tap
from budgetd.wire.figures import decoded, members, present
from budgetd.wire.history import Fields
from budgetd.wire.media import might_hold_media, walk_media
from budgetd.wire.openai_chat_stream import ChatTap
from budgetd.wire.openai_chat_usage import read_answer
from budgetd.wire.streaming import EncodedTap
from budgetd.wire.whole import WholeTap

TEMPLATE_TOKENS = 64  # around a request so short that its JSON is no longer than its template

CHAT = Operation("chat", "POST", "/v1/chat/completions", history=Fields())
COMPLETIONS = Operation("completions", "POST", "/v1/completions")
EMBEDDINGS = Operation("embeddings", "POST", "/v1/embeddings")
MODELS = Operation("models", "GET", "/v1/models", spends=False, listing=True)
MODEL = Operation("model", "GET", "/v1/models/*", spends=False)

_BOUNDS = ("max_completion_tokens", "max_tokens")
_IMAGES = frozenset({"image_url", "image", "input_image"})
_DOCUMENTS = frozenset({"file", "input_file", "video_url", "input_video", "video"})
_AUDIO = frozenset({"input_audio", "audio_url", "audio"})
_NOTHING = frozenset({b"", b"null", b"[]", b"{}", b"false"})
_UNBOUNDED = {
    "models": "another model may answer, at another price",  # OpenRouter
    "preset": "it may name another model, and adds words of its own",  # OpenRouter
    "search_parameters": "every source that is read is paid for",  # xAI
    "enable_search": "searches without a bound",  # Qwen
}
_FREE_PLUGINS = frozenset({"response-healing", "context-compression"})
_CLIENT_SIDE = frozenset({"function", "custom"})
_ORIGINAL = re.compile(rb'"original"')
_CACHED = re.compile(rb'"cached_content"')
_ERROR_TYPES = {
    401: "authentication_error",
    402: "usage_limit_reached",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}


class _Tool(msgspec.Struct):
    type: str = "function"


_TOOLS = msgspec.json.Decoder(list[_Tool])


class _Choice(msgspec.Struct):
    message: msgspec.Raw = msgspec.Raw()


class _Answer(msgspec.Struct):
    choices: list[_Choice] = []


_ANSWER = msgspec.json.Decoder(_Answer)


class OpenAIChat:
    """The dialect. Stateless."""

    name: DialectName = "openai_chat"
    operations = (CHAT, COMPLETIONS, EMBEDDINGS, MODELS, MODEL)
    reasons_unasked = True

    def credential_header(self, secret: str) -> tuple[str, str]:
        """See `Dialect.credential_header`."""
        return "Authorization", f"Bearer {secret}"

    def read(self, operation: Operation, body: Body) -> Facts:
        """See `Dialect.read`."""
        model = body.text("model") or ""
        tier = body.text("service_tier")
        if operation is EMBEDDINGS:
            return Facts(model, body.size, bounded_output=False, traits=Traits(service_tier=tier))
        stated = {name: bound for name in _BOUNDS if (bound := body.count(name)) is not None}
        if operation is CHAT and 0 in stated.values():  # to some servers that is no bound at all
            raise CallerFault(
                400, "invalid_request", "max_tokens and max_completion_tokens must be at least 1"
            )
        options = body.get("stream_options")
        streamed = body.flag("stream")
        media, linked = _media(body)
        searches = 1 if present(body.raw("web_search_options")) else 0
        return Facts(
            model,
            body.size,
            streamed=streamed,
            output=max(stated.values(), default=None),
            output_fields=tuple(stated),
            answers=max(body.count("n") or 1, body.count("best_of") or 1) * _prompts(body),
            overhead=TEMPLATE_TOKENS,
            extra_output=len(body.raw("prediction")),
            media=media,
            linked=linked,
            searches=searches,
            silent_searches=searches,
            unbounded=_unbounded(body),
            traits=Traits(service_tier=tier),
            asked_usage=isinstance(options, dict) and options.get("include_usage") is True,
            hidden_output=present(body.raw("reasoning_effort")) or present(body.raw("reasoning")),
            media_output=_speaks_or_draws(body),
        )

    def limit_output(self, facts: Facts, bound: int, field: str) -> dict[str, Any]:
        """See `Dialect.limit_output`."""
        return dict.fromkeys(facts.output_fields or (field,), bound)

    def ask_usage(self, body: Body) -> dict[str, Any]:
        """See `Dialect.ask_usage`. Other stream options stay as they are."""
        options = body.get("stream_options")
        return {
            "stream_options": {**options, "include_usage": True}
            if isinstance(options, dict)
            else {"include_usage": True}
        }

    def tap(
        self, operation: Operation, *, streamed: bool, hide_usage: bool, encoding: str = ""
    ) -> Tap:
        """See `Dialect.tap`."""
        if not operation.spends:
            return Blind()
        if not streamed:
            heard = _heard if operation is CHAT else None
            return WholeTap(read_answer, encoding, heard=heard)
        words = operation is COMPLETIONS
        if is_coded(encoding):
            return EncodedTap(ChatTap(hides=False, words=words), encoding)
        return ChatTap(hides=hide_usage, words=words)

    def error(self, complaint: Complaint) -> bytes:
        """`{"error": {"message", "type", "param", "code"}}`."""
        usual = "server_error" if complaint.status >= 500 else "invalid_request_error"
        error: dict[str, Any] = {
            "message": complaint.message,
            "type": complaint.kind or _ERROR_TYPES.get(complaint.status, usual),
            "param": None,
            "code": complaint.code,
            **(complaint.members or {}),
        }
        if complaint.details:
            error["budgetd"] = complaint.details
        return json.dumps({"error": error}).encode()


def _heard(document: bytes) -> int:
    """The mark of a whole answer: of several, a conversation goes on with the first."""
    answer = decoded(_ANSWER, document)
    return mark_of_message(bytes(answer.choices[0].message)) if answer and answer.choices else 0


def _media(body: Body) -> tuple[Media, Media]:
    """What the messages hold, and what of it is linked."""
    if not might_hold_media(body.words("messages")):
        return Media(), Media()
    found = walk_media(body.get("messages"), images=_IMAGES, documents=_DOCUMENTS, audio=_AUDIO)
    weight = _image_weight(body)
    media, linked = (replace(one, images=one.images * weight) for one in found)
    return media, linked


def _image_weight(body: Body) -> int:
    """How many ordinary images (5,000 tokens at most) one of these may count as."""
    if "gpt-4o-mini" in (body.text("model") or ""):
        return 10  # 2,833 tokens and 5,667 for each of eight tiles
    return 2 if _ORIGINAL.search(body.words("messages")) else 1  # 10,000 patches


def _unbounded(body: Body) -> str | None:
    """What makes the cost impossible to bound: things that happen at the provider."""
    for field, words in _UNBOUNDED.items():
        if body.raw(field) not in _NOTHING:
            return f"{field} ({words})"
    plugins = body.get("plugins")
    for plugin in plugins if isinstance(plugins, list) else []:
        name = members(plugin).get("id")
        if name not in _FREE_PLUGINS and members(plugin).get("enabled") is not False:
            return f"the plugin {name}"
    if _CACHED.search(body.words("extra_body")):
        return "cached_content (words that are kept at the provider)"
    kinds = _tool_types(body) - _CLIENT_SIDE
    return f"the server tool {min(kinds)}" if kinds else None


def _tool_types(body: Body) -> set[str]:
    """The types of the tools that are offered."""
    raw = body.raw("tools")
    if raw in _NOTHING:
        return set()
    try:
        return {tool.type for tool in _TOOLS.decode(raw)}
    except (msgspec.MsgspecError, RecursionError):
        offered = body.get("tools")
        found = offered if isinstance(offered, list) else []
        return {str(members(tool).get("type", "function")) for tool in found}


def _speaks_or_draws(body: Body) -> bool:
    """Whether the answer may hold more than text."""
    kinds = body.get("modalities")
    return kinds is not None and kinds != ["text"]


def _prompts(body: Body) -> int:
    """How many prompts a completion answers: a list holds texts or token lists, or is one of tokens."""
    prompt = body.get("prompt") if body.raw("prompt").startswith(b"[") else None
    several = isinstance(prompt, list) and prompt and not isinstance(prompt[0], int)
    return len(prompt) if isinstance(prompt, list) and several else 1


DIALECT = OpenAIChat()
