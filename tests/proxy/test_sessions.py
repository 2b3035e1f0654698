"""Whose conversation a call is of: by what its client says, and by nothing but its history."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

import pytest

from budgetd.core.caps import Caps
from budgetd.core.estimate import Facts, Media
from budgetd.core.policy import KeyPolicy
from budgetd.core.prices import RateCard
from budgetd.core.sessions import Claim, session_id
from budgetd.core.settlement import Settlement
from budgetd.core.turns import Turn
from budgetd.core.usage import Traits, Usage
from budgetd.ledger.recall import Recalled
from budgetd.proxy import lives, prefaces, sessions
from budgetd.proxy.sessions import Sessions
from budgetd.proxy.visits import Arrival, Ending, Visit, akin
from budgetd.wire.answers import mark_of
from budgetd.wire.body import parse
from budgetd.wire.history import Fields, Historian, Span
from tests.wire.tokens import card

Message = dict[str, Any]
SYSTEM = {"role": "system", "content": "You are an agent."}
UNTOLD, NO_MEDIA = Claim(), Media()
FIRST = {"role": "user", "content": "Do it."}


def user(text: str) -> Message:
    """What a user says."""
    return {"role": "user", "content": text}


def said(text: str) -> Message:
    """What an assistant says."""
    return {"role": "assistant", "content": text}


def ran(call: str, name: str = "Bash", **arguments: Any) -> Message:
    """A tool call."""
    function = {"name": name, "arguments": json.dumps(arguments)}
    calls = [{"id": call, "type": "function", "function": function}]
    return {"role": "assistant", "content": None, "tool_calls": calls}


def brought(call: str, text: str) -> Message:
    """What a tool brought."""
    return {"role": "tool", "tool_call_id": call, "content": text}


class Town:
    """A registry of sessions, spoken to as the gateway does. `tokens` is a token for four bytes."""

    def __init__(self, seed: int = 7) -> None:
        self.sessions = Sessions(seed)
        self.now = 1_000_000

    def ask(
        self,
        messages: list[Message],
        *,
        key: str = "k",
        claim: Claim = UNTOLD,
        repeated: bool = False,
        retry: bool = False,
        model: str = "gpt-4o",
        media: Media = NO_MEDIA,
        reader: bytes = b"",
        **fields: Any,
    ) -> Visit:
        """A call arrives."""
        self.now += 1_000
        data = json.dumps({"model": model, "messages": messages, **fields}).encode()
        mark = hash(data)
        again = repeated or retry
        who = Arrival(key, "unknown", "openai", claim, mark, again, retry, self.now, reader)
        facts = Facts(model, len(data), media=media)
        visit = self.sessions.arrive(who, facts, parse(data), Fields())
        assert visit is not None
        return visit

    def answer(self, visit: Visit, reply: Message | None, **figures: int) -> Turn:
        """It is answered (None: it failed), and settled."""
        self.now += 1_000
        assert visit._facts is not None
        usage = Usage(**({"input": visit._facts.input_bytes // 4, "output": 10} | figures))
        done = Settlement("settled", 1_000, usage=usage, model=visit._facts.model, status=200)
        if reply is None:
            done = Settlement("known_zero", 0, status=500)
        turn = visit.close(Ending(done, card(input=1, output=1), Traits(), _mark(reply), self.now))
        assert turn is not None
        return turn

    def talk(self, messages: list[Message], reply: Message, **options: Any) -> str:
        """A call that is answered at once: the id of its session."""
        visit = self.ask(messages, **options)
        self.answer(visit, reply)
        return visit.session.id


def _mark(reply: Message | None) -> int:
    if reply is None:
        return 0
    body = parse(json.dumps({"messages": [reply]}).encode())
    return mark_of(Historian(0).read(body, Fields()).items)


# ------------------------------------------------------------------------------ told by the prefix


def conversation(number: int, turns: int, *, alike: int) -> Iterator[tuple[list[Message], Message]]:
    """The requests of a conversation with their answers; the first `alike` answers are anybody's."""
    messages = [SYSTEM, FIRST]
    for turn in range(turns):
        reply = said("Yes." if turn < alike else f"Yes, {number} and {turn}.")
        yield list(messages), reply
        messages += [reply, user(f"Go on with {number}." if turn >= alike else "Go on.")]


