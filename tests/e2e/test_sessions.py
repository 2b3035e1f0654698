"""Whose conversation a call is of, whole way through: hundreds that begin alike, told apart by their
histories or by what their clients say; trees of agents; and what each cost by the provider's bill.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from itertools import chain

import pytest

from budgetd.core.sessions import session_id
from budgetd.simulator import Script
from tests.e2e.books import PICO, ask, charged, drawers, held
from tests.e2e.playing import PLENTY, Pair, settled_up
from tests.e2e.talking import DIALECTS, Talk, billed, fresh_name, page_of, tools_of
from tests.e2e.test_overshoot import watch
from tests.rig import House, house

CROWD = 200
TURNS = 3
SYSTEM = "You are an agent. " * 300  # long enough to be cached: no two calls need cost the same

Play = Callable[[int, Talk], Awaitable[None]]


async def side_by_side(talks: Sequence[Talk], play: Play) -> None:
    await asyncio.gather(*(play(number, talk) for number, talk in enumerate(talks)))


async def one_after_the_other(talks: Sequence[Talk], play: Play) -> None:
    for number, talk in enumerate(talks):
        await play(number, talk)


async def converse(number: int, talk: Talk) -> None:
    """All begin with the same words; some turns are streamed and some are not."""
    for turn in range(TURNS):
        words = f"Go on with {number}." if turn else "Do it."
        reply = await talk.say(
            words, stream=(number + turn) % 2 == 0, text=f"{number} is at {turn} now."
        )
        assert reply.status == 200, reply


def sessions_of(talks: Iterable[Talk]) -> list[str]:
    """Our id of each conversation; fails for one that was booked to several."""
    found = [set(talk.sessions) for talk in talks]
    assert {len(ids) for ids in found} == {1}
    return [ids.pop() for ids in found]


def check_books(home: House, talks: Sequence[Talk], rows: int) -> None:
    """Each conversation is a session of its own, with its turns and its cost by the bill."""
    ids = sessions_of(talks)
    assert len(set(ids)) == len(talks)
    found = {
        row[0]: row[1:]
        for row in ask(home.state, "SELECT id, calls, turns, cost, notional FROM session")
    }
    assert len(found) == rows
    for session, talk in zip(ids, talks, strict=True):
        assert found[session] == (TURNS, TURNS, billed(home, talk.pairs), 0)
    numbers = ask(home.state, "SELECT session, number FROM turn WHERE kind = 'turn'")
    assert Counter(numbers) == Counter((one, at) for one in ids for at in range(1, TURNS + 1))
    assert sum(billed(home, talk.pairs) for talk in talks) == home.sim.bill.total_pico
    assert charged(home.state) == home.sim.bill.total_pico


# ------------------------------------------------------------------------------ told by the prefix


@pytest.mark.parametrize(
    ("order", "dialects"),
    [
        (side_by_side, DIALECTS[:1]),
        (side_by_side, DIALECTS[1:]),
        (one_after_the_other, DIALECTS),
    ],
)
async def test_two_hundred_conversations_that_begin_alike(tmp_path, order, dialects):
    async with house(tmp_path, PLENTY) as home:
        talks = [Talk(home, dialects[n % len(dialects)], SYSTEM) for n in range(CROWD)]
        await order(talks, converse)
        await settled_up(home)
        check_books(home, talks, CROWD)
        assert ask(home.state, "SELECT DISTINCT source, parent FROM session") == [("prefix", None)]
        assert ask(home.state, "SELECT count(*) FROM session WHERE root <> id") == [(0,)]


async def test_as_long_as_they_say_the_same_they_are_as_many_sessions(tmp_path):
    """Nobody can tell whose answer "Yes." was; but there are as many sessions, with as many turns."""

    async def converse_alike(number: int, talk: Talk) -> None:
        await talk.say("Do it.", stream=number % 2 == 0, text="Yes.")
        await talk.say("Go on.", stream=number % 3 == 0, text="Yes.")
        await talk.say(f"Now do {number}.", text=f"{number} is done.")
        await talk.say("Thanks.", text="Yes.")

    async with house(tmp_path, PLENTY) as home:
        talks = [Talk(home, DIALECTS[n % 2], SYSTEM) for n in range(CROWD)]
        await side_by_side(talks, converse_alike)
        await settled_up(home)
        assert ask(home.state, "SELECT count(*), min(turns), max(turns) FROM session") == [
            (CROWD, 4, 4)
        ]
        assert all(len(set(talk.sessions[2:])) == 1 for talk in talks)
        assert len({talk.sessions[2] for talk in talks}) == CROWD
        check_sums(home)


@pytest.mark.parametrize("counts", [True, False], ids=["counts its retries", "only repeats"])
async def test_calls_that_fail_and_are_repeated_stay_in_their_conversations(tmp_path, counts):
    """Many say the same at the same time, and what failed of them comes again."""
    chance = random.Random(5)

    async def insist(number: int, talk: Talk) -> None:
        for turn in range(TURNS):
            talk.messages.append({"role": "user", "content": f"{number}." if turn else "Do it."})
            status, tries = 0, 0
            while status != 200:
                talk.headers = {"x-stainless-retry-count": str(tries)} if counts else {}
                fault = {"status": 500} if tries < 2 and chance.random() < 0.3 else {}
                text = f"{number} is at {turn} now."
                reply = await talk.ask(stream=(number + turn) % 2 == 0, text=text, **fault)
                status, tries = reply.status, tries + 1

    async with house(tmp_path, PLENTY) as home:
        talks = [Talk(home, DIALECTS[n % 2], SYSTEM) for n in range(100)]
        await side_by_side(talks, insist)
        await settled_up(home)
        assert len(set(sessions_of(talks))) == len(talks)
        rows = ask(home.state, "SELECT count(*), min(turns), max(turns), sum(calls) FROM session")
        failed = ask(home.state, "SELECT count(*) FROM attempt WHERE status = 500")[0][0]
        assert failed > 50
        assert rows == [(100, TURNS, TURNS, 100 * TURNS + failed)]
        retries = ask(home.state, "SELECT count(*) FROM turn WHERE cause = 'retry'")
        assert retries == [(failed,)]  # each was repeated once, and only these were repeats
        check_sums(home)


def check_sums(home: House) -> None:
    """What sessions cost is what their calls cost; what trees cost is what is in them."""
    rows = ask(
        home.state,
        "SELECT s.id, s.cost, coalesce(sum(a.cost), 0) FROM session s JOIN call c ON c.session = s.id"
        " JOIN attempt a ON a.call = c.id GROUP BY s.id",
    )
    assert rows
    assert all(cost == summed for _, cost, summed in rows)
    trees = ask(
        home.state,
        "SELECT r.tree_cost, r.tree_calls, sum(s.cost), sum(s.calls) FROM session r"
        " JOIN session s ON s.root = r.id WHERE r.parent IS NULL GROUP BY r.id",
    )
    assert all(row[:2] == row[2:] for row in trees)
    total = ask(home.state, "SELECT sum(tree_cost) FROM session WHERE parent IS NULL")
    assert total == [(charged(home.state),)]


# ------------------------------------------------------------------------------ told by the client


def by_header(name: str) -> tuple[str, dict[str, str]]:
    return "", {"X-Budgetd-Session": name}


def by_label(name: str) -> tuple[str, dict[str, str]]:
    return f"/s/{name}", {}


def by_counter(name: str) -> tuple[str, dict[str, str]]:
    return "", {"agent-session-id": name}


async def test_two_hundred_conversations_that_have_names(tmp_path):
    async with house(tmp_path, PLENTY) as home:
        talks, names = [], []
        for number in range(CROWD):
            named = (by_header, by_label, by_counter)[number % 3]
            label, headers = named(f"n-{number}")
            talks.append(Talk(home, DIALECTS[number % 2], SYSTEM, label, headers))
            names.append(f"goose:n-{number}" if named is by_counter else f"n-{number}")
        await side_by_side(talks, converse)
        await settled_up(home)
        check_books(home, talks, CROWD)
        assert sessions_of(talks) == [session_id("default", name) for name in names]


Line = tuple[str, dict[str, str]]  # our name of a session, and the headers of its calls


def claude_code(top: str) -> Iterator[Line]:
    """A root, its agent, and the agent's agent."""
    root = {"x-claude-code-session-id": top}
    agent = root | {"x-claude-code-agent-id": "one"}
    deep = root | {"x-claude-code-agent-id": "two", "x-claude-code-parent-agent-id": "one"}
    yield from ((top, root), (f"{top}/one", agent), (f"{top}/two", deep))


