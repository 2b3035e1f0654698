"""What agents do, as tests need it: healthy work of many kinds, and the histories that dialects make of it.

A task is a list of events (a turn with its tools, words, what the user says) and knows nothing of budgetd's rules.
`Script` lays events out as the items of one dialect and remembers where each request ended. All of it is seeded: the
same seed is the same task.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from random import Random
from typing import Literal

from budgetd.core.transcript import Author, Item, ToolCall, ToolResult

Layout = Literal["messages", "chat", "responses", "contents"]
LAYOUTS: tuple[Layout, ...] = ("messages", "chat", "responses", "contents")


@dataclass(frozen=True)
class Use:
    """One use of a tool, with what came back."""

    name: str
    arguments: str
    result: str
    reads: bool = False
    failed: bool = False


@dataclass(frozen=True)
class Act:
    """A turn with tools, several in parallel; `nudge` is what the client itself adds as the user's next item."""

    uses: tuple[Use, ...]
    words: str = ""
    nudge: str = ""


@dataclass(frozen=True)
class Talk:
    """A turn of words alone, and what the user says to it."""

    words: str
    answer: str


@dataclass(frozen=True)
class Says:
    """Words of the user that no turn asked for: at the beginning, or stepping in."""

    words: str


Event = Act | Talk | Says


def act(
    name: str, arguments: str, result: str, *, reads: bool = False, failed: bool = False
) -> Act:
    return Act((Use(name, arguments, result, reads, failed),))


def digest(text: str) -> int:
    return int.from_bytes(sha256(text.encode()).digest()[:8], "big")


# ------------------------------------------------------------------------------------ as items


@dataclass
class Script:
    """A growing history in one dialect's layout. `requests` are its lengths at which a request was sent."""

    layout: Layout
    chance: Random
    items: list[Item] = field(default_factory=list)
    requests: list[int] = field(default_factory=list)
    _ids: int = 0

    def play(self, events: Sequence[Event]) -> Script:
        for event in events:
            match event:
                case Act():
                    self._turn(event)
                case Talk(words, answer):
                    self._add("assistant", words)
                    self._add("user", answer)
                case Says(words):
                    self._add("user", words)
            self.requests.append(len(self.items))
        return self

    def _turn(self, event: Act) -> None:
        calls, results = [], []
        for use in event.uses:
            self._ids += 1
            named = "" if self.layout == "contents" else f"call_{self._ids}"
            calls.append(ToolCall(named, use.name, digest(use.arguments), use.reads))
            results.append(ToolResult(named, digest(use.result), len(use.result), use.failed))
        if self.layout == "responses":
            if self.chance.random() < 0.5:
                self._add("assistant", f"sealed thoughts {self.chance.random()}", says=False)
            if event.words:
                self._add("assistant", event.words)
            for call in calls:
                self._add("assistant", call.name, says=False, calls=(call,))
        else:
            self._add("assistant", event.words, says=bool(event.words), calls=tuple(calls))
        if self.layout in {"chat", "responses"}:
            for result in results:
                self._add("tool", str(result.says), says=False, results=(result,))
        else:
            # A reminder that changes each time, in the item of the results.
            reminder = f"reminder {self.chance.random()}" if self.chance.random() < 0.4 else ""
            self._add("user", reminder, says=bool(reminder), results=tuple(results))
        if self.layout == "chat" and self.chance.random() < 0.3:
            clock = f"<info-msg> it is {self.chance.random()}"
            self.items.append(Item("user", sha256(clock.encode()).digest()[:16], 40, moving=40))
        if event.nudge:
            self._add("user", event.nudge)
        if self.chance.random() < 0.1:
            self._add("system", f"note {self.chance.random()}")

    def _add(
        self,
        author: Author,
        words: str,
        *,
        says: bool = True,
        calls: tuple[ToolCall, ...] = (),
        results: tuple[ToolResult, ...] = (),
    ) -> None:
        content = f"{author}|{words}|{calls}|{results}".encode()
        self.items.append(
            Item(
                author,
                sha256(content).digest()[:16],
                len(content),
                digest(words) if says else 0,
                calls,
                results,
            )
        )


# ------------------------------------------------------------------------------------- healthy chores
# Each ends with something new, so that two of a kind one after the other are not one long one.

Chore = Callable[[Random], Iterator[Event]]


def _name(chance: Random) -> str:
    return f"{chance.choice(['src', 'lib', 'tests'])}/{chance.randrange(10**9):x}.py"


def _commit(chance: Random) -> Act:
    number = chance.randrange(10**9)
    return act("Bash", f"git commit -m {number}", f"[main {number:x}] 1 file changed")


