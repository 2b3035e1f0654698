"""Whatever is asked: a stream charges event by event what the whole answer costs, within bounds."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from budgetd.simulator import MODELS, Script, Tokens, anthropic, openai_chat, openai_text
from budgetd.simulator.answer import Answer, Bench, Call
from budgetd.simulator.cache import PromptCache

CHAT_TOOLS = [{"type": "function", "function": {"name": "grep"}}]
TOOLS = [{"name": "grep"}, {"type": "web_search_20250305", "name": "web_search"}]

scripts = st.builds(
    Script,
    text=st.none() | st.text(max_size=60),
    tokens=st.integers(0, 60),
    chunk_tokens=st.integers(1, 9),
    tool=st.sampled_from([None, "grep"]),
    arguments=st.sampled_from(["{}", '{"pattern": "a b c d e f g h", "dir": "ü€😀"}']),
    reasoning_tokens=st.none() | st.integers(0, 80),
    web_searches=st.integers(0, 2),
    flavour=st.sampled_from(["openai", "openrouter", "groq", "kimi", "deepseek", "xai", "mistral"]),
    omit_usage=st.booleans(),
)
bounds = st.integers(1, 100)


def call(script: Script, **body: Any) -> Call:
    bench = Bench(MODELS, PromptCache(), lambda: 0.0)
    return Call("req", 0, body, script, "key", bench)


def charged(answer: Answer) -> Tokens:
    """The sum of what the events of a stream say must be charged."""
    sums = answer.prompt
    for event in answer.stream_events():
        if event.data != "[DONE]":
            assert json.loads(event.data)
        sums = replace(
            sums,
            output=sums.output + event.output,
            reasoning=sums.reasoning + event.reasoning,
            searches=sums.searches + event.searches,
        )
    return sums


@given(scripts, bounds, st.integers(1, 3), st.sampled_from(["gpt-4o", "gpt-5"]))
def test_chat(script: Script, bound: int, n: int, model: str):
    messages = [{"role": "user", "content": "hi you"}]
    body = {"model": model, "messages": messages, "max_completion_tokens": bound, "n": n}
    answer = openai_chat.plan(call(script, tools=CHAT_TOOLS, stream=True, **body))
    assert charged(answer) == answer.tokens
    assert answer.tokens.output <= bound * n


@given(scripts, bounds, st.booleans())
def test_messages(script: Script, bound: int, thinks: bool):
    thinking = {"type": "adaptive"} if thinks else None
    messages = [{"role": "user", "content": "hi you"}]
    body = {"model": "claude-haiku-4-5", "messages": messages, "max_tokens": bound}
    answer = anthropic.plan(call(script, tools=TOOLS, thinking=thinking, stream=True, **body))
    assert charged(answer) == answer.tokens
    assert answer.tokens.output <= bound


@given(scripts, bounds, st.integers(1, 3), st.integers(1, 3))
def test_completions(script: Script, bound: int, n: int, best_of: int):
    body = {"model": "gpt-3.5-turbo-instruct", "prompt": ["hi you", "hi there"], "stream": True}
    answer = openai_text.plan_completion(
        call(script, max_tokens=bound, n=n, best_of=best_of, **body)
    )
    assert charged(answer) == answer.tokens
    assert answer.tokens.output <= bound * max(n, best_of) * 2


def test_a_picture_in_a_prompt_is_at_most_1024_tokens():
    data = "A" * 400_000
    parts = [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}]
    chat = {"model": "gpt-4o", "messages": [{"role": "user", "content": parts}]}
    assert openai_chat.plan(call(Script(), **chat)).tokens.prompt == 1024 + 2
    source = {"type": "base64", "media_type": "image/png", "data": data}
    blocks = [{"type": "image", "source": source}]
    body = {"model": "claude-haiku-4-5", "messages": [{"role": "user", "content": blocks}]}
    assert anthropic.plan(call(Script(), max_tokens=10, **body)).tokens.prompt == 1024


def test_a_clipped_tool_call_is_told_as_such():
    script = Script(tool="grep", arguments='{"pattern": "a long one"}')
    body: dict[str, Any] = {"model": "claude-haiku-4-5", "tools": TOOLS, "max_tokens": 3}
    body["messages"] = [{"role": "user", "content": "hi you"}]
    whole = anthropic.plan(call(script, **body)).whole
    assert whole["stop_reason"] == "max_tokens"
    body |= {"model": "gpt-4o", "tools": CHAT_TOOLS}
    choices: Any = openai_chat.plan(call(script, **body)).whole["choices"]
    assert choices[0]["finish_reason"] == "length"
    assert choices[0]["message"]["tool_calls"][0]["function"]["arguments"] == '{"patter'