def opencode(top: str) -> Iterator[Line]:
    yield top, {"x-session-id": top, "x-session-affinity": top}
    yield f"{top}-b", {"x-session-id": f"{top}-b", "x-parent-session-id": top}
    yield f"{top}-c", {"x-session-id": f"{top}-c", "x-parent-session-id": f"{top}-b"}


def codex(top: str) -> Iterator[Line]:
    yield top, {"session-id": top, "thread-id": top}
    for child, parent in ((f"{top}-b", top), (f"{top}-c", f"{top}-b")):
        threads = {"thread-id": child, "x-codex-parent-thread-id": parent}
        yield child, {"session-id": top, "x-openai-subagent": "collab_spawn"} | threads


def our_own(top: str) -> Iterator[Line]:
    yield top, {"X-Budgetd-Session": top}
    for child, parent in ((f"{top}-b", top), (f"{top}-c", f"{top}-b")):
        yield child, {"X-Budgetd-Session": child, "X-Budgetd-Parent": parent}


@pytest.mark.parametrize("way", [claude_code, opencode, codex, our_own])
async def test_agents_join_their_root_whatever_their_client_calls_them(tmp_path, way):
    async with house(tmp_path, PLENTY) as home:
        trees = [list(way(fresh_name("tree"))) for _ in range(CROWD // 3)]
        families = [
            [agent(home, DIALECTS[n % 2], headers) for _, headers in tree]
            for n, tree in enumerate(trees)
        ]
        for generation in zip(*families, strict=True):  # who spawns comes before who is spawned
            await side_by_side(generation, converse)
        await settled_up(home)
        check_books(home, list(chain.from_iterable(families)), 3 * (CROWD // 3))
        check_sums(home)
        ids: list[str] = []
        for tree, family in zip(trees, families, strict=True):
            ids = [session_id("default", name) for name, _ in tree]
            assert sessions_of(family) == ids
            rows = ask(home.state, "SELECT parent, root FROM session WHERE root = ?", ids[0])
            assert sorted(rows, key=str) == sorted(
                [(None, ids[0]), (ids[0], ids[0]), (ids[1], ids[0])], key=str
            )
        page = await page_of(home, ids[0])
        cost = sum(billed(home, talk.pairs) for talk in families[-1])
        assert pico(page["cost_usd"]) == cost
        assert pico(page["own_cost_usd"]) == billed(home, families[-1][0].pairs)
        assert (page["agents"]["count"], page["agents"]["calls"]) == (2, 2 * TURNS)
        deepest = await page_of(home, ids[2])
        assert [one["id"] for one in deepest["above"]] == [ids[1], ids[0]]


def agent(home: House, dialect: str, headers: dict[str, str], system: str = SYSTEM) -> Talk:
    """A conversation of a client that offers tools with every turn."""
    fields = {"tools": tools_of(dialect)}
    return Talk(home, dialect, system, headers=headers, fields=fields)


def pico(usd: str) -> int:
    """Pico-dollars of an exact decimal string."""
    whole, _, rest = usd.lstrip("-").partition(".")
    amount = int(whole) * PICO + int(rest.ljust(12, "0") or "0")
    return -amount if usd.startswith("-") else amount


# --------------------------------------------------------------------------------- two keys, one id


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_two_keys_that_claim_the_same_id_have_nothing_in_common(tmp_path, dialect):
    limits = "[9 per day, 0.05 per session, 0.04 per agent]"
    extra = f"keys: {{a: {limits}, b: {limits}}}"
    async with house(tmp_path, extra, script=Script(tokens=400)) as home:
        claims = {"X-Budgetd-Session": "same"}
        mine = Talk(home, dialect, label="/k/a", headers=claims)
        while (reply := await mine.say("More.")).status == 200:
            assert len(mine.pairs) < 50
        told = reply.body["error"]["budgetd"]
        ours = session_id("a", "same")
        assert told["subject"] == f"agent:{ours}"
        # The same name, the same words, and the other's own id of the session: nothing helps.
        tries: list[dict[str, str]] = [claims, {"X-Budgetd-Session": ours}, {}]
        tries.append(claims | {"X-Budgetd-Parent": ours})
        theirs = [Talk(home, dialect, label="/k/b", headers=headers) for headers in tries]
        for talk in theirs:
            talk.messages = list(mine.messages[:-1])
            assert (await talk.say("More.")).status == 200
        await settled_up(home)
        assert bound_of(home, theirs[0].pairs[0]) >= theirs[0].sizes[0]  # nor are the words known
        ids = [talk.sessions[0] for talk in theirs]
        assert ids == [session_id("b", "same"), session_id("b", ours), ids[2], ids[0]]
        assert len({*ids, *mine.sessions}) == 4
        spent = billed(home, mine.pairs)
        for subject in (f"session:{ours}", f"agent:{ours}", "key:a"):
            assert [one.settled for one in drawers(home.state, subject)] == [spent]
        keys = ask(home.state, "SELECT key, count(*) FROM session GROUP BY key")
        assert sorted(keys) == [("a", 1), ("b", 3)]
        crossed = ask(
            home.state,
            "SELECT s.id FROM session s JOIN session r ON r.id IN (s.root, s.parent)"
            " WHERE r.key <> s.key",
        )
        assert crossed == []


def bound_of(home: House, pair: Pair) -> int:
    """The input tokens that a call was taken for before it was sent."""
    ((bound,),) = ask(home.state, "SELECT input_bound FROM attempt WHERE call = ?", pair.call)
    assert isinstance(bound, int)
    return bound


# ----------------------------------------------------------------------------- a budget on a tree

LIMIT = 30 * PICO // 100
TREE = "default_key: [90 per day, 0.30 per session]"


@pytest.mark.parametrize("way", [claude_code, opencode, codex, our_own])
async def test_a_trees_budget_holds_for_a_hundred_nested_agents_at_once(tmp_path, way):
    """Every agent's first call at the same moment, three deep, streamed and not."""
    async with house(tmp_path, TREE, script=Script(tokens=300, pace=0.001)) as home:
        root, branches = nested(way)
        top = session_id("default", root[0])
        await watch(home, {f"session:{top}": LIMIT})
        first = agent(home, DIALECTS[0], root[1], "Be brief.")
        assert (await first.say("Begin.", tokens=10)).status == 200
        wave = [agent(home, DIALECTS[n % 2], h, "Be brief.") for n, h in enumerate(branches)]
        outcomes = Counter[str]()

        async def persist(number: int, talk: Talk) -> None:
            """A busy answer is repeated, as clients do: the limit is leant on for long."""
            talk.messages.append({"role": "user", "content": f"Do {number}."})
            outcome = "busy"
            while outcome == "busy":
                reply = await talk.ask(stream=number % 2 == 0)
                outcome = "done" if reply.status == 200 else reply.told["reason"]
                outcomes[outcome] += 1

        await side_by_side(wave, persist)
        await settled_up(home)
        assert ask(home.state, "SELECT * FROM breach") == []
        assert outcomes.keys() == {"done", "busy", "spent"}
        passed = [pair for talk in (first, *wave) for pair in talk.pairs]
        assert LIMIT * 8 // 10 < billed(home, passed) <= LIMIT
        assert billed(home, passed) == home.sim.bill.total_pico
        (drawer,) = drawers(home.state, f"session:{top}")
        assert (drawer.settled, drawer.held) == (billed(home, passed), 0)
        assert held(home.state) == 0
        assert ask(home.state, "SELECT DISTINCT root FROM session") == [(top,)]
        page = await page_of(home, top)
        assert pico(page["cost_usd"]) == billed(home, passed)
        # What is spent stays so, for everybody in the tree and for nobody else.
        again = agent(home, DIALECTS[0], branches[-1], "Be brief.")
        while (reply := await again.say("More.")).status == 200:
            assert billed(home, again.pairs) < LIMIT
        assert reply.told["subject"] == f"session:{top}"
        assert (await Talk(home, headers=our_own_root()).say("Begin.")).status == 200


def our_own_root() -> dict[str, str]:
    return {"X-Budgetd-Session": fresh_name("other")}


def nested(way: Callable[[str], Iterator[Line]]) -> tuple[Line, list[dict[str, str]]]:
    """A root, and the headers of a hundred agents below it: fifty, and one below each."""
    top = fresh_name("top")
    root, child, deep = way(top)
    lines = []
    for number in range(50):
        swap = {"one": f"one{number}", "two": f"two{number}"}
        swap |= {f"{top}-b": f"{top}-b{number}", f"{top}-c": f"{top}-c{number}"}
        for _, headers in (child, deep):
            lines.append({word: swap.get(v, v) for word, v in headers.items()})
    return root, lines