def edit_and_test(chance: Random) -> Iterator[Event]:
    """The same test fails in the same words until the right edit is found."""
    file = _name(chance)
    for _ in range(chance.randint(2, 8)):
        yield act("Edit", f"{file} {chance.random()}", "ok")
        yield act("Bash", "pytest -x", "1 failed: assert 1 == 2", failed=chance.random() < 0.9)
    yield act("Edit", f"{file} {chance.random()}", "ok")
    yield act("Bash", "pytest -x", f"passed in {chance.random()} s")


def searches(chance: Random) -> Iterator[Event]:
    for _ in range(chance.randint(2, 9)):
        yield act("Grep", f"{chance.random()}", f"found in {_name(chance)}", reads=True)
    for _ in range(chance.randint(0, 3)):  # three in vain are still a search
        yield act("Grep", f"{chance.random()}", "No matches found", reads=True)
    file = _name(chance)
    yield act("Read", file, f"text of {file}", reads=True)


def poll_a_build(chance: Random) -> Iterator[Event]:
    """The same question; the answer may stand still for one look, and then it moves."""
    for percent in range(0, 100, chance.choice([5, 9, 20])):
        for _ in range(chance.choice([1, 1, 2])):
            yield act("Bash", "gh run view 7", f"running: {percent} %", reads=True)
    yield act("Bash", "gh run view 7", f"done {chance.random()}", reads=True)


def sleep_and_look(chance: Random) -> Iterator[Event]:
    job = chance.randrange(10**9)
    for done in range(chance.randint(3, 12)):
        yield act("Bash", "sleep 30", "")
        yield act("Bash", f"tail job-{job}.log", f"job {job}: {done} of 12", reads=True)


def sleep_twice_and_look(chance: Random) -> Iterator[Event]:
    job = chance.randrange(10**9)
    for done in range(chance.randint(3, 6)):
        yield act("Bash", "sleep 30", "")
        yield act("Bash", "sleep 30", "")
        yield act("BashOutput", f"{job}", f"{job}: step {done}", reads=True)


def sweep_of_edits(chance: Random) -> Iterator[Event]:
    for _ in range(chance.randint(4, 20)):
        yield act("Edit", f"{_name(chance)}", "The file has been updated.")
    yield _commit(chance)


def retry_until_it_works(chance: Random) -> Iterator[Event]:
    for _ in range(2):
        yield act("WebFetch", "https://example.com/a", "503 try again", reads=True, failed=True)
    yield act("WebFetch", "https://example.com/a", f"page {chance.random()}", reads=True)


def guess_until_it_works(chance: Random) -> Iterator[Event]:
    for _ in range(3):
        yield act("Edit", f"{chance.random()}", "String to replace not found", failed=True)
    yield act("Edit", f"{chance.random()}", f"ok, line {chance.random()}")


def read_before_each_edit(chance: Random) -> Iterator[Event]:
    file = _name(chance)
    for _ in range(chance.randint(3, 7)):
        yield act("Read", file, f"{file} as of {chance.random()}", reads=True)
        yield act("Edit", f"{file} {chance.random()}", "ok")


def read_twice(chance: Random) -> Iterator[Event]:
    file = _name(chance)
    yield act("Read", file, f"text of {file}", reads=True)
    yield act("Read", file, f"text of {file}", reads=True)
    yield _commit(chance)


def compare_two_files(chance: Random) -> Iterator[Event]:
    one, other = _name(chance), _name(chance)
    for _ in range(2):
        yield act("Read", one, f"text of {one}", reads=True)
        yield act("Read", other, f"text of {other}", reads=True)
    yield _commit(chance)


def read_in_parallel(chance: Random) -> Iterator[Event]:
    for _ in range(chance.randint(1, 5)):
        files = [_name(chance) for _ in range(chance.randint(2, 6))]
        yield Act(tuple(Use("Read", file, f"text of {file}", reads=True) for file in files))


def many_searches_in_one_turn(chance: Random) -> Iterator[Event]:
    """Six in vain at once are one turn in vain, whatever items the dialect makes of them."""
    for _ in range(3):
        uses = (Use("Grep", f"{chance.random()}", "", reads=True, failed=True) for _ in range(6))
        yield Act(tuple(uses))
    yield _commit(chance)


def silent_shell(chance: Random) -> Iterator[Event]:
    verbs = [
        "mkdir -p",
        "rm -f",
        "cp -r x",
        "mv x",
        "chmod +x",
        "sed -i s/a/b/",
        "touch",
        "git add",
    ]
    for _ in range(chance.randint(5, 30)):
        yield act("Bash", f"{chance.choice(verbs)} {_name(chance)}", "")
    yield _commit(chance)


