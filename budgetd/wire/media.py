"""Images, documents and sound in a request: counted, so that their base64 text is not taken for
words.

`might_hold_media` is a cheap look at the bytes; only if it says yes are the messages decoded and
walked. It never says no wrongly, given JSON whose letters are not escaped (`Body.words`).
"""

from __future__ import annotations

import re
from collections.abc import Set
from typing import Any

from budgetd.core.estimate import Media

_ADDRESS = re.compile(r"\s*[A-Za-z][A-Za-z0-9+.-]*://")
_MARKS = re.compile(rb'"(?:input_|image|document"|file"|audio|video)')


def might_hold_media(words: memoryview) -> bool:
    """Whether the raw JSON of the messages is worth decoding."""
    return _MARKS.search(words) is not None


def walk_media(
    messages: Any, *, images: Set[str], documents: Set[str], audio: Set[str]
) -> tuple[Media, Media]:
    """Count the parts whose `type` is in one of the sets, wherever they are nested: all, and those
    of them that stand at an address.
    """
    counts = {"images": 0, "documents": 0, "audio": 0}
    linked = dict(counts)
    inline = 0
    todo = [messages]
    while todo:
        value = todo.pop()
        if isinstance(value, list):
            todo.extend(value)
        elif isinstance(value, dict):
            spoken = value.get("audio")
            if audio and isinstance(spoken, dict) and "id" in spoken:
                counts["audio"] += 1  # an earlier answer's sound, told by its id alone
            kind = value.get("type")
            named = _kind_of(kind, images, documents, audio) if isinstance(kind, str) else None
            if named is None or _is_text(value):
                todo.extend(value.values())
                continue
            counts[named] += 1
            length, links = _inside(value)
            linked[named] += links > 0
            inline += length
    return Media(**counts, inline_bytes=inline), Media(**linked)


def _kind_of(kind: str, images: Set[str], documents: Set[str], audio: Set[str]) -> str | None:
    if kind in images:
        return "images"
    if kind in documents:
        return "documents"
    return "audio" if kind in audio else None


def _is_text(part: dict[str, Any]) -> bool:
    """A document given as words: they count as words, and what is nested in it is looked at."""
    source = part.get("source")
    return isinstance(source, dict) and source.get("type") in {"text", "content"}


def _inside(part: dict[str, Any]) -> tuple[int, int]:
    """Length of the base64 text in a media part (the members `data` and `file_data`, and data:
    URLs), and how many addresses are in it.
    """
    length = links = 0
    todo: list[Any] = [part]
    while todo:
        value = todo.pop()
        if not isinstance(value, dict):
            continue
        for name, member in value.items():
            if isinstance(member, str):
                if _ADDRESS.match(member):
                    links += 1
                elif name in {"data", "file_data"} or member.startswith("data:"):
                    length += len(member)
            else:
                todo.append(member)
    return length, links