@pytest.mark.parametrize("alike", [0, 1, 3])
@pytest.mark.parametrize("order", ["side by side", "one after the other"])
def test_conversations_that_begin_alike_are_told_apart(alike: int, order: str) -> None:
    town, dice = Town(), random.Random(alike)
    going = {number: conversation(number, 6, alike=alike) for number in range(300)}
    path: dict[int, list[str]] = {number: [] for number in going}
    while going:
        number = dice.choice(list(going)) if order == "side by side" else min(going)
        try:
            messages, reply = next(going[number])
        except StopIteration:
            del going[number]
            continue
        path[number].append(town.talk(messages, reply))
    # As long as they say the same nobody can tell them apart; from where they differ on they are one.
    assert all(len(set(ids[alike + 1 :])) == 1 for ids in path.values())
    assert len({ids[-1] for ids in path.values()}) == 300
    counts: dict[str, int] = {}
    for ids in path.values():
        for one in ids:
            counts[one] = counts.get(one, 0) + 1
    assert set(counts.values()) == {6}


def test_conversations_under_way_at_the_same_moment_are_told_apart() -> None:
    town = Town()
    open_calls = [town.ask([SYSTEM, FIRST]) for _ in range(50)]
    assert len({visit.session.id for visit in open_calls}) == 50
    for number, visit in enumerate(open_calls):
        town.answer(visit, said(f"Number {number} here."))
    for number, visit in enumerate(open_calls):
        went_on = town.ask([SYSTEM, FIRST, said(f"Number {number} here."), user("more")])
        assert went_on.session.id == visit.session.id


def test_another_head_does_not_make_another_conversation() -> None:
    town = Town()
    first = town.talk([SYSTEM, FIRST], said("a"), tools=[{"type": "function"}])
    assert town.talk([SYSTEM, FIRST, said("a"), user("b")], said("c"), tools=[]) == first


def test_a_history_that_goes_on_from_nothing_known_begins_a_session() -> None:
    town = Town()
    first = town.talk([SYSTEM, FIRST], said("a"))
    assert town.talk([SYSTEM, user("Do something else.")], said("a")) != first
    assert town.talk([SYSTEM, user("x"), said("a"), user("b")], said("c")) != first


def test_the_same_request_again_is_a_new_conversation_unless_it_failed() -> None:
    town = Town()
    first = town.ask([SYSTEM, FIRST])
    town.answer(first, None)
    again = town.ask([SYSTEM, FIRST], retry=True)
    assert again.session.id == first.session.id
    town.answer(again, said("a"))
    assert town.ask([SYSTEM, FIRST]).session.id != first.session.id


def test_a_retry_goes_to_the_conversation_whose_call_failed() -> None:
    town = Town()
    failed, other = town.ask([SYSTEM, FIRST]), town.ask([SYSTEM, FIRST])
    town.answer(failed, None)
    town.answer(other, said("a"))
    assert town.ask([SYSTEM, FIRST], retry=True).session.id == failed.session.id


def test_conversations_under_one_name_have_their_circles_to_themselves() -> None:
    town, named = Town(), Claim("batch", "url")
    stuck, busy = [user("Wait.")], [user("Work.")]
    found = []
    for number in range(5):
        for talk, words in ((stuck, "ls x"), (busy, f"make {number}")):
            visit = town.ask(talk, claim=named)
            found.append(visit.suspicion is not None)
            call = ran(f"call_{len(found)}", cmd=words)
            town.answer(visit, call)
            talk += [call, brought(f"call_{len(found)}", "none")]
    assert found == [False] * 6 + [True, False, True, False]


def test_a_refused_request_that_comes_again_is_the_same_conversation() -> None:
    town = Town()
    first = town.ask([SYSTEM, FIRST])
    first.refused()
    assert town.ask([SYSTEM, FIRST], repeated=True).session.id == first.session.id


