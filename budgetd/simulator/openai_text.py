"""OpenAI's older and smaller endpoints: completions, embeddings, the list of models.

Owns `POST /v1/completions` (a prompt may be a list: each part is answered `n` times, and
`best_of` generates more than it shows), `POST /v1/embeddings` and `GET /v1/models`. It shares
the finding of models and the reading of stream options with chat. It does no I/O.
"""

from __future__ import annotations

import struct
from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from hashlib import blake2b

from budgetd.simulator.answer import (
    Answer,
    Call,
    Draft,
    Event,
    Json,
    Refusal,
    draft,
    dumps,
    whole_number,
)
from budgetd.simulator.openai_chat import find_model, missing, stream_usage, too_long
from budgetd.simulator.openai_shapes import DONE, finish_reason
from budgetd.simulator.openai_usage import text_usage
from budgetd.simulator.prices import Model, Tokens
from budgetd.simulator.tokens import count

COMPLETION_TOKENS_BY_DEFAULT = 16
DIMENSIONS_BY_DEFAULT = 1536


@dataclass(frozen=True, slots=True)
class _Text:
    call: Call
    tokens: Tokens
    drafts: tuple[Draft, ...]
    include_usage: bool


def plan_completion(call: Call) -> Answer:
    """Read and answer a legacy completion. Raises Refusal as OpenAI would."""
    body, script = call.body, call.script
    model = find_model(call, "completion")
    include = stream_usage(call)
    if body.get("prompt") is None:
        raise missing("prompt")
    prompts = _inputs(body["prompt"])
    limit = whole_number(body.get("max_tokens"), "max_tokens") or COMPLETION_TOKENS_BY_DEFAULT
    longest = max(prompts)
    if longest + limit > model.context:
        raise too_long(model, longest + limit)
    shown = whole_number(body.get("n"), "n") or 1
    made = max(whole_number(body.get("best_of"), "best_of") or 1, shown)
    # These models reason as little as they call tools, whatever the script says.
    one = draft(replace(script, reasoning_tokens=0), limit, thinks=False, tool=False)
    tokens = Tokens(input=max(sum(prompts), 1), output=one.output * made * len(prompts))
    text = _Text(call, tokens, (one,) * (shown * len(prompts)), include)
    # What best_of generates and does not show is charged with the first event.
    unseen = tokens.output - one.output * len(text.drafts)
    return Answer(
        whole=_whole(text),
        tokens=tokens,
        model=model,
        stream=body.get("stream") is True,
        events=lambda: _events(text, unseen),
        deltas=len(text.drafts) * (1 + one.visible // max(script.chunk_tokens, 1)),
    )


def plan_embedding(call: Call) -> Answer:
    """Read and answer an embedding request; vectors are a digest of the text, repeated."""
    model = find_model(call, "embedding")
    given = call.body.get("input")
    if given is None:
        raise missing("input")
    sizes = _inputs(given)
    if max(sizes) > model.context:
        raise too_long(model, max(sizes))
    tokens = Tokens(input=max(sum(sizes), 1))
    asked = whole_number(call.body.get("dimensions"), "dimensions")
    dimensions = asked or DIMENSIONS_BY_DEFAULT
    packed = call.body.get("encoding_format") == "base64"
    data = [
        {
            "object": "embedding",
            "index": index,
            "embedding": _vector(size, dimensions, packed=packed),
        }
        for index, size in enumerate(sizes)
    ]
    whole: Json = {"object": "list", "data": data, "model": call.body["model"]}
    if not call.script.omit_usage:
        whole["usage"] = {"prompt_tokens": tokens.prompt, "total_tokens": tokens.prompt}
    return Answer(whole=whole, tokens=tokens, model=model)


def list_models(models: Mapping[str, Model]) -> Json:
    """What `GET /v1/models` answers to a client of this dialect."""
    names = [name for name, model in models.items() if model.kind != "messages"]
    data = [{"id": name, "object": "model", "created": 0, "owned_by": "sim"} for name in names]
    return {"object": "list", "data": data}


def _inputs(value: object) -> list[int]:
    """Tokens of each part of a prompt or input: a text, token ids, or a list of either."""
    if isinstance(value, str):
        return [count(value)]
    if isinstance(value, list) and value:
        if all(isinstance(item, int) for item in value):
            return [len(value)]
        return [size for item in value for size in _inputs(item)]
    raise Refusal(400, "Invalid input: expected a string or a list.", param="input")


def _vector(seed: int, dimensions: int, *, packed: bool) -> object:
    digest = blake2b(str(seed).encode()).digest()
    numbers = [digest[at % len(digest)] / 256 for at in range(dimensions)]
    if packed:
        return b64encode(struct.pack(f"<{dimensions}f", *numbers)).decode()
    return numbers


def _head(text: _Text) -> Json:
    call = text.call
    return {
        "id": f"cmpl-{call.id}",
        "object": "text_completion",
        "created": call.created,
        "model": call.script.response_model or call.body["model"],
    }


def _choice(index: int, text: str, finish: str | None) -> Json:
    return {"index": index, "text": text, "logprobs": None, "finish_reason": finish}


def _whole(text: _Text) -> Json:
    choices = [
        _choice(index, one.text, finish_reason(one)) for index, one in enumerate(text.drafts)
    ]
    whole = _head(text) | {"choices": choices}
    if not text.call.script.omit_usage:
        whole["usage"] = text_usage(text.tokens)
    return whole


def _events(text: _Text, unseen: int) -> Iterator[Event]:
    told = text.include_usage and not text.call.script.omit_usage
    head = _head(text) | ({"usage": None} if told else {})
    for event in _choice_events(text, head):
        yield replace(event, output=event.output + unseen)
        unseen = 0
    if told:
        yield Event(dumps(head | {"choices": [], "usage": text_usage(text.tokens)}))
    yield DONE


def _choice_events(text: _Text, head: Json) -> Iterator[Event]:
    for index, one in enumerate(text.drafts):
        for fragment, output in one.fragments(text.call.script.chunk_tokens):
            chunk = head | {"choices": [_choice(index, fragment, None)]}
            yield Event(dumps(chunk), output=output)
        yield Event(dumps(head | {"choices": [_choice(index, "", finish_reason(one))]}))
