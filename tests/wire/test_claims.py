"""Identity: what requests say of their conversation, for every client that was captured.

And what they say on purpose: our own headers, labels, and whatever a caller could make up.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from budgetd.core.sessions import Claim, lineage, session_id
from budgetd.errors import CallerFault
from budgetd.wire.body import Body, parse
from budgetd.wire.claims import HEAD, LONGEST_METADATA, TAIL, claim, labelled
from budgetd.wire.dialects import Labels
from budgetd.wire.identity import FAMILIES, client_family
from tests.wire.captured import Capture, captures
from tests.wire.identities import CLAUDE_TREE, CODEX_TREE, OPENCODE_TREE, identities

LONGEST = 128
UUID = "01a1f967-4c18-78c1-bef5-9c867ee1635f"
OTHER = "01a1f975-eae5-7160-aab9-f568cbb6d989"
THIRD = "b71a8da5-8049-465f-a354-33c4dcbe579a"
TOOLS = [{"type": "function", "function": {"name": "read"}}]
NONE = Labels()

TABLE = list(identities())
CAPTURES = {re.sub(r"/(\d{3})-.*", r"/\1", capture.name): capture for capture in captures()}


def said(
    headers: dict[str, str] | None = None,
    fields: dict[str, Any] | None = None,
    family: str = "unknown",
    labels: Labels = NONE,
) -> Claim:
    """A claim by these headers and body fields."""
    body = None if fields is None else parse(json.dumps(fields).encode())
    return claim(CIMultiDict(headers or {}), labels, body, family, LONGEST)


def of(capture: Capture, labels: Labels = NONE, body: bytes | None = None) -> Claim:
    data = body or capture.body
    headers = capture.mapping
    return claim(headers, labels, parse(data) if data else None, client_family(headers), LONGEST)


# --- every captured request ---------------------------------------------------------------------


def test_every_capture_is_in_the_table_once() -> None:
    names = [name for name, _ in TABLE]
    assert sorted(names) == sorted(CAPTURES)
    assert len(names) == len(captures()) == 184


@pytest.mark.parametrize(("name", "expected"), TABLE, ids=[name for name, _ in TABLE])
def test_a_capture(name: str, expected: Claim) -> None:
    assert of(CAPTURES[name]) == expected


@pytest.mark.parametrize(
    ("name", "root"),
    [
        ("claude-code/011", CLAUDE_TREE),
        ("codex/007", CODEX_TREE),
        ("opencode/018", OPENCODE_TREE),
    ],
)
def test_captured_sub_agents_join_their_root(name: str, root: str) -> None:
    own = of(CAPTURES[name])
    assert own.id is not None
    child, parent = lineage("key", own.id, own, "client", {})
    assert child.root == child.parent == parent.id == parent.root == session_id("key", root)
    assert child.is_agent
    assert not parent.is_agent


@pytest.mark.parametrize(("name", "expected"), TABLE, ids=[name for name, _ in TABLE])
def test_a_capture_behind_a_label(name: str, expected: Claim) -> None:
    """The label is the root of whatever the client does; its sub-agents stay apart below it."""
    found = of(CAPTURES[name], Labels(session="night"))
    agent = (expected.id or "").rpartition("/")[2]
    if expected.parents:
        assert found == Claim(f"night/{agent}", "url", ("night",), expected.kind)
    else:
        assert found == Claim("night", "url", (), expected.kind)


# --- who names a session, and who wins ----------------------------------------------------------

EVERYTHING = {
    "agent-session-id": "20261120_1",
    "session_id": f"{OTHER}:0",
    "x-claude-code-session-id": UUID,
    "X-Budgetd-Session": "mine",
}
FIELDS = {
    "prompt_cache_key": f"{THIRD}:0",
    "metadata": {"user_id": json.dumps({"session_id": "from-the-user"})},
}


def test_the_order_of_precedence() -> None:
    headers, fields = dict(EVERYTHING), dict(FIELDS)
    label = Labels(session="label")
    assert said(headers, fields, labels=label) == Claim("mine", "header")
    del headers["X-Budgetd-Session"]
    assert said(headers, fields, labels=label) == Claim("label", "url")
    assert said(headers, fields) == Claim(UUID, "client")
    del headers["x-claude-code-session-id"]
    assert said(headers, fields) == Claim(OTHER, "client")
    del headers["session_id"]
    assert said(headers, fields) == Claim(THIRD, "cache_key")
    del fields["prompt_cache_key"]
    assert said(headers, fields) == Claim("from-the-user", "user_id")
    del fields["metadata"]
    assert said(headers, fields) == Claim("goose:20261120_1", "counter")
    assert said(headers) == Claim("goose:20261120_1", "counter")
    assert said({}, fields) == said() == Claim(None, "prefix")


CLAUDE = {"X-Claude-Code-Session-Id": "s", "x-claude-code-agent-id": "a"}
CODEX = {"session-id": "s", "thread-id": "a"}
META = "x-codex-turn-metadata"


@pytest.mark.parametrize(
    ("headers", "names"),
    [
        (CLAUDE, "s/a s"),
        ({**CLAUDE, "x-claude-code-parent-agent-id": "p"}, "s/a s/p s"),
        ({**CLAUDE, "x-claude-code-parent-agent-id": "a"}, "s/a s"),
        ({**CLAUDE, "x-claude-code-agent-id": " "}, "s"),
        ({"X-Claude-Code-Session-Id": "s", "x-claude-code-parent-agent-id": "p"}, "s"),
        ({"x-session-id": "c", "x-session-affinity": "c", "x-parent-session-id": "p"}, "c p"),
        ({"x-session-id": "c", "x-session-affinity": "d"}, "c"),
        ({"x-session-affinity": f"{UUID}:12"}, UUID),
        ({"x-session-id": "c", "x-parent-session-id": "c"}, "c"),
        ({"x-session-id": "c", "session-id": "d"}, "c"),
        ({"x-session-id": "user:42"}, "user:42"),  # no counter of OpenClaw's
        ({"session-id": "s", "thread-id": "s"}, "s"),
        ({"session-id": "s"}, "s"),
        ({"thread-id": "a"}, "a"),
        (CODEX, "a s"),
        ({**CODEX, "x-codex-parent-thread-id": "s"}, "a s"),
        ({**CODEX, "x-codex-parent-thread-id": "p"}, "a p s"),
        ({"thread-id": "a", "x-codex-parent-thread-id": "p"}, "a p"),
        ({"session-id": "s", "x-codex-parent-thread-id": "p"}, "s p"),
        ({"x-codex-parent-thread-id": "p"}, ""),
        ({META: '{"session_id":"s","thread_id":"a","parent_thread_id":"p"}'}, "a p s"),
        ({"session-id": "x", META: '{"session_id":"s","thread_id":"a"}'}, "a x"),
        ({META: '{"session_id":["s"],"thread_id":7}'}, ""),
        ({"session_id": "s", "conversation_id": "s"}, "s"),
        ({"conversation_id": "s"}, "s"),
        ({"session_id": f"{UUID}:0", "x-client-request-id": f"{UUID}:0"}, UUID),
        ({"session_id": "", "x-client-request-id": UUID}, ""),  # it is per request for others
        ({"agent-session-id": "x"}, "goose:x"),
    ],
)
def test_what_clients_send(headers: dict[str, str], names: str) -> None:
    found = said(headers)
    assert tuple(filter(None, (found.id, *found.parents))) == tuple(names.split())
    expected = {"": "prefix", "goose:x": "counter"}.get(names, "client")
    assert found.source == expected


def test_what_names_the_session_from_outside_is_the_root() -> None:
    """Nested agents of Claude Code and of Codex keep their generations below it."""
    deep = {**CLAUDE, "x-claude-code-parent-agent-id": "p"}
    threads = {**CODEX, "x-codex-parent-thread-id": "p"}
    for headers in (deep, threads):
        by_label = said(headers, labels=Labels(session="root"))
        by_header = said({**headers, "X-Budgetd-Session": "root"})
        assert by_label == Claim("root/a", "url", ("root/p", "root"))
        assert by_header == replace(by_label, source="header")
    child = {"x-session-id": "c", "x-parent-session-id": "p"}
    assert said(child, labels=Labels(session="root")) == Claim("root/c", "url", ("root",))


def test_a_parent_of_our_own() -> None:
    own = {"X-Budgetd-Parent": "above"}
    assert said(own) == Claim(None, "prefix", ("above",))
    assert said({**own, "X-Budgetd-Session": "s"}) == Claim("s", "header", ("above",))
    assert said(own, labels=Labels(session="s")) == Claim("s", "url", ("above",))
    assert said({**own, **CODEX}) == Claim("a", "client", ("s", "above"))
    assert said({**own, **CODEX, "session-id": "above"}) == Claim("a", "client", ("above",))
    assert said({**own, "session_id": "above"}) == Claim("above", "client", ())


@pytest.mark.parametrize(
    ("key", "ref"),
    [
        (UUID, UUID),
        (UUID.upper(), UUID.upper()),
        (f"{UUID}:0", UUID),
        ("ses_e0696907effeBKN3SlNzbexwgp", "ses_e0696907effeBKN3SlNzbexwgp"),
        ("9b2d6b9f3c1e4a0b8d7c6e5f4a3b2c1d", "9b2d6b9f3c1e4a0b8d7c6e5f4a3b2c1d"),  # a bare UUID
        ("01J9ZQ3K7M2X8V4T6R5P1N0WBC", "01J9ZQ3K7M2X8V4T6R5P1N0WBC"),
        ("conv_68f0a1b2c3d4e5f6a7b8c9d0", "conv_68f0a1b2c3d4e5f6a7b8c9d0"),
        ("chat-1234567890123456789", "chat-1234567890123456789"),
        (UUID.replace("-", ""), UUID.replace("-", "")),
        # One for everybody, or for everybody with the same prompt:
        ("my-app", None),
        ("support-bot-prompt-v2-2026-11-20", None),
        ("production2026systemprompt", None),
        ("nightly-20261120T030000Z-worker", None),
        ("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", None),  # sha256
        ("da39a3ee5e6b4b0d3255bfef95601890afd80709", None),  # sha1
        ("d41d8cd98f00b204e9800998ecf8427e", None),  # md5
        ("d41d8cd98f00420499800998ecf8427e", "d41d8cd98f00420499800998ecf8427e"),
        ("d41d8cd98f00420409800998ecf8427e", None),
        ("my-app-v1a2b3-production", None),
        (f"{UUID} and more", None),
        ("a1b2c3d4e5f6", None),
        ("a1b2c3d4e5f6a1b2c3d4" * 10, None),
        ("", None),
        (7, None),
        (None, None),
        ({"a": 1}, None),
    ],
)
def test_a_cache_key_is_a_name_only_where_it_is_one_conversations(
    key: Any, ref: str | None
) -> None:
    expected = Claim() if ref is None else Claim(ref, "cache_key")
    assert said({}, {"prompt_cache_key": key}) == expected


@pytest.mark.parametrize(
    ("user", "ref"),
    [
        (json.dumps({"device_id": "d", "account_uuid": "", "session_id": UUID}), UUID),
        (f"user_{'ab' * 32}_account_{OTHER}_session_{UUID}", UUID),  # as it was written before
        (f"user_{'ab' * 32}_account_{OTHER}_session_", None),
        (json.dumps({"session_id": None}), None),
        (json.dumps([{"session_id": UUID}]), None),
        ("somebody", None),
        ("", None),
        (7, None),
    ],
)
def test_the_user_id_of_claude_code(user: Any, ref: str | None) -> None:
    expected = Claim() if ref is None else Claim(ref, "user_id")
    assert said({}, {"metadata": {"user_id": user}}) == expected


# --- what kind of call it is ----------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["turn", "side", "heartbeat", "cron"])
def test_our_own_header_says_the_kind(kind: str) -> None:
    for headers in ({}, {META: '{"request_kind":"prewarm"}'}):
        found = said({**headers, "X-Budgetd-Kind": f" {kind.upper()} "}, {}, "claude_code")
        assert found.kind == kind


@pytest.mark.parametrize(
    ("headers", "kind"),
    [
        ({META: '{"request_kind":"turn"}'}, "turn"),
        ({META: '{"request_kind":"prewarm"}'}, "side"),
        ({META: '{"request_kind":"compaction"}'}, "side"),
        ({META: '{"request_kind":"memory"}'}, "side"),
        ({META: '{"request_kind":""}', "x-openai-subagent": "compact"}, "side"),
        ({META: '{"request_kind":7}'}, "turn"),
        ({"x-openai-subagent": "memory_consolidation"}, "side"),
        ({"x-openai-memgen-request": "true"}, "side"),
        ({"x-openai-subagent": "collab_spawn"}, "turn"),
        ({"x-openai-subagent": "review"}, "turn"),
    ],
)
def test_what_codex_says_of_a_call(headers: dict[str, str], kind: str) -> None:
    assert said(headers, {"tools": TOOLS}, "codex").kind == kind
    assert said(headers, None, "codex").kind == kind


def test_codex_is_believed_about_a_turn_without_tools() -> None:
    assert said({META: '{"request_kind":"turn"}'}, {}, "codex").kind == "turn"
    assert said({}, {}, "codex").kind == "side"


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_calls_without_tools_are_side_calls_of_agents_that_always_offer_some(family: str) -> None:
    always = {"claude_code", "opencode", "qwen_code", "gemini_cli", "codex"}
    offers: list[dict[str, Any]] = [{}, {"tools": []}, {"tools": None}]
    for fields in offers:
        assert said({}, fields, family).kind == ("side" if family in always else "turn")
    spaced = parse(b'{"tools" : [ \n\t]}')
    kind = claim(CIMultiDict(), NONE, spaced, family, LONGEST).kind
    assert kind == ("side" if family in always else "turn")
    assert said({}, {"tools": TOOLS}, family).kind == "turn"
    assert said({}, None, family).kind == "turn"


def qwen(system: str, tools: list[Any] | None = None, content: Any = None) -> str:
    messages = [{"role": "system", "content": content or system}, {"role": "user", "content": "x"}]
    body = json.dumps({"messages": messages, "tools": tools or TOOLS}, separators=(",", ":"))
    return claim(CIMultiDict(), NONE, parse(body.encode()), "qwen_code", LONGEST).kind


@pytest.mark.parametrize(
    "begins",
    [
        "You are now acting as the managed memory extraction subagent for an AI coding assistant.",
        "You are performing a managed memory dream \N{EM DASH} a reflective pass",
        "You are reviewing this conversation to extract reusable skills.",
    ],
)
def test_the_housekeepers_of_qwen_code(begins: str) -> None:
    assert qwen(begins + " And more." * 2000) == "side"
    assert qwen("", content=[{"type": "text", "text": begins}]) == "side"
    assert qwen("You are Qwen Code. " + begins) == "turn"
    assert qwen(f'You are Qwen Code. "{begins}"') == "turn"
    assert qwen("x" * HEAD, content=["x" * HEAD, begins]) == "turn"  # words of a conversation
    chat = {"messages": [{"role": "system", "content": begins}], "tools": TOOLS}
    assert said({}, chat, "opencode").kind == "turn"


def test_questions_that_qwen_code_asks_by_a_tool() -> None:
    """Whose turn it is, which memories matter: one tool, to answer by."""
    answer = {"type": "function", "function": {"name": "respond_in_schema", "parameters": {}}}
    assert qwen("", [answer]) == "side"
    assert qwen("", [*TOOLS, answer]) == "turn"


CRON = "[cron:7b1e nightly] look after the mail\n\nThis is an unattended scheduled run."
BEAT = "Follow the heartbeat monitor scratch context when provided. Recurring tasks"
CONTEXT = {"role": "user", "content": [{"type": "text", "text": "c" * 220}]}
TRACED = {"traceparent": "00-25478cbc3e0fc54056c8cd944d9c2785-4293d70141f2f79f-01"}


def woken(messages: list[Any], family: str = "openclaw", field: str = "messages") -> str:
    return said({}, {field: messages, "tools": TOOLS}, family).kind


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (CRON, "cron"),
        ("[OpenClaw cron wake]", "cron"),
        (BEAT, "heartbeat"),
        ("Read HEARTBEAT.md if it exists (workspace context). Follow it", "heartbeat"),
        ("[OpenClaw heartbeat poll]", "heartbeat"),
        ("What does [cron:7b1e] mean?", "turn"),
        ('It said "[cron:7b1e nightly]"', "turn"),
        ("hello", "turn"),
    ],
)
def test_what_wakes_openclaw(text: str, kind: str) -> None:
    before = [{"role": "system", "content": "s"}, {"role": "user", "content": "hi"}]
    before.append({"role": "assistant", "content": "pong"})
    newest = {"role": "user", "content": text}
    parts = {"role": "user", "content": [{"type": "text", "text": text}]}
    item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
    assert woken([*before, newest, CONTEXT]) == kind
    assert woken([*before, parts]) == kind
    assert woken([*before, item, CONTEXT], field="input") == kind
    poll = {"role": "user", "content": "[OpenClaw heartbeat poll]"}
    assert woken([poll, *before, newest, CONTEXT]) == kind
    assert woken([newest, *before, newest, CONTEXT]) == kind
    # After an answer nobody can tell whose words follow.
    assert woken([*before, newest, {"role": "assistant", "content": "done"}, CONTEXT]) == "turn"
    assert woken([*before, newest, {"role": "tool", "content": "x"}]) == "turn"
    assert woken([item, {"type": "function_call", "name": "f"}], field="input") == "turn"
    # What is too far from the end is not looked for.
    assert woken([*before, newest, {"role": "user", "content": "x" * TAIL}]) == "turn"


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_only_openclaw_is_woken(family: str) -> None:
    fields = {"messages": [{"role": "user", "content": CRON}], "tools": TOOLS}
    assert said({}, fields, family).kind == ("cron" if family == "openclaw" else "turn")
    traced = {"openclaw", "js_sdk", "unknown"}  # what its own user agents are taken for
    assert said(TRACED, fields, family).kind == ("cron" if family in traced else "turn")
    assert said({}, {"tools": TOOLS}, "openclaw").kind == "turn"


def test_the_captured_cron_run_with_its_words_filled_in() -> None:
    capture = CAPTURES["openclaw/resume_cron_resumed"]
    fields = capture.fields
    assert len(fields["messages"][-2]["content"].encode()) == 1178
    fields["messages"][-2]["content"] = CRON
    assert of(capture, body=json.dumps(fields).encode()).kind == "cron"


# --- odd values ---------------------------------------------------------------------------------


def claimed(labels: Labels, headers: CIMultiDict[str], longest: int) -> Claim:
    return claim(headers, labels, None, "unknown", longest)


OURS = ("X-Budgetd-Session", "X-Budgetd-Parent", "X-Budgetd-Label")
ODD = ["", "  ", "a\nb", "\x00", "x" * (LONGEST + 1), "y" * 10_240, "\ud800", "caf\udce9", "\u202e"]


@pytest.mark.parametrize("value", ODD)
@pytest.mark.parametrize("name", OURS)
def test_what_we_cannot_use_of_our_own_headers_is_refused(name: str, value: str) -> None:
    headers = CIMultiDict({name: value})
    reads = labelled if name == "X-Budgetd-Label" else claimed
    with pytest.raises(CallerFault) as caught:
        reads(NONE, headers, LONGEST)
    assert (caught.value.status, caught.value.code) == (400, "bad_label")
    assert name in caught.value.message
    assert str(LONGEST) in caught.value.message


@pytest.mark.parametrize("value", ["", "chat", "turn side", "\ud800", "x" * 10_240])
def test_a_kind_that_is_none_is_refused(value: str) -> None:
    with pytest.raises(CallerFault) as caught:
        said({"X-Budgetd-Kind": value})
    assert (caught.value.status, caught.value.code) == (400, "bad_kind")
    assert "turn, side, heartbeat, cron" in caught.value.message


SENT = (
    "x-claude-code-session-id",
    "x-session-id",
    "x-session-affinity",
    "session-id",
    "thread-id",
    "session_id",
    "conversation_id",
)


@pytest.mark.parametrize("name", SENT)
def test_odd_ids_of_clients_become_digests(name: str) -> None:
    seen = set()
    for value in ODD:
        found = said({name: value})
        if not value.strip(" "):
            assert found == Claim()
            continue
        assert found.id is not None
        assert re.fullmatch(r"#[0-9a-f]{32}", found.id)
        assert found == said({name: value})
        seen.add(found.id)
    assert len(seen) == len(ODD) - 2
    assert said({name: "x" * LONGEST}).id == "x" * LONGEST
    assert said({name: ".."}).id == ".."


def test_odd_ids_elsewhere() -> None:
    long = "z" * 10_240
    assert (said({**CLAUDE, "x-claude-code-agent-id": long}).id or "").startswith("s/#")
    assert said({"agent-session-id": long}).id != said({"agent-session-id": long + "z"}).id
    assert len(said({"agent-session-id": long}).id or "") == len("goose:#") + 32
    assert said({**CODEX, "x-codex-parent-thread-id": "\n"}).parents == ("s",)
    fields = {"metadata": {"user_id": json.dumps({"session_id": long})}}
    assert (said({}, fields).id or "").startswith("#")


def bombs() -> Iterator[str]:
    yield from ("", "{", "null", "[]", "7", '"s"', '{"session_id":', "\ud800", "{" * 100_000)
    yield '{"a":' * 3_000
    yield "[" * 15_000 + "]" * 1_000
    yield '{"session_id":' + "[" * 7_000 + "]" * 7_000 + "}"
    yield '{"session_id":' + "9" * 10_000 + "}"
    yield '{"session_id":1e999999}'
    yield json.dumps({"session_id": UUID, "x": "y" * LONGEST_METADATA})


BOMBS = list(bombs())


@pytest.mark.parametrize("bomb", BOMBS, ids=range(len(BOMBS)))
def test_json_that_is_no_metadata_names_nobody(bomb: str) -> None:
    assert said({META: bomb}) == Claim()
    assert said({}, {"metadata": {"user_id": bomb}}) == Claim()
    assert said({}, {"prompt_cache_key": bomb}) == Claim()
    raw = bomb.encode("utf-8", "surrogatepass")
    try:
        body = parse(b'{"metadata":' + raw + b',"prompt_cache_key":' + raw + b"}")
    except CallerFault:
        return
    assert claim(CIMultiDict(), NONE, body, "unknown", LONGEST) == Claim()


@pytest.mark.parametrize("metadata", [b'{"\xff":1}', b'{"user_id":"\xff"}', b'{"user_id":"{\xff"}'])
def test_metadata_that_is_no_text(metadata: bytes) -> None:
    body = Body({"metadata": msgspec.Raw(metadata)}, len(metadata))
    assert claim(CIMultiDict(), NONE, body, "unknown", LONGEST) == Claim()


def test_metadata_is_read_up_to_a_length() -> None:
    """What is longer is not looked into: the work that a caller can make is bounded."""
    fits = {"session_id": UUID, "x": "y" * (LONGEST_METADATA - 100)}
    assert said({META: json.dumps(fits)}).id == UUID
    short = {"user_id": json.dumps({"session_id": UUID}), "x": "y" * (LONGEST_METADATA - 200)}
    assert said({}, {"metadata": short}).id == UUID
    short["x"] += "y" * 200
    assert said({}, {"metadata": short}).id is None


TEXTS = st.text(st.characters(), max_size=300)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
MORE = (
    "X-Budgetd-Kind",
    "x-claude-code-agent-id",
    "x-parent-session-id",
    "x-codex-parent-thread-id",
    "x-openai-subagent",
    "agent-session-id",
    "traceparent",
)
NAMES = st.sampled_from([*OURS, *SENT, *MORE, META])
PARTS = ["prompt_cache_key", "metadata", "tools", "messages", "input", "contents"]


@given(
    headers=st.dictionaries(NAMES, TEXTS, max_size=6),
    fields=st.dictionaries(st.sampled_from(PARTS), VALUES, max_size=4),
    family=st.sampled_from(sorted(FAMILIES)),
    session=st.none() | st.just("label"),
)
def test_whatever_is_sent_is_a_claim_or_the_callers_fault(
    headers: dict[str, str], fields: dict[str, Any], family: str, session: str | None
) -> None:
    body = parse(json.dumps(fields).encode())
    try:
        found = claim(CIMultiDict(headers), Labels(session=session), body, family, LONGEST)
    except CallerFault:
        assert any(name.startswith("X-Budgetd-") for name in headers)
        return
    assert (found.id is None) == (found.source == "prefix")
    for name in filter(None, (found.id, *found.parents)):
        assert name.isprintable()
        assert len(name) <= 2 * LONGEST + 1
    assert found.id not in found.parents
    assert len(set(found.parents)) == len(found.parents)


def test_two_keys_that_claim_the_same_id_have_two_sessions() -> None:
    own = of(CAPTURES["codex/007"])
    assert own.id is not None
    mine, theirs = (lineage(key, own.id, own, "codex", {}) for key in ("mine", "theirs"))
    assert {one.ref for one in mine} == {one.ref for one in theirs}
    assert not {one.id for one in mine} & {one.id for one in theirs}
    known = {one.id: one for one in mine}
    assert lineage("theirs", own.id, own, "codex", known) == theirs


# --- labels -------------------------------------------------------------------------------------


def test_a_label_in_a_header() -> None:
    headers = CIMultiDict({"x-budgetd-label": " thesis "})
    assert labelled(Labels(key="k"), headers, LONGEST) == Labels(key="k", label="thesis")
    assert labelled(Labels(label="url"), headers, LONGEST) == Labels(label="url")
    assert labelled(Labels(label="url"), CIMultiDict(), LONGEST) == Labels(label="url")
    with pytest.raises(CallerFault):
        labelled(Labels(label="url"), CIMultiDict({"X-Budgetd-Label": ""}), LONGEST)
