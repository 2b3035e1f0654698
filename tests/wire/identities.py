"""What each captured request is known to be: its session, those above it, and the kind of call.

Written from what the clients were seen to send and from what was done when it was captured (which
run was resumed, which call was the title's, which was the sub-agent's), not from what the code
makes of it. Names are a folder and a number, or a whole file name where it has none.
"""

from __future__ import annotations

from collections.abc import Iterator

from budgetd.core.sessions import Claim, Kind, Source

CLAUDE = "b71a8da5-8049-465f-a354-33c4dcbe579a"
CLAUDE_TREE = "411b069e-e5a1-412c-b551-b728e13e9982"
CLAUDE_SDK = "06a07991-51e3-4f75-af81-2b32e078f421"
CODEX = "01a1f967-4c18-78c1-bef5-9c867ee1635f"
CODEX_TREE = "01a1f975-e553-7da0-9608-83c501f0f46c"
CODEX_CHILD = "01a1f975-eae5-7160-aab9-f568cbb6d989"
CODEX_SOCKET = "01a1f96d-be30-7b33-80a5-5ee27f3f608b"
OPENCODE_CHAT = "ses_e0697aaffffen0qG93mxQ796Y9"
OPENCODE_MESSAGES = "ses_e06971105ffeALMMdXlbaanIkP"
OPENCODE_RESPONSES = "ses_e0696907effeBKN3SlNzbexwgp"
OPENCODE_TREE = "ses_e0689c7d5ffe9zjfcdy6MF3Pdu"
OPENCODE_CHILD = "ses_e06898136ffeXY5tu8B6RdslQ5"
PI_SHORT = "01a1f96a-6812-7f80-a045-6749e733f1a4"
PI_LONG = "01a1f96a-419f-79cd-98ef-870ff3f44699"
OPENCLAW_CHAT = "241d3aa3-275f-45f0-a675-eba392ec4d6e"
OPENCLAW_RESPONSES = "5900f6bf-dbf3-42ea-83d1-130720f7019e"
GOOSE = "goose:20261120_1"

Row = tuple[str, str, str | None, Source, tuple[str, ...], Kind]

