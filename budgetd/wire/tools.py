"""Tools as seen from outside: whether a call only looks things up, and whether a result is an error.

Both are guesses from words: no client says either on the wire (Anthropic's `is_error` aside). They
are made for telling loops from polling and failure from progress, so nothing that money depends on
may rest on them; in doubt a call acts, and a result is no error.
"""

from __future__ import annotations

import re
from typing import Any

LONGEST_COMMAND = 4_000  # characters that are looked at: what is longer is a script, and acts
LONGEST_OPENING = 400  # characters of a result in which an error shows


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_LOOKS = _set(
    "read view cat get list ls glob grep rg search find fetch lookup query show describe inspect "
    "status stat info tree head tail diff log logs output poll wait check count browse recall "
    "webfetch websearch codesearch readfile listdir listfiles"
)
_ACTS = _set(
    "write edit create update delete remove set put post patch apply add insert append move rename "
    "send replace save install commit push merge drop kill start stop upload publish deploy "
    "restart cancel"
)
# Tools whose argument `command` says what they do; the editors' is a word such as "view".
_TOLD_WHAT = _set(
    "bash sh shell exec execute run terminal command cmd console powershell edit editor memory"
)
_COMMANDS = ("command", "cmd", "script")
_SHELL = re.compile(r"(?:\S*/)?(?:ba|z|da|k|fi)?sh")
# One that is not closed goes on to the end: so no place is looked at twice.
_QUOTED = re.compile(r"'[^']*'|\"(?:[^\"\\]|\\.)*+\"|['\"].*", re.DOTALL)
_TO_NOWHERE = re.compile(r"\d?>&\d|[&\d]?>>?\s*/dev/null")
_NEXT_COMMAND = re.compile(r"[;|&\n()`]+")
_BEFORE_COMMAND = _set("sudo time timeout nice env command then do if else while !")
_QUIET = _set(  # programs that change nothing (without a redirection)
    "cat head tail less more grep egrep fgrep rg ag ack find fd ls ll dir tree wc stat file du df "
    "pwd cd echo printf true test [ which type whereis whoami id uname hostname date env printenv "
    "ps pgrep top uptime free sort uniq cut tr nl column awk sed jq yq xxd od hexdump strings diff "
    "cmp comm md5sum sha1sum sha256sum readlink realpath basename dirname sleep view lsof nproc "
    "fi done"
)
_BY_VERB = _set("git gh docker podman kubectl helm npm pnpm yarn pip cargo go systemctl")
_VERB = re.compile(r"(?:-C\s+\S+\s+|-\S+\s+)*(?:(?:pr|issue|run|repo|release)\s+)?([\w-]+)")
_QUIET_VERBS = _set(
    "status log diff show blame grep describe rev-parse ls-files ls-tree ls-remote cat-file "
    "shortlog reflog ps logs images inspect get list ls view top tree outdated freeze version "
    "metadata is-active checks"
)
_WRITES_AFTER_ALL = re.compile(
    r"\s(?:-i\S*|--in-place\S*|-delete|-exec\w*|-ok\w*|-fprint\w*)(?=\s|$)"
)
_FAILURE = re.compile(
    r"""\s*(?:
      <(?:tool_use_)?error\b | error\b | [\w.]*(?:error|exception)\s*: | traceback\b | fatal: | panic:
    | failed\b | failure\b | command\ (?:failed|timed\ out|not\ found)
    | (?:process\ )?exit(?:ed\ with)?\ (?:code|status):?\ [1-9]
    | \{\s*"error"\s*:(?!\s*(?:null|false|""|\{\s*\}|\[\s*\]))
    | [^\n]{0,200}(?:command\ not\ found|no\ such\ file\ or\ directory|permission\ denied)
    )""",
    re.IGNORECASE | re.VERBOSE,
)


def looks_up(name: str, arguments: Any) -> bool:
    """Whether a call looks like one that changes nothing, by the words of the tool's name; for a
    shell or an editor by its command.
    """
    words = {word.lower() for word in _WORD.findall(name[:200])}
    if words & _TOLD_WHAT and (command := _command(arguments)) is not None:
        return _is_quiet(command)
    return bool(words & _LOOKS) and not words & _ACTS


def is_failure(text: str) -> bool:
    """Whether a result begins like an error."""
    return _FAILURE.match(text[:LONGEST_OPENING]) is not None


def _command(arguments: Any) -> str | None:
    """The command line in a call's arguments."""
    if not isinstance(arguments, dict):
        return None
    several = arguments.get("commands")
    if isinstance(several, list):
        return "\n".join(step for step in several if isinstance(step, str))
    found = next((arguments[name] for name in _COMMANDS if name in arguments), None)
    if not isinstance(found, list):
        return found if isinstance(found, str) else None
    words = [word for word in found if isinstance(word, str)]
    if len(words) > 2 and _SHELL.fullmatch(words[0]) and words[1].endswith("c"):  # bash -lc "…"
        return words[2]
    return " ".join(words)


def _is_quiet(command: str) -> bool:
    """Whether every program of a command line is one that only shows things."""
    if len(command) > LONGEST_COMMAND:
        return False
    bare = _TO_NOWHERE.sub(" ", _QUOTED.sub("''", command))
    if ">" in bare:
        return False
    steps = [step for part in _NEXT_COMMAND.split(bare) if (step := _program(part))]
    return bool(steps) and all(_shows(step) for step in steps)


def _program(part: str) -> str:
    """A part of a command line without what stands before the program: `FOO=1 timeout 10 grep x`."""
    words = part.split()
    while words and (words[0] in _BEFORE_COMMAND or "=" in words[0] or words[0][0].isdigit()):
        del words[0]
    return " ".join(words)


def _shows(step: str) -> bool:
    program, _, rest = step.partition(" ")
    program = program.rpartition("/")[2]
    if program in _BY_VERB:
        verb = _VERB.match(rest)
        return verb is not None and verb[1] in _QUIET_VERBS
    return program in _QUIET and not (
        program in {"sed", "find", "fd"} and _WRITES_AFTER_ALL.search(step)
    )