def test_a_conversation_goes_on_after_a_call_that_was_never_answered() -> None:
    town = Town()
    first = town.ask([SYSTEM, FIRST])
    first.refused()
    more = town.ask([SYSTEM, FIRST, user("[Queued] Continue.")])
    assert more.session.id == first.session.id
    # but not past an answer that was given: that is somebody else's beginning
    town.answer(more, said("a"))
    other = town.ask([SYSTEM, FIRST, user("[Queued] Continue."), user("and")])
    assert other.session.id != first.session.id


def test_a_turn_that_is_edited_or_asked_again_stays_in_its_session() -> None:
    town = Town()
    first = town.talk([SYSTEM, FIRST], said("a"))
    assert town.talk([SYSTEM, FIRST, said("a"), user("b")], said("c")) == first
    assert town.talk([SYSTEM, FIRST, said("a"), user("B!")], said("d")) == first
    assert town.talk([SYSTEM, FIRST, said("a"), user("b")], said("e")) == first


def test_an_answer_that_its_client_rewrites_is_recognised_by_where_it_stands() -> None:
    town = Town()
    first = town.talk([SYSTEM, FIRST], said("<answer>a</answer>"))
    assert town.talk([SYSTEM, FIRST, said("a"), user("b")], said("c")) == first


def test_a_client_that_moves_things_about_is_known_by_its_tool_calls() -> None:
    town = Town()
    first = town.talk([SYSTEM, user("12:01 Do it.")], ran("call_77Xy"))
    second = [SYSTEM, user("12:02 Do it."), ran("call_77Xy"), brought("call_77Xy", "ok")]
    assert town.talk(second, ran("call_88Xy")) == first
    shorter = [SYSTEM, user("Summary: it was done."), ran("call_88Xy"), brought("call_88Xy", "ok")]
    assert town.talk(shorter, said("done")) == first  # after a compaction that kept the last turn


def test_a_long_answer_tells_whose_it_is_and_a_short_one_does_not() -> None:
    town, long = Town(), said("This is what I found out about it. " * 6)
    first = town.talk([SYSTEM, FIRST], long)
    assert town.talk([SYSTEM, user("Summary."), long, user("b")], said("Done.")) == first
    assert town.talk([SYSTEM, user("Other."), said("Done."), user("c")], said("d")) != first


def test_an_answer_that_several_gave_tells_nothing() -> None:
    town = Town()
    first, second = (town.talk([SYSTEM, user(t)], ran("call_1")) for t in ("x", "y"))
    moved = [SYSTEM, user("z"), ran("call_1"), brought("call_1", "ok")]
    assert town.talk(moved, said("a")) not in {first, second}


def test_only_the_last_answers_are_looked_at() -> None:
    town = Town()
    first = town.talk([SYSTEM, FIRST], ran("call_old"))
    old = [ran("call_old"), brought("call_old", "x")]
    near = [part for n in range(lives.LOOK_BACK - 1) for part in (said(f"{n}"), user("go"))]
    assert town.talk([user("a"), *old, *near], said("b")) == first
    far = [*near, said("one more"), user("go")]
    assert town.talk([user("c"), *old, *far], said("b")) != first


def test_a_key_never_meets_the_sessions_of_another() -> None:
    town = Town()
    mine = town.talk([SYSTEM, FIRST], ran("call_9Zz"))
    more = [SYSTEM, FIRST, ran("call_9Zz"), brought("call_9Zz", "ok")]
    visit = town.ask(more, key="thief")
    assert visit.session.id != mine
    assert visit.known is None
    named = Claim("abc", "client")
    theirs = town.talk([FIRST], said("a"), claim=named)
    stolen = town.ask([FIRST, said("a"), user("b")], claim=named, key="thief")
    assert stolen.session.id != theirs
    assert stolen.session.id == session_id("thief", "abc")
    assert stolen.known is None


