"""Reading what both message dialects share: messages, their texts, the tool round trip.

Owns the answers to three questions: what did the user say (for `SIM{...}`), how many tool calls
were made since, and has each of them its result. OpenAI's and Anthropic's messages differ in
details that are both read here, so that scripts mean the same in either. It refuses nothing.
"""

from __future__ import annotations

from collections.abc import Iterator


def objects(value: object) -> list[dict[str, object]]:
    """The objects of a list; everything else is left out."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def texts(content: object) -> Iterator[str]:
    """The texts of a message's content, string or parts."""
    if isinstance(content, str):
        yield content
    for part in objects(content):
        if isinstance(part.get("text"), str):
            yield str(part["text"])


def user_texts(body: dict[str, object]) -> list[str]:
    """Everything that users said, oldest first; a completion's prompt counts as said."""
    said = [
        text
        for message in objects(body.get("messages"))
        if message.get("role") == "user"
        for text in texts(message.get("content"))
    ]
    prompt = body.get("prompt")
    if isinstance(prompt, list):
        said += [text for text in prompt if isinstance(text, str)]
    return said + ([prompt] if isinstance(prompt, str) else [])


def unanswered_calls(messages: list[dict[str, object]]) -> list[str]:
    """Ids of tool calls without a result in a later message; providers refuse such a history."""
    waiting: dict[str, None] = {}
    for message in messages:
        parts = objects(message.get("content"))
        if message.get("role") == "tool":
            waiting.pop(str(message.get("tool_call_id")), None)
        for part in parts:
            if part.get("type") == "tool_result":
                waiting.pop(str(part.get("tool_use_id")), None)
        calls = [part for part in parts if part.get("type") == "tool_use"]
        for call in calls + objects(message.get("tool_calls")):
            waiting[str(call.get("id"))] = None
    return list(waiting)


def tool_rounds(messages: list[dict[str, object]]) -> int:
    """Tool calls made since the newest message of a user that is not just a tool's result."""
    rounds = 0
    for message in reversed(messages):
        role, parts = message.get("role"), objects(message.get("content"))
        if role == "user" and not any(part.get("type") == "tool_result" for part in parts):
            break
        called = any(part.get("type") == "tool_use" for part in parts)
        if role == "assistant" and (message.get("tool_calls") or called):
            rounds += 1
    return rounds
