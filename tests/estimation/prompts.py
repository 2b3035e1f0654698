"""System prompts and tool schemas, as long as those of real coding agents; every word made up here.

A `Tool` is kept without any protocol's wrapping. Knows nothing of requests or tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

from tests.estimation import corpus
from tests.estimation.words import ADJECTIVES, NOUNS, VERBS

# name -> its parameters: (name, type, required)
WORKSHOP: dict[str, tuple[tuple[str, str, bool], ...]] = {
    "Read": (("file_path", "string", True), ("offset", "integer", False), ("limit", "integer", False)),
    "Edit": (("file_path", "string", True), ("old_string", "string", True), ("new_string", "string", True)),
    "Write": (("file_path", "string", True), ("content", "string", True)),
    "Bash": (("command", "string", True), ("description", "string", False), ("timeout", "integer", False)),
    "Grep": (("pattern", "string", True), ("path", "string", False), ("-C", "integer", False)),
    "Glob": (("pattern", "string", True), ("path", "string", False)),
    "Plan": (("steps", "array", True),),
    "Task": (("prompt", "string", True), ("kind", "string", True)),
    "Fetch": (("url", "string", True), ("prompt", "string", False)),
    "Notebook": (("path", "string", True), ("cell", "string", True), ("lines", "array", False)),
    "Kill": (("id", "string", True),),
    "Ask": (("question", "string", True), ("options", "array", True)),
}  # fmt: skip  # a table


@dataclass(frozen=True, eq=False, slots=True)
class Tool:
    """A tool that the client offers; `schema` is JSON Schema."""

    name: str
    description: str
    schema: dict[str, Any]


def system_prompt(random: Random, size: int) -> str:
    """Instructions of about so many characters, with the facts of a workplace at the end."""
    parts = [
        f"You are {random.choice(ADJECTIVES)}-{random.choice(NOUNS)}, an agent that works on software in a terminal."
    ]
    length = 0
    while length < size:
        part = random.choice((_rules, _example, _paragraph))(random)
        parts.append(part)
        length += len(part)
    return "\n\n".join((*parts, workplace(random)))


def workplace(random: Random) -> str:
    """The part of a system prompt that differs from day to day."""
    changed = "\n".join(f" M {corpus.path(random)}" for _ in range(random.randrange(6)))
    return (
        f"<env>\nWorking directory: /home/dev/{random.choice(NOUNS)}\nPlatform: linux\n"
        f"Today's date: 2026-{random.randrange(1, 13):02}-{random.randrange(1, 29):02}\n</env>\n"
        f"gitStatus: branch {corpus.name(random)}\n{changed}"
    )


def _rules(random: Random) -> str:
    rules = "\n".join(f"- {corpus.sentence(random)}" for _ in range(random.randrange(3, 12)))
    return f"# {random.choice(VERBS).title()}ing {random.choice(NOUNS)}s\n{rules}"


def _example(random: Random) -> str:
    return (
        f"<example>\nuser: {corpus.sentence(random)}\nassistant: {corpus.sentence(random)}\n"
        f"[runs {corpus.name(random)} on {corpus.path(random)}]\n</example>"
    )


def _paragraph(random: Random) -> str:
    text = " ".join(corpus.sentence(random) for _ in range(random.randrange(2, 8)))
    return f"IMPORTANT: {text}" if random.random() < 0.2 else text


def toolbox(random: Random, size: int) -> tuple[Tool, ...]:
    """A coding agent's tools, and those of other servers until their words are about `size`."""
    tools = [_tool(random, name, params) for name, params in WORKSHOP.items()]
    while sum(len(tool.description) + len(str(tool.schema)) for tool in tools) < size:
        tools.append(connected_tool(random))
    return tuple(tools)


def connected_tool(random: Random) -> Tool:
    """A tool that a server brings along."""
    kinds = ("string", "integer", "boolean", "array")
    names = dict.fromkeys(random.choice(NOUNS) for _ in range(random.randrange(1, 6)))
    params = tuple((name, random.choice(kinds), random.random() < 0.5) for name in names)
    return _tool(random, f"mcp__{random.choice(NOUNS)}__{corpus.name(random)}", params)


def _tool(random: Random, name: str, params: tuple[tuple[str, str, bool], ...]) -> Tool:
    properties: dict[str, Any] = {}
    for param, kind, _ in params:
        properties[param] = {"type": kind, "description": corpus.sentence(random)}
        if kind == "array":
            properties[param]["items"] = {"type": "string", "enum": random.sample(VERBS, 4)}
    schema = {
        "type": "object",
        "properties": properties,
        "required": [param for param, _, required in params if required],
        "additionalProperties": False,
    }
    notes = "\n".join(f"  - {corpus.sentence(random)}" for _ in range(random.randrange(1, 9)))
    return Tool(name, f"{corpus.sentence(random)}\n\nUsage notes:\n{notes}", schema)


def minimal_toolbox() -> tuple[Tool, ...]:
    """As little as a tool can be: what a provider adds by itself is longer than it."""
    return (Tool("a", "", {"type": "object"}),)