def test_what_is_long_out_of_use_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lives, "MOST", 10)
    town = Town()
    ids = [town.talk([SYSTEM, user(f"{n}")], ran(f"call_{n}xx")) for n in range(30)]
    kept = town.sessions._lives
    assert len(kept) == 10
    assert set(kept) == set(ids[-10:])
    assert len(kept._chains) == len(kept._answers) == 10
    assert sum(map(len, kept._starts.values())) == 20  # two beginnings each
    again = town.talk([SYSTEM, user("0"), ran("call_0xx"), brought("call_0xx", "y")], said("z"))
    assert again not in ids


def test_of_one_session_only_the_last_states_are_kept() -> None:
    town, messages = Town(), [SYSTEM, FIRST]
    for turn in range(30):
        town.talk(messages, said(f"a{turn}"))
        messages = [*messages, said(f"a{turn}"), user(f"b{turn}")]
    kept = town.sessions._lives
    assert len(kept) == 1
    assert len(kept._chains) == len(kept._answers) == lives.STATES
    assert town.ask(messages[:8]).session.id not in kept._lives or len(kept) == 2


# ------------------------------------------------------------------------------ told by the client


def test_a_named_session_is_the_same_whatever_it_says() -> None:
    town, named = Town(), Claim("abc", "client")
    first = town.talk([SYSTEM, FIRST], said("a"), claim=named)
    assert first == session_id("k", "abc")
    assert town.talk([user("compacted")], said("b"), claim=named) == first


def test_agents_join_their_root_and_keep_their_place() -> None:
    town = Town()
    child = Claim("root/agent", "client", parents=("root",))
    visit = town.ask([FIRST], claim=child)
    assert [one.ref for one in visit.path] == ["root/agent", "root"]
    assert visit.path[0].root == visit.path[1].id == session_id("k", "root")
    assert visit.path[0].parent == visit.path[1].id
    later = town.ask([FIRST], claim=Claim("root/agent", "client"))
    assert later.path[0].parent == session_id("k", "root")  # said once, known from then on


def test_a_side_call_leaves_the_conversation_where_it_is() -> None:
    town, named = Town(), Claim("abc", "client")
    town.talk([FIRST], said("a"), claim=named)
    side = town.ask([user("A title, please.")], claim=Claim("abc", "client", kind="side"))
    turn = town.answer(side, said("A title"))
    assert (turn.kind, turn.number, turn.split.cause, turn.results) == ("side", 0, "side", ())
    visit = town.ask([FIRST, said("a"), user("b")], claim=named)
    assert visit.known is not None
    assert town.answer(visit, said("c")).number == 2


def test_what_is_no_conversation_has_no_session_unless_it_names_one() -> None:
    town = Town()
    body, facts = parse(b'{"model":"m","input":"x"}'), Facts("m", 25)
    who = Arrival("k", "unknown", "openai", Claim(), 1, repeated=False, retry=False, at=1)
    assert town.sessions.arrive(who, facts, body, None) is None
    named = Arrival("k", "unknown", "openai", Claim("abc", "header"), 1, False, False, 1)
    visit = town.sessions.arrive(named, facts, body, None)
    assert visit is not None
    assert visit.known is None
    assert visit.conduct(5).context == 0
    done = Settlement("settled", 5, usage=Usage(input=3), model="m", status=200)
    turn = visit.close(Ending(done, card(input=1), Traits(), 0, 2))
    assert turn is not None
    assert (turn.makeup, turn.checkpoint, turn.resent, turn.results) == (None, None, 0, ())


def test_a_request_too_large_to_look_at_still_has_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "LARGEST", 10)
    town = Town()
    assert town.ask([FIRST], claim=Claim("abc", "client")).known is None


# ----------------------------------------------------------------------- what is known of a request


def test_what_was_read_before_is_known_to_the_token() -> None:
    town = Town()
    visit = town.ask([SYSTEM, FIRST])
    assert visit.known is None
    town.answer(visit, said("a"), input=33)
    new = [said("a"), user("b")]
    known = town.ask([SYSTEM, FIRST, *new]).known
    assert known is not None
    assert known.tokens == 33
    assert known.new_bytes >= sum(len(json.dumps(one)) for one in new)
    assert known.new_bytes <= sum(len(json.dumps(one)) for one in new) + 12