def todo_list(chance: Random) -> Iterator[Event]:
    for _ in range(chance.randint(3, 8)):
        yield act("TodoWrite", f"{chance.random()}", "Todos have been modified successfully.")
        if chance.random() < 0.5:
            yield act("Edit", f"{_name(chance)}", "ok")
    yield _commit(chance)


def send_agents(chance: Random) -> Iterator[Event]:
    for _ in range(chance.randint(1, 3)):
        uses = (Use("Task", f"{chance.random()}", f"report {chance.random()}") for _ in range(3))
        yield Act(tuple(uses))


def chat(chance: Random) -> Iterator[Event]:
    for _ in range(chance.randint(3, 10)):
        yield Talk(
            f"an answer of {chance.random()}", chance.choice(["go on", "continue", "yes", "ok"])
        )


def thanks_twice(chance: Random) -> Iterator[Event]:
    for _ in range(2):
        yield Talk("You are welcome!", "thanks")
    yield Talk(f"{chance.random()}", "and now this")


def add_commit_status(chance: Random) -> Iterator[Event]:
    """A round of three of which two are always the same."""
    for _ in range(chance.randint(3, 6)):
        yield act("Bash", "git add -A", "")
        yield _commit(chance)
        yield act("Bash", "git status", "nothing to commit, working tree clean", reads=True)


def click_and_look(chance: Random) -> Iterator[Event]:
    for _ in range(chance.randint(4, 10)):
        yield act("browser_click", "next page", "Clicked")
        yield act("browser_snapshot", "", f"page with {chance.random()}", reads=True)


def page_through(chance: Random) -> Iterator[Event]:
    file = _name(chance)
    for offset in range(chance.randint(3, 9)):
        yield act("Read", f"{file} from {offset}", f"{file}, part {offset}", reads=True)
    for offset in range(2):
        yield act("Read", f"{file} from 9{offset}", "past the end", reads=True, failed=True)
    yield _commit(chance)


def lint_away(chance: Random) -> Iterator[Event]:
    left = chance.randint(3, 6)
    while left:
        yield act("Edit", f"{_name(chance)}", "ok")
        yield act("Bash", "ruff check", f"Found {left} errors.", failed=True)
        left -= chance.choice([0, 1, 1])
    yield act("Bash", "ruff check", f"All checks passed! {chance.random()}")


def measure_two_ways(chance: Random) -> Iterator[Event]:
    for _ in range(chance.randint(3, 5)):
        for way in "ab":
            yield act("Write", f"config {way}", "ok")
            yield act("Bash", "bench", f"{way}: {chance.random()} ms")


def user_steps_in(chance: Random) -> Iterator[Event]:
    """Twice the same, a word of the user, twice the same again: somebody is there."""
    job = _name(chance)
    for advice in ("it takes a while", f"look again {chance.random()}", "and now?"):
        yield act("Bash", f"status {job}", "waiting", reads=True)
        yield act("Bash", f"status {job}", "waiting", reads=True)
        yield Says(advice)
    yield _commit(chance)


def told_to_go_on(chance: Random) -> Iterator[Event]:
    """A client without a user adds the same words after every turn; the work differs."""
    for _ in range(chance.randint(3, 8)):
        yield Act((Use("Bash", f"make part {chance.random()}", ""),), nudge="continue")


def denied_by_the_user(chance: Random) -> Iterator[Event]:
    for _ in range(4):
        yield act("Bash", f"rm {_name(chance)}", "The user does not want that.", failed=True)
        yield Says(f"no, rather {chance.random()}")
    yield _commit(chance)


def step_aside_and_back(chance: Random) -> Iterator[Event]:
    """A test that is run again and again between different searches."""
    for _ in range(chance.randint(4, 8)):
        yield act("Bash", "make test", "FAILED", failed=True)
        yield act("Grep", f"{chance.random()}", f"{chance.random()}", reads=True)


CHORES: tuple[Chore, ...] = (
    *(edit_and_test, searches, poll_a_build, sleep_and_look, sleep_twice_and_look, sweep_of_edits),
    *(retry_until_it_works, guess_until_it_works, read_before_each_edit, read_twice),
    *(compare_two_files, read_in_parallel, many_searches_in_one_turn, silent_shell, todo_list),
    *(send_agents, chat, thanks_twice, add_commit_status, click_and_look, page_through, lint_away),
    *(measure_two_ways, user_steps_in, told_to_go_on, denied_by_the_user, step_aside_and_back),
)


def healthy_task(seed: int) -> list[Event]:
    """A task of one to eight chores; the first 27 seeds begin with one of each kind."""
    chance = Random(seed)
    chores = [CHORES[seed % len(CHORES)], *chance.choices(CHORES, k=chance.randint(0, 7))]
    return [Says(f"task {seed}"), *(event for chore in chores for event in chore(chance))]
