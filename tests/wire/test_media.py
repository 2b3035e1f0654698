"""Media in a request: counted wherever they stand, their base64 not taken for words."""

from __future__ import annotations

import json
from typing import Any

import pytest

from budgetd.core.estimate import Media
from budgetd.wire.anthropic import DIALECT as ANTHROPIC
from budgetd.wire.anthropic import MESSAGES
from budgetd.wire.body import parse
from budgetd.wire.openai_chat import CHAT
from budgetd.wire.openai_chat import DIALECT as OPENAI

B64 = "QUJD" * 1000
URL = "data:image/png;base64," + B64


def chat(*content: Any) -> Media:
    body = {"model": "m", "messages": [{"role": "user", "content": list(content)}]}
    return OPENAI.read(CHAT, parse(json.dumps(body).encode())).media


def message(*content: Any) -> Media:
    body = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": list(content)}]}
    return ANTHROPIC.read(MESSAGES, parse(json.dumps(body).encode())).media


@pytest.mark.parametrize(
    ("part", "media"),
    [
        ({"type": "text", "text": "an image"}, Media()),
        ({"type": "image_url", "image_url": {"url": URL}}, Media(images=1, inline_bytes=len(URL))),
        ({"type": "image_url", "image_url": {"url": "https://x/y.png"}}, Media(images=1)),
        ({"type": "input_image", "image_url": URL}, Media(images=1, inline_bytes=len(URL))),
        (
            {"type": "input_audio", "input_audio": {"data": B64, "format": "wav"}},
            Media(audio=1, inline_bytes=len(B64)),
        ),
        ({"type": "audio_url", "audio_url": {"url": "https://x/y.wav"}}, Media(audio=1)),
        ({"type": "video_url", "video_url": {"url": "https://x/y.mp4"}}, Media(documents=1)),
        (
            {"type": "file", "file": {"file_data": B64, "filename": "f.pdf"}},
            Media(documents=1, inline_bytes=len(B64)),
        ),
        ({"type": "file", "file": {"file_id": "f-1"}}, Media(documents=1)),
        ({"type": "input_file", "file_id": "f-1"}, Media(documents=1)),
        ({"type": ["image_url"], "text": "no type at all"}, Media()),
    ],
)
def test_parts_of_a_chat(part: Any, media: Media) -> None:
    assert chat(part) == media
    assert chat({"type": "text", "text": "x"}, part, part).images == 2 * media.images


SOURCE = {"type": "base64", "media_type": "image/png", "data": B64}
IMAGE = {"type": "image", "source": SOURCE}


@pytest.mark.parametrize(
    ("part", "media"),
    [
        (IMAGE, Media(images=1, inline_bytes=len(B64))),
        ({"type": "image", "source": {"type": "url", "url": "https://x"}}, Media(images=1)),
        (
            {"type": "document", "source": {**SOURCE, "media_type": "application/pdf"}},
            Media(documents=1, inline_bytes=len(B64)),
        ),
        ({"type": "document", "source": {"type": "file", "file_id": "f"}}, Media(documents=1)),
        ({"type": "document", "source": {"type": "text", "data": "plain words"}}, Media()),
        (
            {"type": "document", "source": {"type": "content", "content": [IMAGE]}},
            Media(images=1, inline_bytes=len(B64)),
        ),
        (
            {"type": "tool_result", "content": [{"type": "text", "text": "x"}, IMAGE]},
            Media(images=1, inline_bytes=len(B64)),
        ),
        ({"type": "tool_use", "input": {"data": B64}}, Media()),  # words, whatever they look like
    ],
)
def test_parts_of_a_message(part: Any, media: Media) -> None:
    assert message(part) == media


def test_members_of_a_part_that_are_no_objects() -> None:
    part = {"type": "input_audio", "input_audio": {"data": B64, "rate": 8000, "marks": ["data:x"]}}
    assert chat(part) == Media(audio=1, inline_bytes=len(B64))


def test_an_answer_spoken_earlier_is_sound() -> None:
    body = {"model": "m", "messages": [{"role": "assistant", "audio": {"id": "audio_1"}}]}
    assert OPENAI.read(CHAT, parse(json.dumps(body).encode())).media == Media(audio=1)


@pytest.mark.parametrize("type_", [r"im\u0061ge_url", r"\u0069mage_url", r"image\u005furl"])
def test_an_escaped_type_is_counted(type_: str) -> None:
    part = r'{"typ\u0065":"TYPE","image_url":{"url":"https://x"}}'.replace("TYPE", type_)
    body = '{"messages":[{"content":[PART]}]}'.replace("PART", part)
    assert OPENAI.read(CHAT, parse(body.encode())).media == Media(images=1)


def test_a_lone_surrogate_beside_an_image() -> None:
    assert (
        chat(
            {"type": "text", "text": "\ud83d"}, {"type": "image_url", "image_url": {"url": "u"}}
        ).images
        == 1
    )
    assert message({"type": "text", "text": "\ud83d"}, IMAGE).images == 1