def test_another_model_counts_in_another_way() -> None:
    town, named = Town(), Claim("abc", "client")
    town.talk([FIRST], said("a"), claim=named)
    more = [FIRST, said("a"), user("b")]
    visit = town.ask(more, claim=named, model="claude-sonnet-4-5")
    assert visit.known is None
    assert town.answer(visit, said("c")).resent > 0  # the session's own words they are all the same


@pytest.mark.parametrize(
    ("asked", "answered", "same"),
    [
        ("gpt-4o", "gpt-4o-2024-08-06", True),
        ("gpt-4o", None, True),
        ("gpt-4o", "gpt-4o", True),
        ("openrouter/auto", "anthropic/claude-sonnet-4.5", False),
        ("anthropic/claude-sonnet-4.5", "claude-sonnet-4-5-20250929", True),
        ("auto", "qwen3-max", False),
    ],
)
def test_a_name_that_stands_for_several_models_bounds_nothing(
    asked: str, answered: str | None, same: bool
) -> None:
    assert akin(asked, answered) is same


def test_pictures_are_new_only_once() -> None:
    town, named = Town(), Claim("abc", "client")
    visit = town.ask([FIRST], claim=named, media=Media(images=2, inline_bytes=100))
    town.answer(visit, said("a"))
    more = town.ask([FIRST, said("a"), user("b")], claim=named, media=Media(3, 0, 0, 150))
    assert more.known is not None
    assert more.known.media == Media(images=1, inline_bytes=50)


def test_the_words_of_another_conversation_are_no_cheaper_to_this_one_but_as_many() -> None:
    town = Town()
    town.answer(town.ask([SYSTEM, FIRST]), said("a"), input=33)
    twin = town.ask([SYSTEM, FIRST])
    assert twin.known is not None
    assert twin.known.tokens == 33
    turn = town.answer(twin, said("a"), input=33)
    assert (turn.resent, turn.number, turn.split.reread) == (0, 1, 0)
    assert turn.makeup is not None
    assert turn.makeup.system > 0
    assert turn.makeup.history == 0


# ------------------------------------------------------------------------------- after a restart


def test_a_session_goes_on_after_a_restart() -> None:
    town = Town()
    visit = town.ask([SYSTEM, FIRST])
    turn = town.answer(visit, said("a"), input=33)
    assert turn.checkpoint is not None
    reborn = Town()
    was = Recalled(visit.session, 5, 1, 1, 43, 7, True, (turn.checkpoint,))
    reborn.sessions.recall([was])
    again = reborn.ask([SYSTEM, FIRST, said("a"), user("b")])
    assert again.session.id == visit.session.id
    assert again.known is not None
    assert again.known.tokens == 33
    assert reborn.answer(again, said("c")).number == 2


def test_digests_of_another_installation_mean_nothing() -> None:
    town, other = Town(1), Town(2)
    turn = town.answer(town.ask([SYSTEM, FIRST], claim=Claim("abc", "client")), said("a"))
    assert turn.checkpoint is not None
    was = Recalled(turn.session, 5, 1, 1, 43, 7, True, (turn.checkpoint,))
    other.sessions.recall([was])
    more = [SYSTEM, FIRST, said("a"), user("b")]
    assert other.ask(more, claim=Claim("abc", "client")).known is None


# ---------------------------------------------------------------------- turns, results, behaviour


def test_a_turn_says_what_it_brought_and_what_is_gone() -> None:
    town, named = Town(), Claim("abc", "client")
    town.talk([FIRST], ran("call_1", "Read", path="a"), claim=named)
    history = [FIRST, ran("call_1", "Read", path="a"), brought("call_1", "word " * 400)]
    turn = town.answer(town.ask(history, claim=named), ran("call_2"))
    assert [(one.place, one.tool) for one in turn.results] == [(2, "Read")]
    assert turn.makeup is not None
    assert turn.results[0].tokens == turn.makeup.results > 300
    assert turn.kept == 1
    compacted = town.answer(town.ask([user("Summary.")], claim=named), said("b"))
    assert (compacted.kept, compacted.resent) == (0, 0)


