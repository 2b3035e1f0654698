"""OpenAI Chat Completions: from a request body to an answer.

Owns the reading and the refusals of `POST /v1/chat/completions`, the prompt that the automatic
cache sees, and what its endpoint family shares: finding the model, tiers, stream usage. It
refuses what OpenAI refuses and budgetd could get wrong: an output bound above the model's
maximum, `max_tokens` for a reasoning model, `stream_options` without `stream`. It does no I/O;
shapes of answers are in `openai_shapes`.
"""

from __future__ import annotations

from dataclasses import replace

from budgetd.simulator.answer import Answer, Call, Json, Refusal, draft, dumps, whole_number
from budgetd.simulator.conversation import objects, texts, tool_rounds, unanswered_calls
from budgetd.simulator.openai_shapes import Chat, completion, events
from budgetd.simulator.prices import Model
from budgetd.simulator.tokens import count_bytes, picture, utf8


def plan(call: Call) -> Answer:
    """Read and answer a chat completion. Raises Refusal as OpenAI would."""
    body, script = call.body, call.script
    model = find_model(call, "chat")
    if not isinstance(body.get("messages"), list) or not body["messages"]:
        raise missing("messages")
    unanswered = unanswered_calls(objects(body["messages"]))
    if unanswered:
        raise Refusal(
            400,
            "An assistant message with 'tool_calls' must be followed by tool messages responding "
            "to each 'tool_call_id'. The following tool_call_ids did not have response messages: "
            f"{', '.join(unanswered)}",
            param="messages",
        )
    include = stream_usage(call)
    limit = _output_limit(body, model)
    number = whole_number(body.get("n"), "n") or 1
    prompt = _prompt(body)
    limit = min(limit, model.context - count_bytes(len(prompt)))
    if limit < 1:
        raise too_long(model, count_bytes(len(prompt)))
    tokens = call.bench.cache.automatic(call.scope(model), prompt, call.bench.clock())
    one = draft(script, limit, thinks=model.reasoning, tool=_wants_tool(call))
    tokens = replace(
        tokens,
        input=max(tokens.input, 1),
        output=number * one.output,
        reasoning=number * one.reasoning,
    )
    tier = service_tier(call, model)
    chat = Chat(call, model, tokens, tier, (one,) * number, include)
    deltas = number * (2 + one.visible // max(script.chunk_tokens, 1))
    return Answer(
        whole=completion(chat),
        tokens=tokens,
        model=model,
        tier=tier,
        stream=body.get("stream") is True,
        events=lambda: events(chat),
        deltas=deltas,
    )


def find_model(call: Call, kind: str) -> Model:
    """The model asked for; 400 without a name, 404 for one that this endpoint does not offer."""
    name = call.body.get("model")
    if not isinstance(name, str) or not name:
        raise Refusal(400, "you must provide a model parameter")
    model = call.bench.models.get(name)
    if model is None or model.kind == "messages":
        raise Refusal(
            404,
            f"The model `{name}` does not exist or you do not have access to it.",
            code="model_not_found",
        )
    if model.kind != kind:
        raise Refusal(404, f"{name} is a {model.kind} model and not supported in this endpoint.")
    return model


def missing(name: str) -> Refusal:
    """The 400 for a parameter that is not there."""
    return Refusal(
        400,
        f"Missing required parameter: '{name}'.",
        param=name,
        code="missing_required_parameter",
    )


def too_long(model: Model, tokens: int) -> Refusal:
    """The 400 for a prompt that leaves no room in the context."""
    return Refusal(
        400,
        f"This model's maximum context length is {model.context} tokens. However, your messages "
        f"resulted in {tokens} tokens. Please reduce the length of the messages.",
        param="messages",
        code="context_length_exceeded",
    )


def stream_usage(call: Call) -> bool:
    """Whether stream usage was asked for; 400 where `stream_options` is not allowed."""
    options = call.body.get("stream_options")
    if options is None:
        return False
    if call.script.rejects_stream_options:
        raise Refusal(400, "Unrecognized request argument supplied: stream_options")
    if call.body.get("stream") is not True:
        raise Refusal(
            400,
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.",
            param="stream_options",
        )
    return isinstance(options, dict) and options.get("include_usage") is True


def service_tier(call: Call, model: Model) -> str:
    """The tier that serves, and is billed: the one asked for if the model has it."""
    if call.script.service_tier is not None:
        return call.script.service_tier
    asked = call.body.get("service_tier")
    return asked if isinstance(asked, str) and asked in dict(model.tiers) else "default"


def _output_limit(body: Json, model: Model) -> int:
    if model.reasoning and body.get("max_tokens") is not None:
        raise Refusal(
            400,
            "Unsupported parameter: 'max_tokens' is not supported with this model. "
            "Use 'max_completion_tokens' instead.",
            param="max_tokens",
            code="unsupported_parameter",
        )
    for name in ("max_completion_tokens", "max_tokens"):
        asked = whole_number(body.get(name), name)
        if asked is not None and asked > model.max_output:
            raise Refusal(
                400,
                f"{name} is too large: {asked}. This model supports at most {model.max_output} "
                f"completion tokens, whereas you provided {asked}.",
                param=name,
                code="invalid_value",
            )
        if asked is not None:
            return asked
    return model.max_output


def _prompt(body: Json) -> bytes:
    """What the model reads: tools first, then role and content of each message."""
    lines = [dumps(tool) for tool in objects(body.get("tools"))]
    for message in objects(body["messages"]):
        content = message.get("content")
        lines += [str(message.get("role")), *texts(content)]
        for part in objects(content):
            image = part.get("image_url")
            if isinstance(image, dict):
                lines.append(picture(str(image.get("url"))))
        if message.get("tool_calls"):
            lines.append(dumps(message["tool_calls"]))
    return utf8("\n".join(lines))


def _wants_tool(call: Call) -> bool:
    offered = [tool.get("function") for tool in objects(call.body.get("tools"))]
    names = [tool.get("name") for tool in offered if isinstance(tool, dict)]
    done = tool_rounds(objects(call.body["messages"]))
    return call.script.tool in names and done < call.script.tool_rounds
