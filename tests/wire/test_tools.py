"""Guesses about tools: what only looks, and what failed."""

from __future__ import annotations

from typing import Any

import pytest

from budgetd.wire.tools import LONGEST_COMMAND, is_failure, looks_up


@pytest.mark.parametrize(
    "name",
    [
        *("Read", "Grep", "Glob", "LS", "WebFetch", "WebSearch", "NotebookRead", "TodoRead"),
        *("read_file", "list_directory", "search_files", "glob", "codebase_search", "webfetch"),
        *("mcp__github__get_issue", "github.list-issues", "getURL", "readFile", "view_image"),
        *("BashOutput", "TaskOutput", "run_query", "describe_table", "check_status", "fetch"),
    ],
)
def test_names_that_look(name: str) -> None:
    assert looks_up(name, {})


@pytest.mark.parametrize(
    "name",
    [
        *("Write", "Edit", "MultiEdit", "TodoWrite", "Agent", "Task", "apply_patch", "str_replace"),
        *("create_list", "update_status", "delete_file", "read_and_delete", "setStatus", "spread"),
        *("mcp__github__create_issue", "submit_review", "run", "bash", "run_shell_command", ""),
    ],
)
def test_names_that_act(name: str) -> None:
    assert not looks_up(name, {})


@pytest.mark.parametrize(
    "command",
    [
        *("ls", "ls -la src", "cat a.py", "grep -rn 'a|b > c' src", 'rg "x; rm y" .', "pwd"),
        *("cd /repo && git status", "git log --oneline | head -5", "git -C /repo diff --stat"),
        *("git --no-pager show HEAD", "find . -name '*.py' | xxd", "head -50 a; tail -50 b"),
        *("cat a 2>/dev/null", "ls 2>&1", "grep x y &>/dev/null || true", "sed -n '1,5p' a"),
        *("FOO=1 timeout 10 cat a", "sudo systemctl status x", "/usr/bin/ls", "wc -l `ls`"),
        *("gh pr view 5", "gh run list", "docker ps -a", "kubectl get pods", "npm ls", "echo hi"),
        *("cat $(git ls-files)", "if test -f a; then cat a; fi", "view", "sleep 5; ps aux"),
    ],
)
def test_commands_that_look(command: str) -> None:
    assert looks_up("Bash", {"command": command})


@pytest.mark.parametrize(
    "command",
    [
        *("rm -rf x", "echo hi > a", "cat > a <<EOF\nx\nEOF", "ls; make", "cd x && npm install"),
        *("git commit -m x", "git", "git -C /repo push", "git checkout main", "sed -i s/a/b/ a"),
        *("sed --in-place=.bak s/a/b/ a", "find . -delete", "find . -exec rm {} +", "pytest -q"),
        *("docker run x", "kubectl delete pod x", "cat a >> b", "ls | xargs rm", "", "   ", "&&"),
        *("ls $(rm x)", "gh pr merge 5", "python -c 'print(1)'", "cat a\nrm a", "FOO=1", "5"),
        "cat " + "a" * LONGEST_COMMAND,
    ],
)
def test_commands_that_act(command: str) -> None:
    assert not looks_up("Bash", {"command": command})


@pytest.mark.parametrize(
    ("name", "arguments", "looks"),
    [
        ("shell", {"command": ["bash", "-lc", "ls -l"]}, True),
        ("shell", {"command": ["bash", "-lc", "rm a"]}, False),
        ("shell", {"command": ["ls", "-l"]}, True),
        ("shell", {"command": ["grep", "-c", "x"]}, True),  # no shell's -c, and x is no program
        ("local_shell", {"command": ["rm", "a"]}, False),
        ("shell", {"command": ["ls", 5]}, True),
        ("shell", {"command": []}, False),
        ("shell", {"commands": ["ls", 5, "pwd"]}, True),
        ("shell", {"commands": ["ls", "rm a"]}, False),
        ("shell", {"commands": "ls"}, False),
        ("exec_command", {"cmd": "ls", "workdir": "/"}, True),
        ("exec_command", {"cmd": "make"}, False),
        ("execute_bash", {"command": 5}, False),
        ("execute_bash", "ls", False),
        ("run_terminal_cmd", None, False),
        ("str_replace_based_edit_tool", {"command": "view", "path": "a"}, True),
        ("str_replace_based_edit_tool", {"command": "str_replace", "path": "a"}, False),
        ("memory", {"command": "view", "path": "a"}, True),
        ("memory", {"command": "create", "path": "a"}, False),
        ("Read", {"command": "rm x"}, True),
        ("Bash", {"description": "list", "script": "ls"}, True),
    ],
)
def test_where_the_command_stands(name: str, arguments: Any, looks: bool) -> None:
    assert looks_up(name, arguments) is looks


def test_a_name_without_end_is_looked_at_no_further() -> None:
    assert not looks_up("x" * 200 + "_read", {})
    assert looks_up("read_" + "x" * 10**6, {})


@pytest.mark.parametrize(
    "text",
    [
        *("Error: no such table", "error: x", "ERROR", "  \n Error", "<error>x</error>"),
        *("<tool_use_error>File has not been read yet</tool_use_error>", "Traceback (most recent"),
        *("Exit code 1\nboom", "exit status: 2", "Process exited with code 127", "fatal: not a git"),
        *("Command failed with exit code 1", "Command timed out", "command not found: x"),
        *("ValueError: bad", "java.lang.NullPointerException: x", "Failed to open a", "failure"),
        *('{"error": "no"}', '{ "error" : {"code": 1}}', "panic: runtime", "bash: x: command not found"),
        *("cat: a: No such file or directory", "open a: Permission denied"),
    ],
)  # fmt: skip  # what tools say
def test_failures(text: str) -> None:
    assert is_failure(text)


@pytest.mark.parametrize(
    "text",
    [
        *("", "ok", "Errors: 0", "errorless", "no error", "0 failed", "Exit code 0", "Exit code: 0"),
        *("the error: x", '{"error": null}', '{"error": false, "a": 1}', '{"error": ""}'),
        *('{"error": {}}', '{"error": []}', "1\tclass ValueError(Exception)", "terror", "def failed"),
        *("a\nbash: x: command not found", "x" * 400 + "command not found", " " * 400 + "Error"),
    ],
)  # fmt: skip  # what tools say
def test_no_failures(text: str) -> None:
    assert not is_failure(text)


@pytest.mark.parametrize("quotes", ['"' + '\\"' * 1_990, '"\\' * 1_990, "'" * 3_999, "\"'" * 1_999])
def test_quotes_that_are_never_closed_delay_nobody(quotes: str) -> None:
    """So often that a run in which each quote is looked at from there on does not end in time."""
    for _ in range(3_000):
        assert looks_up("Bash", {"command": quotes}) in {True, False}


def test_what_stands_in_an_unclosed_quote_is_no_command() -> None:
    assert looks_up("Bash", {"command": "grep 'x > y"})
    assert not looks_up("Bash", {"command": "grep x > 'y"})