def test_a_retry_is_the_turn_that_it_repeats() -> None:
    town, named = Town(), Claim("abc", "client")
    town.answer(town.ask([FIRST], claim=named), None)
    again = town.answer(town.ask([FIRST], claim=named, retry=True), said("a"))
    assert (again.number, again.split.cause) == (1, "retry")


def test_going_in_circles_is_suspected_and_shown_in_the_turn() -> None:
    town, named, messages = Town(), Claim("abc", "client"), [FIRST]
    seen = []
    for number in range(4):
        visit = town.ask(messages, claim=named)
        seen.append(visit.suspicion is not None)
        turn = town.answer(visit, ran(f"call_{number}", cmd="ls x"))
        assert (turn.split.cause == "loop") is seen[-1]
        messages += [ran(f"call_{number}", cmd="ls x"), brought(f"call_{number}", "none")]
    assert seen == [False, False, False, True]


def test_what_a_session_has_come_to_is_held_against_its_caps() -> None:
    town, named = Town(), Claim("abc", "client")
    town.talk([FIRST], said("a"), claim=named)
    town.answer(town.ask([FIRST, said("a"), user("b")], claim=named), None)
    visit = town.ask([FIRST, said("a"), user("b")], claim=named, retry=True)
    conduct = visit.conduct(town.now)
    assert (conduct.calls, conduct.turns, conduct.streak.errors) == (3, 0, 1)
    assert conduct.context > 0
    town.answer(visit, said("c"))
    assert visit.live.streak.errors == 0


def test_calls_under_way_count_for_caps_until_they_end() -> None:
    town, named = Town(), Claim("abc", "client")
    first, second = (town.ask([user(f"{n}")], claim=named) for n in range(2))
    assert [(c.calls, c.turns) for c in (one.conduct(1) for one in (first, second))] == [(2, 2)] * 2
    side = town.ask([user("A title.")], claim=Claim("abc", "client", kind="side"))
    again = town.ask([user("0")], claim=named, retry=True)
    assert (side.conduct(1).calls, side.conduct(1).turns) == (4, 0)
    second.refused()
    second.refused()  # told twice, it is gone once
    town.answer(first, None)
    town.answer(again, said("a"))
    last = town.ask([user("2")], claim=named)
    assert (last.conduct(1).calls, last.conduct(1).turns) == (4, 2)  # two are over, two are here
    town.answer(side, said("b"))
    town.answer(last, said("c"))
    assert (last.live.open_calls, last.live.open_turns) == (0, 0)


def test_the_dollars_of_a_minute_are_the_keys() -> None:
    town = Town()
    policy = KeyPolicy("k", caps=Caps(dollars_per_minute=100))
    caller: Any = type("Caller", (), {"key": "k", "policy": policy})
    assert town.sessions.barred(None, caller, 1_000) is None
    town.sessions.paid("k", 100, 1_000)
    town.sessions.paid("other", 100, 1_000)
    bar = town.sessions.barred(None, caller, 2_000)
    assert bar is not None
    assert "last minute" in bar.words
    assert town.sessions.barred(None, caller, 70_000) is None


def test_a_client_that_leaves_is_no_failure() -> None:
    town, named = Town(), Claim("abc", "client")
    visit = town.ask([FIRST], claim=named)
    done = Settlement("uncertain", 5, estimated=True, status=200, cause="client_gone")
    visit.close(Ending(done, RateCard("p", "m", {}), Traits(), 0, town.now))
    assert visit.live.streak.errors == 0
    never = town.ask([FIRST], claim=named)
    unsent = Settlement("not_sent", 0)
    assert never.close(Ending(unsent, RateCard("p", "m", {}), Traits(), 0, town.now)) is None
    assert visit.live.calls == 1


