"""The shapes of chat completions and their chunks, with every provider's place for usage.

Owns the JSON of answers. OpenAI tells a stream's usage in an extra chunk without choices before
`[DONE]`, only if it was asked for; all other chunks then carry `usage: null`. OpenRouter always
tells it, on a last chunk with an empty delta; Groq on the finish chunk as `x_groq`, asked or not;
Kimi inside the choice of the finish chunk; Mistral on the finish chunk; xAI as running totals,
the last of them before the final chunk. Every event says what must be charged before it is sent.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from budgetd.simulator.answer import Call, Draft, Event, Json, dumps
from budgetd.simulator.openai_usage import chat_usage
from budgetd.simulator.prices import Model, Tokens

DONE = Event("[DONE]")


@dataclass(frozen=True, slots=True)
class Chat:
    """One planned completion: `tokens` are its true totals over all choices."""

    call: Call
    model: Model
    tokens: Tokens
    tier: str
    drafts: tuple[Draft, ...]
    include_usage: bool

    def usage(self, tokens: Tokens | None = None) -> Json:
        """The usage object as this provider tells it."""
        told = self.tokens if tokens is None else tokens
        return chat_usage(self.call.script.flavour, told, self.model, self.tier)

    def head(self, kind: str) -> Json:
        """The fields before `choices`."""
        call, router = self.call, self.call.script.flavour == "openrouter"
        head: Json = {
            "id": f"gen-{call.id}" if router else f"chatcmpl-{call.id}",
            "object": kind,
            "created": call.created,
            "model": call.script.response_model or call.body["model"],
            "service_tier": self.tier,
            "system_fingerprint": "fp_sim",
        }
        return head | {"provider": "Simulator"} if router else head


def finish_reason(one: Draft) -> str:
    """Why a choice ended."""
    if one.clipped:
        return "length"
    return "stop" if one.tool is None else "tool_calls"


def completion(chat: Chat) -> Json:
    """The answer in one body."""
    choices: list[Json] = []
    for index, one in enumerate(chat.drafts):
        message: Json = {"role": "assistant", "content": one.text, "refusal": None}
        if one.tool is not None:
            message["content"] = None
            message["tool_calls"] = [_tool_call(chat, one.tool, one.text)]
        choice = {"index": index, "message": message, "logprobs": None}
        choices.append(choice | {"finish_reason": finish_reason(one)})
    whole = chat.head("chat.completion") | {"choices": choices}
    if not chat.call.script.omit_usage:
        whole["usage"] = chat.usage()
    if chat.call.script.flavour == "groq":
        whole["x_groq"] = {"id": chat.call.id}
    return whole


def events(chat: Chat) -> Iterator[Event]:
    """The answer as a stream, `[DONE]` included."""
    script, sent = chat.call.script, replace(chat.tokens, output=0, reasoning=0)
    for index, one in enumerate(chat.drafts):
        event = Event(_start(chat, index, one), output=one.reasoning, reasoning=one.reasoning)
        sent = replace(
            sent, output=sent.output + event.output, reasoning=sent.reasoning + event.reasoning
        )
        yield event
    streams = [list(one.fragments(script.chunk_tokens)) for one in chat.drafts]
    for turn in range(max(map(len, streams), default=0)):
        for index, fragments in enumerate(streams):
            if turn < len(fragments):
                text, output = fragments[turn]
                sent = replace(sent, output=sent.output + output)
                delta = _delta(chat.drafts[index], text)
                yield Event(_chunk(chat, index, delta, None, _running(chat, sent)), output=output)
    for index, one in enumerate(chat.drafts):
        last = index == len(chat.drafts) - 1
        yield Event(_finish_chunk(chat, index, one) if last else _chunk(chat, index, {}, one))
    yield from _after_finish(chat)
    yield DONE


def _start(chat: Chat, index: int, one: Draft) -> str:
    delta: Json = {"role": "assistant", "content": "", "refusal": None}
    if one.tool is not None:
        call = {"index": 0} | _tool_call(chat, one.tool, "")
        delta = {"role": "assistant", "content": None, "tool_calls": [call]}
    return _chunk(chat, index, delta)


def _delta(one: Draft, text: str) -> Json:
    if one.tool is None:
        return {"content": text}
    return {"tool_calls": [{"index": 0, "function": {"arguments": text}}]}


def _chunk(
    chat: Chat, index: int, delta: Json, ended: Draft | None = None, more: Json | None = None
) -> str:
    choice: Json = {"index": index, "delta": delta, "logprobs": None, "finish_reason": None}
    if ended is not None:
        choice["finish_reason"] = finish_reason(ended)
    return dumps(_blank(chat) | {"choices": [choice]} | (more or {}))


def _blank(chat: Chat) -> Json:
    head = chat.head("chat.completion.chunk")
    if chat.include_usage and not chat.call.script.omit_usage:
        head["usage"] = None
    return head


def _running(chat: Chat, sent: Tokens) -> Json:
    if chat.call.script.flavour != "xai" or chat.call.script.omit_usage:
        return {}
    return {"usage": chat.usage(sent)}


def _finish_chunk(chat: Chat, index: int, one: Draft) -> str:
    """The chunk with the last finish reason, where some providers tell usage."""
    choice: Json = {"index": index, "delta": {}, "logprobs": None}
    choice["finish_reason"] = finish_reason(one)
    final = _blank(chat) | {"choices": [choice]}
    if not chat.call.script.omit_usage:
        match chat.call.script.flavour:
            case "groq":
                final["x_groq"] = {"id": chat.call.id, "usage": chat.usage()}
            case "kimi":
                choice["usage"] = chat.usage()
            case "mistral" | "xai":
                final["usage"] = chat.usage()
            case "openai" | "openrouter" | "deepseek":
                pass
    return dumps(final)


def _after_finish(chat: Chat) -> Iterator[Event]:
    """The chunk after the last finish reason, which is where OpenAI tells usage."""
    if chat.call.script.omit_usage:
        return
    blank = _blank(chat) | {"choices": []}
    match chat.call.script.flavour:
        case "openrouter":
            empty = {"index": 0, "delta": {"role": "assistant", "content": ""}}
            choice = empty | {"finish_reason": None, "logprobs": None}
            yield Event(dumps(blank | {"choices": [choice], "usage": chat.usage()}))
        case "xai":
            yield Event(dumps(blank | {"usage": None}))
        case "mistral":
            pass
        case "openai" | "groq" | "kimi" | "deepseek":
            if chat.include_usage:
                yield Event(dumps(blank | {"usage": chat.usage()}))


def _tool_call(chat: Chat, name: str, arguments: str) -> Json:
    return {
        "id": f"call_{chat.call.id}",
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    }
