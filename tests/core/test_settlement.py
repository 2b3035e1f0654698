"""What an attempt cost, for every ending there is: figures by hand, and what must hold of all of them.

The hold: an input bound of 1,000 tokens at 10 each, up to 100 tokens of output at 50 each.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from budgetd.core.budgets import Quote
from budgetd.core.estimate import MOST_HOLD, Estimate
from budgetd.core.prices import RateCard, price
from budgetd.core.settlement import (
    ABOVE_HOLD,
    IN_FLIGHT_TOKENS,
    Held,
    Seen,
    Settlement,
    settlement,
)
from budgetd.core.usage import BUCKETS, Reported, Usage

RATES = {
    **dict.fromkeys(BUCKETS, 0),
    "input": 10,
    "cache_read": 1,
    "output": 50,
    "reasoning": 50,
    "output_audio": 90,
    "output_image": 70,
    "web_searches": 1_000,
}
CARD = RateCard("p", "m", RATES)
CHEAP = RateCard("p", "cheap", {**RATES, "input": 2, "output": 4, "reasoning": 4})
DEAR = RateCard("p", "dear", {name: 4 * rate for name, rate in RATES.items()})

INPUT, ALL = 10_000, 15_000  # the input's bound, and the whole hold, in pico-dollars
ESTIMATE = Estimate(
    Quote(INPUT, 50, 100, 4),
    1_000,
    answers=1,
    card=CARD,
    hidden_output=False,
    input_grows=False,
    media_output=False,
)
PLAIN = Held(ESTIMATE, ALL, 100)
HIDDEN = Held(replace(ESTIMATE, hidden_output=True), ALL, 100)
GROWING = Held(replace(ESTIMATE, input_grows=True), ALL, 100)
ROOMY = Held(replace(ESTIMATE, quote=Quote(INPUT, 50, 10_000, 4)), INPUT + 500_000, 10_000)
IN_FLIGHT = IN_FLIGHT_TOKENS * 50

TOLD = Reported(Usage(input=600, output=40), "m")  # 6,000 + 2,000
BEGUN = Reported(Usage(input=600, output=1), "m")  # what a stream's first event says: 6,000 + 50

STREAM = Seen(sent=True, status=200, streamed=True)
WHOLE = Seen(sent=True, status=200)
CUT = replace(STREAM, cause="upstream_cut")


# --------------------------------------------------------------------------- M5, M6: ending by ending


@pytest.mark.parametrize(
    ("held", "seen", "state", "cost", "cause"),
    [
        pytest.param(PLAIN, Seen(sent=False), "not_sent", 0, None, id="never sent"),
        pytest.param(
            PLAIN,
            Seen(sent=False, cause="upstream_unreachable"),
            "not_sent",
            0,
            "upstream_unreachable",
            id="no connection",
        ),
        # ------------------------------------------------------------ ended properly, with usage
        pytest.param(
            PLAIN,
            replace(STREAM, terminal=True, reported=TOLD),
            "settled",
            8_000,
            None,
            id="stream",
        ),
        pytest.param(
            PLAIN, replace(WHOLE, terminal=True, reported=TOLD), "settled", 8_000, None, id="whole"
        ),
        pytest.param(
            HIDDEN,
            replace(STREAM, terminal=True, reported=TOLD),
            "settled",
            8_000,
            None,
            id="with reasoning, which is in the usage",
        ),
        pytest.param(
            PLAIN,
            replace(STREAM, terminal=True, reported=replace(TOLD, cost=123)),
            "settled",
            123,
            None,
            id="the provider's own figure comes first",
        ),
        pytest.param(
            PLAIN,
            replace(WHOLE, terminal=True, reported=Reported(Usage(), cost=0)),
            "settled",
            0,
            None,
            id="the provider says it is free",
        ),
        pytest.param(
            PLAIN,
            replace(WHOLE, terminal=True, reported=Reported(Usage(cache_read=600))),
            "settled",
            600,
            None,
            id="all of it from the cache",
        ),
        pytest.param(
            PLAIN,
            replace(WHOLE, terminal=True, reported=Reported(Usage(input=1_500, output=1))),
            "settled",
            15_050,
            ABOVE_HOLD,
            id="more than was held, and it says so",
        ),
        pytest.param(
            PLAIN,
            replace(WHOLE, terminal=True, reported=Reported(Usage(input=1_500))),
            "settled",
            15_000,
            None,
            id="exactly what was held",
        ),
        # ---------------------------------------------------------- ended properly, without usage
        pytest.param(
            PLAIN,
            replace(STREAM, terminal=True, visible_bytes=61),
            "uncertain",
            INPUT + 31 * 50,  # half a token a byte, rounded up
            "no_usage",
            id="stream without usage",
        ),
        pytest.param(
            PLAIN,
            replace(WHOLE, terminal=True, visible_bytes=60),
            "uncertain",
            INPUT + 30 * 50,
            "no_usage",
            id="whole without usage",
        ),
        pytest.param(
            PLAIN,
            replace(STREAM, terminal=True, visible_bytes=10_000),
            "uncertain",
            ALL,
            "no_usage",
            id="at most the output bound",
        ),
        pytest.param(
            HIDDEN,
            replace(STREAM, terminal=True, visible_bytes=61),
            "uncertain",
            ALL,
            "no_usage",
            id="hidden reasoning without usage",
        ),
        pytest.param(
            PLAIN,
            replace(WHOLE, terminal=True, visible_bytes=60, reported=Reported(Usage(), "m")),
            "uncertain",
            INPUT + 30 * 50,
            "no_usage",
            id="usage of nothing but zeros",
        ),
        pytest.param(
            PLAIN,
            replace(STREAM, terminal=True, visible_bytes=60, reported=Reported(Usage(output=90))),
            "uncertain",
            INPUT + 30 * 50,
            "no_usage",
            id="usage without input",
        ),
        pytest.param(
            PLAIN,
            replace(STREAM, terminal=True, reported=Reported(Usage(output=2_000))),
            "uncertain",
            100_000,
            "no_usage",
            id="usage without input, and more output than was held",
        ),
        # ------------------------------------------------------------------------------- cut off
        pytest.param(
            ROOMY,
            replace(CUT, visible_bytes=60),
            "uncertain",
            INPUT + 30 * 50 + IN_FLIGHT,
            "upstream_cut",
            id="cut, nothing known",
        ),
        pytest.param(
            ROOMY,
            replace(CUT, visible_bytes=60, reported=BEGUN),
            "uncertain",
            6_050 + 29 * 50 + IN_FLIGHT,  # one of the 30 tokens is in the report
            "upstream_cut",
            id="cut, input known",
        ),
        pytest.param(
            ROOMY,
            replace(CUT, visible_bytes=0, reported=Reported(Usage(input=600, output=400))),
            "uncertain",
            6_000 + 20_000,
            "upstream_cut",
            id="cut after the usage: nothing is missing from it",
        ),
        pytest.param(
            ROOMY,
            replace(CUT, reported=Reported(Usage(), "m")),
            "uncertain",
            INPUT + IN_FLIGHT,
            "upstream_cut",
            id="cut, and the first event knew only zeros",
        ),
        pytest.param(
            ROOMY,
            replace(CUT, reported=Reported(Usage(input=600, output=400), cost=777)),
            "uncertain",
            777,
            "upstream_cut",
            id="cut after the provider's own figure",
        ),
        pytest.param(
            PLAIN,
            replace(CUT, visible_bytes=10_000, reported=BEGUN),
            "uncertain",
            6_050 + 99 * 50,
            "upstream_cut",
            id="cut, at most the output bound",
        ),
        pytest.param(
            Held(
                replace(ESTIMATE, quote=Quote(INPUT, 150, 100, 4), answers=3), INPUT + 15_000, 100
            ),
            replace(CUT, visible_bytes=10_000),
            "uncertain",
            INPUT + 15_000,
            "upstream_cut",
            id="cut, at most the output bound of every answer",
        ),
        pytest.param(
            HIDDEN,
            replace(CUT, reported=BEGUN),
            "uncertain",
            ALL,
            "upstream_cut",
            id="cut while it was thinking",
        ),
        pytest.param(
            HIDDEN,
            replace(CUT, reported=Reported(Usage(input=600, output=400))),
            "uncertain",
            26_000,
            "upstream_cut",
            id="cut, but it had already told of more",
        ),
        pytest.param(
            PLAIN, replace(CUT, blind=True), "uncertain", ALL, "upstream_cut", id="cut, unreadable"
        ),
        pytest.param(
            Held(replace(GROWING.estimate, quote=ROOMY.estimate.quote), ROOMY.hold, 10_000),
            replace(CUT, visible_bytes=60, reported=BEGUN),
            "uncertain",
            INPUT + 30 * 50 + IN_FLIGHT,
            "upstream_cut",
            id="cut in a search: the first input is not the last",
        ),
        pytest.param(
            GROWING,
            replace(CUT, reported=Reported(Usage(input=5_000))),
            "uncertain",
            50_000,
            "upstream_cut",
            id="cut in a search that had already told of more",
        ),
        pytest.param(
            PLAIN,
            replace(WHOLE, cause="upstream_cut", visible_bytes=10),
            "uncertain",
            ALL,
            "upstream_cut",
            id="half of a whole answer: it was generated whole",
        ),
        pytest.param(
            ROOMY,
            replace(STREAM, cause="client_gone", visible_bytes=2),
            "uncertain",
            INPUT + 50 + IN_FLIGHT,
            "client_gone",
            id="the client left",
        ),
        # ------------------------------------------------------------------------- errors, silence
        *(
            pytest.param(PLAIN, Seen(sent=True, status=n), "known_zero", 0, None, id=f"{n}")
            for n in (301, 400, 401, 402, 403, 404, 408, 413, 422, 429, 499, 503, 529)
        ),
        *(
            pytest.param(
                PLAIN, Seen(sent=True, status=n), "uncertain", INPUT, "server_error", id=f"{n}"
            )
            for n in (500, 501, 502, 504, 520, 524, 530, 598)
        ),
        pytest.param(
            HIDDEN,
            Seen(sent=True, status=500, cause="upstream_cut"),
            "uncertain",
            INPUT,
            "upstream_cut",
            id="500, and its body was cut",
        ),
        pytest.param(
            ROOMY,
            Seen(sent=True, streamed=True, cause="upstream_unreachable"),
            "uncertain",
            INPUT + IN_FLIGHT,
            "upstream_unreachable",
            id="a stream that never began",
        ),
        pytest.param(
            PLAIN,
            Seen(sent=True, cause="upstream_unreachable"),
            "uncertain",
            ALL,
            "upstream_unreachable",
            id="a whole answer that never came",
        ),
        # ------------------------------------------------------------------- reports beyond belief
        pytest.param(
            PLAIN,
            replace(WHOLE, terminal=True, reported=replace(TOLD, cost=-5)),
            "uncertain",
            INPUT,
            "no_usage",
            id="a negative cost",
        ),
        pytest.param(
            PLAIN,
            replace(WHOLE, terminal=True, reported=replace(TOLD, cost=MOST_HOLD + 1)),
            "uncertain",
            INPUT,
            "no_usage",
            id="a cost that no row holds",
        ),
        pytest.param(
            PLAIN,
            replace(WHOLE, terminal=True, reported=Reported(Usage(input=2**70), cost=1)),
            "uncertain",
            INPUT,
            "no_usage",
            id="a count that no row holds",
        ),
    ],
)
def test_endings(held: Held, seen: Seen, state: str, cost: int, cause: str | None) -> None:
    done = settlement(held, seen, CARD)
    assert (done.state, done.cost, done.cause) == (state, cost, cause)
    assert done.estimated == (state == "uncertain")
    assert done.status == seen.status


def test_a_settlement_keeps_what_was_reported_and_the_card_it_is_priced_at() -> None:
    told = Reported(Usage(input=600, output=40), "m-2026")
    done = settlement(PLAIN, replace(STREAM, terminal=True, reported=told), CHEAP)
    assert done == Settlement("settled", 1_360, False, CHEAP, told.usage, "m-2026", 200)
    cut = settlement(PLAIN, replace(CUT, reported=told), CHEAP)
    assert (cut.card, cut.usage, cut.model) == (CHEAP, told.usage, "m-2026")


def test_unseen_output_is_priced_at_the_card_of_the_model_that_answers() -> None:
    # 600 x 2 + 1 x 4 are reported, 29 more seen, 256 may be on their way.
    seen = replace(CUT, visible_bytes=60, reported=BEGUN)
    assert settlement(ROOMY, seen, CHEAP).cost == 1_204 + (29 + 256) * 4


def test_an_answer_that_may_hold_sound_is_estimated_as_sound() -> None:
    spoken = Held(replace(ROOMY.estimate, media_output=True), ROOMY.hold, 10_000)
    seen = replace(CUT, visible_bytes=60, reported=BEGUN)
    assert settlement(spoken, seen, CARD).cost == 6_050 + (29 + 256) * 90


def test_a_stand_in_price_makes_a_settlement_an_estimate_unless_the_provider_says_the_cost() -> (
    None
):
    stand_in = replace(CARD, estimated=True)
    ended = replace(STREAM, terminal=True, reported=TOLD)
    done = settlement(PLAIN, ended, stand_in)
    assert (done.state, done.estimated) == ("settled", True)
    stated = replace(ended, reported=replace(TOLD, cost=7))
    assert not settlement(PLAIN, stated, stand_in).estimated


def test_a_stated_nothing_is_not_believed_of_a_model_that_has_a_price() -> None:
    ended = replace(STREAM, terminal=True, reported=replace(TOLD, cost=0))
    listed = settlement(PLAIN, replace(ended, reported=TOLD), CARD)
    done = settlement(PLAIN, ended, CARD)
    assert listed.cost > 0
    assert (done.state, done.cost, done.estimated) == ("settled", listed.cost, True)
    free = replace(CARD, rates=dict.fromkeys(BUCKETS, 0), tiers=(), per_request=0)
    gratis = settlement(PLAIN, ended, free)
    assert (gratis.state, gratis.cost, gratis.estimated) == ("settled", 0, False)


# ------------------------------------------------------------------------------------- of every ending


@st.composite
def holds(draw: st.DrawFn) -> Held:
    bound, answers = draw(st.integers(0, 300)), draw(st.integers(1, 3))
    quote = Quote(draw(st.integers(1, 3_000)) * 10, 50 * answers, bound, min(bound, 4))
    guess = Estimate(
        quote,
        quote.fixed // 10,
        answers,
        CARD,
        hidden_output=draw(st.booleans()),
        input_grows=draw(st.booleans()),
        media_output=False,
    )
    return Held(guess, quote.hold(bound), bound)


@st.composite
def endings(draw: st.DrawFn) -> Seen:
    counts = st.integers(0, 400)
    usage = Usage(input=draw(counts), cache_read=draw(counts), output=draw(counts))
    stated = draw(st.none() | st.integers(0, 50_000))
    return Seen(
        sent=True,
        status=draw(st.sampled_from([None, 200, 200, 200, 400, 429, 500, 503])),
        streamed=draw(st.booleans()),
        terminal=draw(st.booleans()),
        reported=draw(st.none() | st.just(Reported(usage, "m", cost=stated))),
        visible_bytes=draw(st.integers(0, 2_000)),
        cause=draw(st.sampled_from([None, "client_gone"])),
        blind=draw(st.booleans()),
    )


@given(holds(), endings(), st.sampled_from([CARD, CHEAP, DEAR]))
def test_it_is_never_less_than_what_was_reported(held: Held, seen: Seen, card: RateCard) -> None:
    done = settlement(held, seen, card)
    told = seen.reported
    if told is not None and (seen.status is None or seen.status < 300):
        worth = told.cost if told.cost is not None else price(card, told.usage)
        assert done.cost >= worth


@given(holds(), endings(), st.sampled_from([CARD, CHEAP, DEAR]))
def test_what_is_uncertain_is_charged_and_flagged(held: Held, seen: Seen, card: RateCard) -> None:
    done = settlement(held, seen, card)
    if done.state == "uncertain":
        assert done.estimated
        assert done.cause
        stated_free = seen.reported is not None and seen.reported.cost == 0
        assert done.cost > 0 or (stated_free and seen.status in {None, 200})
    elif done.state == "known_zero":
        assert done.cost == 0
        assert seen.status is not None
        assert seen.status >= 300


@given(holds(), endings())
def test_only_a_report_can_put_it_above_the_hold(held: Held, seen: Seen) -> None:
    done = settlement(held, replace(seen, reported=None), CARD)
    assert done.cost <= held.hold
    within = replace(
        seen, reported=Reported(Usage(input=held.estimate.input, output=min(3, held.output)), "m")
    )
    done = settlement(held, within, CARD)
    assert done.cost <= held.hold
    assert done.cause != ABOVE_HOLD


@given(holds(), endings())
def test_more_seen_never_costs_less(held: Held, seen: Seen) -> None:
    more = replace(seen, visible_bytes=seen.visible_bytes + 100)
    assert settlement(held, more, CARD).cost >= settlement(held, seen, CARD).cost
    broken, whole = replace(seen, terminal=False), replace(seen, terminal=True)
    if seen.reported is None:
        assert settlement(held, broken, CARD).cost >= settlement(held, whole, CARD).cost
