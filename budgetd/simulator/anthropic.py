"""Anthropic Messages: from a request body to an answer.

Owns the reading and the refusals of `POST /v1/messages` and `/v1/messages/count_tokens`, and the
pieces that the prompt cache sees, in Anthropic's order: tools, system, messages. A string is the
same as one text block, and a `cache_control` mark is not a part of the block that carries it, so
a prefix is found again however a client moves its marks. Thinking blocks of the history cost
nothing, but their signatures must be this model's own. It does no I/O; shapes of answers are in
`anthropic_shapes`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from budgetd.simulator.answer import Answer, Call, Draft, Json, Refusal, draft, dumps, whole_number
from budgetd.simulator.anthropic_shapes import Message, events, message, signature
from budgetd.simulator.cache import Piece, Ttl
from budgetd.simulator.conversation import objects, tool_rounds, unanswered_calls
from budgetd.simulator.prices import Model, Tokens
from budgetd.simulator.tokens import count, picture, utf8

MARKS_AT_MOST = 4
THINKING_AT_LEAST = 1024
_THINKING_BLOCKS = ("thinking", "redacted_thinking")


def plan(call: Call) -> Answer:
    """Read and answer a message. Raises Refusal as Anthropic would."""
    body, script = call.body, call.script
    model = find_model(call)
    limit = whole_number(body.get("max_tokens"), "max_tokens")
    if limit is None:
        raise Refusal(400, "max_tokens: Field required")
    if limit > model.max_output:
        raise Refusal(
            400,
            f"max_tokens: {limit} > {model.max_output}, which is the maximum allowed number of "
            f"output tokens for {model.name}",
        )
    thinks = _thinking(body, limit)
    pieces = read_pieces(body, model)
    unanswered = unanswered_calls(objects(body["messages"]))
    if unanswered:
        raise Refusal(
            400,
            "`tool_use` ids were found without `tool_result` blocks immediately after: "
            f"{', '.join(unanswered)}",
        )
    total = sum(piece.tokens for piece in pieces)
    if total > model.context:
        raise Refusal(400, f"prompt is too long: {total} tokens > {model.context} maximum")
    tokens = call.bench.cache.marked(
        call.scope(model), pieces, call.bench.clock(), script.cache_minimum
    )
    if tokens.prompt == 0:
        tokens = Tokens(input=1)
    # Without thinking there is nothing hidden, whatever the script says.
    spoken = script if thinks else replace(script, reasoning_tokens=0)
    one = draft(spoken, limit, thinks=thinks, tool=_wants_tool(call))
    searches = script.web_searches if _offers_search(body) else 0
    tokens = replace(tokens, output=one.output, reasoning=one.reasoning, searches=searches)
    shaped = Message(call, model, tokens, one, thinks)
    return Answer(
        whole=message(shaped),
        tokens=tokens,
        model=model,
        stream=body.get("stream") is True,
        events=lambda: events(shaped),
        deltas=_deltas(one, script.chunk_tokens),
    )


def plan_count(call: Call) -> Answer:
    """Count the tokens of a prompt; free of charge, and the cache is neither read nor written."""
    model = find_model(call)
    total = sum(piece.tokens for piece in read_pieces(call.body, model))
    return Answer(whole={"input_tokens": max(total, 1)}, tokens=Tokens(), model=None)


def list_models(models: Mapping[str, Model]) -> Json:
    """What `GET /v1/models` answers to a client of this dialect."""
    names = [name for name, model in models.items() if model.kind == "messages"]
    data = [
        {"type": "model", "id": name, "display_name": name, "created_at": "2026-01-01T00:00:00Z"}
        for name in names
    ]
    return {"data": data, "has_more": False, "first_id": names[0], "last_id": names[-1]}


def find_model(call: Call) -> Model:
    """The model asked for; 400 without a name, 404 for one that is not offered here."""
    name = call.body.get("model")
    if not isinstance(name, str) or not name:
        raise Refusal(400, "model: Field required")
    model = call.bench.models.get(name)
    if model is None or model.kind != "messages":
        raise Refusal(404, f"model: {name}")
    return model


def read_pieces(body: Json, model: Model) -> list[Piece]:
    """The prompt in blocks, in the order in which the cache reads them."""
    messages = body.get("messages")
    if not isinstance(messages, list):
        raise Refusal(400, "messages: Field required")
    if not messages:
        raise Refusal(400, "messages: at least one message is required")
    pieces = [_piece("tool", tool) for tool in objects(body.get("tools"))]
    pieces += _content("system", body.get("system"), "system", model)
    for at, each in enumerate(messages):
        if not isinstance(each, dict) or not isinstance(each.get("role"), str):
            raise Refusal(400, f"messages.{at}.role: Field required")
        pieces += _content(each["role"], each.get("content"), f"messages.{at}.content", model)
    whole_mark = _mark(body)
    if whole_mark is not None and pieces and pieces[-1].mark is None:
        pieces[-1] = replace(pieces[-1], mark=whole_mark)
    _check_marks([piece.mark for piece in pieces if piece.mark is not None])
    return pieces


def _content(role: str, content: object, where: str, model: Model) -> Iterator[Piece]:
    if isinstance(content, str):
        yield _piece(role, {"type": "text", "text": content})
        return
    for at, block in enumerate(objects(content)):
        if block.get("type") in _THINKING_BLOCKS:
            _check_signature(block, f"{where}.{at}", model)
            continue
        yield _piece(role, block)


def _piece(role: str, block: Json) -> Piece:
    """One block; a text counts by its own bytes, anything else by its JSON without the mark."""
    mark = _mark(block)
    source = block.get("source")
    if block.get("type") == "text":
        text = str(block.get("text"))
    elif isinstance(source, dict):
        text = picture(str(source.get("data") or source.get("url") or source.get("file_id")))
    else:
        text = dumps({name: value for name, value in block.items() if name != "cache_control"})
    kind = str(block.get("type"))
    return Piece(utf8(f"{role}\0{kind}\0{text}"), count(text), mark)


def _mark(block: Json) -> Ttl | None:
    control = block.get("cache_control")
    if not isinstance(control, dict):
        return None
    ttl = control.get("ttl", "5m")
    if ttl == "5m":
        return "5m"
    if ttl == "1h":
        return "1h"
    raise Refusal(400, "cache_control.ephemeral.ttl: Input should be '5m' or '1h'")


def _check_marks(marks: list[Ttl]) -> None:
    if len(marks) > MARKS_AT_MOST:
        raise Refusal(
            400,
            f"A maximum of {MARKS_AT_MOST} blocks with cache_control may be provided. "
            f"Found {len(marks)}.",
        )
    if "5m" in marks and "1h" in marks[marks.index("5m") :]:
        raise Refusal(400, "a ttl='1h' cache_control block must not come after a ttl='5m' one")


def _check_signature(block: Json, where: str, model: Model) -> None:
    if block.get("type") != "thinking":
        return
    if block.get("signature") != signature(model, str(block.get("thinking"))):
        raise Refusal(400, f"{where}: Invalid `signature` in `thinking` block")


def _thinking(body: Json, limit: int) -> bool:
    thinking = body.get("thinking")
    if not isinstance(thinking, dict) or thinking.get("type") not in ("enabled", "adaptive"):
        return False
    if thinking["type"] == "adaptive":
        return True
    budget = whole_number(thinking.get("budget_tokens"), "thinking.enabled.budget_tokens")
    if budget is None:
        raise Refusal(400, "thinking.enabled.budget_tokens: Field required")
    if budget < THINKING_AT_LEAST:
        raise Refusal(
            400,
            "thinking.enabled.budget_tokens: Input should be greater than or equal to "
            f"{THINKING_AT_LEAST}",
        )
    if budget >= limit:
        raise Refusal(400, "`max_tokens` must be greater than `thinking.budget_tokens`.")
    return True


def _wants_tool(call: Call) -> bool:
    names = [tool.get("name") for tool in objects(call.body.get("tools"))]
    done = tool_rounds(objects(call.body["messages"]))
    return call.script.tool in names and done < call.script.tool_rounds


def _offers_search(body: Json) -> bool:
    kinds = [str(tool.get("type")) for tool in objects(body.get("tools"))]
    return any(kind.startswith("web_search") for kind in kinds)


def _deltas(one: Draft, chunk_tokens: int) -> int:
    return 3 + one.visible // max(chunk_tokens, 1)