TABLE: tuple[Row, ...] = (
    ("aider", "1 2", None, "prefix", (), "turn"),
    # A greeting, a title, two turns; the same session resumed in a new process.
    ("claude-code", "1 5", None, "prefix", (), "turn"),
    ("claude-code", "2", CLAUDE, "client", (), "side"),
    ("claude-code", "3 4 6 7", CLAUDE, "client", (), "turn"),
    # A run that starts one sub-agent.
    ("claude-code", "8", None, "prefix", (), "turn"),
    ("claude-code", "9", CLAUDE_TREE, "client", (), "side"),
    ("claude-code", "10 12 13", CLAUDE_TREE, "client", (), "turn"),
    ("claude-code", "11", f"{CLAUDE_TREE}/aaa0eb2c541390fbc", "client", (CLAUDE_TREE,), "turn"),
    ("codex", "1 2 3 4", CODEX, "client", (), "turn"),
    ("codex", "5 6 8 9", CODEX_TREE, "client", (), "turn"),
    ("codex", "7", CODEX_CHILD, "client", (CODEX_TREE,), "turn"),
    # It warms up a websocket first, then falls back to a call.
    ("codex", "10 12", CODEX_SOCKET, "client", (), "side"),
    ("codex", "11 13 14", CODEX_SOCKET, "client", (), "turn"),
    # No id at all; the third is the summary of the session before, by another model.
    ("gemini-cli", "1 2 4 5 6 7 8 9 10", None, "prefix", (), "turn"),
    ("gemini-cli", "3", None, "prefix", (), "side"),
    # Two runs, and the counter of both began at 1.
    ("goose", "1 2 3 4 5 6 7 8", GOOSE, "counter", (), "turn"),
    ("openclaw", "chat_completions_compat_affinity", OPENCLAW_CHAT, "client", (), "turn"),
    ("openclaw", "responses_compat_affinity", OPENCLAW_RESPONSES, "client", (), "turn"),
    ("openclaw", "messages_compat_affinity messages_default", None, "prefix", (), "turn"),
    ("openclaw", "chat_completions_default responses_default", None, "prefix", (), "turn"),
    ("openclaw", "chat_429_attempt1", None, "prefix", (), "turn"),
    ("openclaw", "chat_429_attempt2_internal_retry", None, "prefix", (), "turn"),
    ("openclaw", "chat_429_attempt10_internal_retry", None, "prefix", (), "turn"),
    ("openclaw", "builtin_override_claude-sonnet-4-6", None, "prefix", (), "turn"),
    ("openclaw", "builtin_override_gpt-mock-x", None, "prefix", (), "turn"),
    ("openclaw", "builtin_override_mock-1", None, "prefix", (), "turn"),
    ("openclaw", "plugin_headers_mock-a plugin_headers_mock-r", None, "prefix", (), "turn"),
    ("openclaw", "resume_1_of_3_first resume_2_of_3_failed429", None, "prefix", (), "turn"),
    ("openclaw", "resume_3_of_3_resumed resume_after_tool_resumed", None, "prefix", (), "turn"),
    # A cron run by its text alone, and the captures have no texts.
    ("openclaw", "resume_cron_resumed", None, "prefix", (), "turn"),
    ("opencode", "1", OPENCODE_CHAT, "client", (), "side"),
    ("opencode", "2 3 4 5", OPENCODE_CHAT, "client", (), "turn"),
    ("opencode", "6", OPENCODE_MESSAGES, "client", (), "side"),
    ("opencode", "7 8 9 10", OPENCODE_MESSAGES, "client", (), "turn"),
    ("opencode", "11", OPENCODE_RESPONSES, "client", (), "side"),
    ("opencode", "12 13 14 15", OPENCODE_RESPONSES, "client", (), "turn"),
    ("opencode", "16", OPENCODE_TREE, "client", (), "side"),
    ("opencode", "17 19 20", OPENCODE_TREE, "client", (), "turn"),
    ("opencode", "18", OPENCODE_CHILD, "client", (OPENCODE_TREE,), "turn"),
    # Ids in the Responses dialect only.
    ("pi", "1 2 3 7 8 9", None, "prefix", (), "turn"),
    ("pi", "4", PI_SHORT, "client", (), "turn"),
    ("pi", "5 6", PI_LONG, "client", (), "turn"),
    # The sixth is a sub-agent, and nothing says so.
    ("qwen-code", "1 2 3 4 5 6 7 8", None, "prefix", (), "turn"),
    ("sdk-agents", "1 2 3 4", None, "prefix", (), "turn"),
    ("sdk-agents_chat", "1 2 3 4", None, "prefix", (), "turn"),
    ("sdk-anthropic", "1 2 3 4", None, "prefix", (), "turn"),
    ("sdk-anthropic-stream", "1 2 3 4", None, "prefix", (), "turn"),
    ("sdk-claude_agent", "1", None, "prefix", (), "turn"),
    ("sdk-claude_agent", "2 5", CLAUDE_SDK, "client", (), "side"),
    ("sdk-claude_agent", "3 4 6 7", CLAUDE_SDK, "client", (), "turn"),
    ("sdk-crewai", "1 2 3", None, "prefix", (), "turn"),
    ("sdk-google", "1 2 3 4", None, "prefix", (), "turn"),
    ("sdk-google-stream", "1 2 3 4", None, "prefix", (), "turn"),
    ("sdk-langchain_anthropic", "1 2 3 4", None, "prefix", (), "turn"),
    ("sdk-langchain_google", "1 2 3 4", None, "prefix", (), "turn"),
    ("sdk-langchain_openai", "1 2 3 4", None, "prefix", (), "turn"),
    ("sdk-langchain_openai-stream", "1 2 3 4", None, "prefix", (), "turn"),
    ("sdk-litellm", "1", None, "prefix", (), "turn"),
    ("sdk-openai", "1 2 3 4", None, "prefix", (), "turn"),
    ("sdk-openai-stream", "1 2", None, "prefix", (), "turn"),
    ("sdk-openai_resp", "1", None, "prefix", (), "turn"),
    ("sdk-pydantic_anthropic", "1 2 3 4", None, "prefix", (), "turn"),
    ("sdk-pydantic_google", "1 2 3 4", None, "prefix", (), "turn"),
    ("sdk-pydantic_openai", "1 2 3 4", None, "prefix", (), "turn"),
    ("sdk-pydantic_openai-stream", "1 2 3 4", None, "prefix", (), "turn"),
    ("sdk-pydantic_openai_resp", "1 2 3 4", None, "prefix", (), "turn"),
    # Its third call comes without tools: nothing says that it is another kind of call.
    ("sdk-smolagents", "1 2 3", None, "prefix", (), "turn"),
)


def identities() -> Iterator[tuple[str, Claim]]:
    """Each request's short name, and what it claims."""
    for folder, files, ref, source, parents, kind in TABLE:
        for file in files.split():
            name = f"{int(file):03}" if file.isdigit() else file
            yield f"{folder}/{name}", Claim(ref, source, parents, kind)