def test_whatever_happens_nothing_points_at_what_is_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lives, "MOST", 6)
    town, dice = Town(), random.Random(3)
    going: list[list[Message]] = [[SYSTEM, user(f"{n % 5}")] for n in range(12)]
    waiting: list[tuple[int, Visit]] = []
    for step in range(3_000):
        number = dice.randrange(len(going))
        what = dice.random()
        if what < 0.5:
            failed = dice.random() < 0.2
            waiting.append((number, town.ask(going[number], repeated=failed)))
        elif waiting:
            number, visit = waiting.pop(dice.randrange(len(waiting)))
            reply = dice.choice([ran(f"call_{dice.randrange(40)}"), said("yes"), None])
            if what < 0.6:
                visit.refused()
            else:
                town.answer(visit, reply)
            if reply is not None:
                going[number] = [*going[number][-9:], reply, user(f"go {dice.randrange(3)}")]
        known = town.sessions._lives
        if step % 50:
            continue
        for index, of in ((known._chains, "chain"), (known._answers, "answer")):
            for (key, place), ids in index.items():
                for at in ids:
                    live = known._lives[at]
                    assert live.session.key == key
                    assert place in {getattr(state, of) for state in live.states}
        filed: dict[tuple[str, int], dict[Span, int]] = {}
        for live in known._lives.values():
            for span in live.spans:
                bucket = filed.setdefault((live.session.key, live.start), {})
                bucket[span] = bucket.get(span, 0) + 1
        assert known._starts == filed
    assert len(town.sessions._lives) == 6


# --------------------------------------------------------------------------------------- prefaces


def test_a_first_call_is_bounded_by_the_least_that_was_read_with_its_preface() -> None:
    town = Town()
    system = {"role": "system", "content": "You are an agent. " * 100}
    tools = [{"type": "function", "function": {"name": "Read"}}]
    for text, tokens in (("one", 480), ("a much longer task", 470), ("three", 490)):
        first = town.ask([system, user(text)], tools=tools)
        town.answer(first, said(text), input=tokens)
    new = town.ask([system, user("something else")], tools=tools)
    assert new.known is not None
    assert new.known.tokens == 470
    assert 40 <= new.known.new_bytes <= 120  # the words of the user, and the JSON around the rest
    # after a compaction the same holds
    named = Claim("abc", "client")
    town.talk([system, user("x"), said("y"), user("z")], said("w"), claim=named, tools=tools)
    compacted = town.ask([system, user("In short: " + "x" * 500)], claim=named, tools=tools)
    assert compacted.known is not None
    assert compacted.known.tokens <= 470
    assert 500 <= compacted.known.new_bytes <= 620


@pytest.mark.parametrize(
    "other",
    [
        {"tools": [{"type": "function", "function": {"name": "Write"}}]},
        {"model": "gpt-4o-mini"},
        {"response_format": {"type": "json_object"}},
        {"key": "other"},
        {"messages": [{"role": "system", "content": "You are another agent."}, user("two")]},
        {"messages": [user("two")]},
    ],
)
def test_another_preface_is_another_matter(other: dict[str, Any]) -> None:
    town = Town()
    tools = [{"type": "function", "function": {"name": "Read"}}]
    town.answer(town.ask([SYSTEM, FIRST], tools=tools), said("a"), input=40)
    same: dict[str, Any] = {"messages": [SYSTEM, user("two")], "tools": tools}
    assert town.ask(**same).known is not None
    assert town.ask(**(same | other)).known is None


def test_pictures_after_a_preface_are_all_new() -> None:
    town = Town()
    town.answer(town.ask([SYSTEM, FIRST], media=Media(images=2)), said("a"), input=40)
    known = town.ask([SYSTEM, user("two")], media=Media(images=1, inline_bytes=10)).known
    assert known is not None
    assert known.media == Media(images=1, inline_bytes=10)


def test_prefaces_are_not_kept_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefaces, "MOST", 5)
    town = Town()
    for number in range(20):
        town.talk([{"role": "system", "content": f"{number}"}, FIRST], said("a"))
    assert len(town.sessions._lives.prefaces._least) == 5
