"""What a call may cost at most: by hand, and against what a byte-level tokenizer could ever count.

Rates are small whole numbers, so that every figure can be followed with a pencil.
"""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from budgetd.core.estimate import MOST_HOLD, Estimate, Facts, Known, Media, estimate, input_bound
from budgetd.core.policy import Estimation
from budgetd.core.prices import RateCard, Tier, price
from budgetd.core.usage import BUCKETS, Traits, Usage

RATES = {
    **dict.fromkeys(BUCKETS, 0),
    "input": 10,
    "cache_read": 1,
    "cache_write_5m": 12,
    "cache_write_1h": 20,
    "output": 50,
    "reasoning": 50,
    "input_audio": 30,
    "output_audio": 90,
    "input_image": 15,
    "output_image": 70,
    "web_searches": 1_000,
}
CARD = RateCard("p", "m", RATES)
LONG = {name: 2 * rate for name, rate in RATES.items()}
TIERED = replace(CARD, tiers=(Tier(200, LONG),))
ALLOW = Estimation()
SMALL = Estimation(
    image_tokens=7,
    document_tokens=70,
    audio_tokens=5,
    search_tokens=11,
    output_unknown=40,
    output_floor=4,
)


def bounds(
    facts: Facts,
    card: RateCard = CARD,
    allow: Estimation = SMALL,
    *,
    model_output: int | None = None,
    hides_output: bool = False,
) -> Estimate:
    return estimate(facts, card, allow, model_output=model_output, hides_output=hides_output)


# ------------------------------------------------------------------------------------------- the input


@pytest.mark.parametrize(
    ("facts", "tokens"),
    [
        (Facts("m", 100), 100),
        (Facts("m", 100, overhead=64), 164),
        # Base64 text is not words: each item has its allowance instead.
        (Facts("m", 5_000, media=Media(images=2, inline_bytes=4_900)), 100 + 2 * 7),
        (Facts("m", 5_000, media=Media(documents=1, inline_bytes=4_900)), 100 + 70),
        (Facts("m", 5_000, media=Media(audio=3, inline_bytes=4_900)), 100 + 3 * 5),
        # Searches put text into the input, and it is read again in each round.
        (Facts("m", 100, searches=2, rounds=3), (100 + 2 * 11) * 3),
        (Facts("m", 100, rounds=2), 200),
        # More base64 than body cannot be; if it were said, it would not lower the rest.
        (Facts("m", 10, overhead=64, media=Media(images=1, inline_bytes=500)), 64 + 7),
    ],
)
def test_the_input_bound(facts: Facts, tokens: int) -> None:
    assert input_bound(facts, SMALL) == tokens
    assert bounds(facts).input == tokens


@pytest.mark.parametrize(
    ("facts", "known", "tokens"),
    [
        (Facts("m", 9_000, overhead=64), Known(2_000, 0), 2_000),
        (Facts("m", 9_000, overhead=64), Known(2_000, 500), 2_500),
        # A report goes before the bytes, even if it is more: not all that is read is in them.
        (Facts("m", 100), Known(2_000, 50), 2_050),
        # What is new may be media, whose base64 text is among the new bytes.
        (
            Facts("m", 9_000, media=Media(images=3, inline_bytes=7_000)),
            Known(2_000, 500, Media(images=1, inline_bytes=450)),
            2_000 + 50 + 7,
        ),
        (
            Facts("m", 9_000, media=Media(documents=2, audio=2, inline_bytes=7_000)),
            Known(2_000, 500, Media(documents=1, audio=2, inline_bytes=450)),
            2_000 + 50 + 70 + 2 * 5,
        ),
        # Searches add to it, and it is read again in each round; so may what was reported have been.
        (Facts("m", 9_000, searches=2, rounds=3), Known(2_000, 500), (2_500 + 2 * 11) * 3),
        (Facts("m", 9_000, rounds=3), Known(8_000, 999), 8_999 * 3),
        (Facts("m", 9_000, rounds=3), Known(20_000, 500), 9_000 * 3),
        (Facts("m", 9_000, overhead=64, rounds=3), Known(20_000, 500), 9_064 * 3),
    ],
)
def test_the_input_bound_where_the_beginning_was_read_before(
    facts: Facts, known: Known, tokens: int
) -> None:
    assert input_bound(facts, SMALL, known) == tokens
    guess = estimate(facts, CARD, SMALL, model_output=None, hides_output=False, known=known)
    assert guess.input == tokens
    assert guess.quote.fixed >= 10 * tokens


def test_the_tier_is_that_of_what_was_read() -> None:
    """Not that of the bytes, which are several for a token."""
    facts = Facts("m", 900)
    known = estimate(
        facts, TIERED, SMALL, model_output=None, hides_output=False, known=Known(150, 50)
    )
    assert (known.quote.fixed, bounds(facts, TIERED).quote.fixed) == (2_000, 18_000)


def test_media_that_a_longer_request_adds() -> None:
    earlier = Media(images=1, documents=2, audio=3, inline_bytes=400)
    later = Media(images=3, documents=3, audio=3, inline_bytes=1_000)
    assert later.since(earlier) == Media(images=2, documents=1, audio=0, inline_bytes=600)
    assert later.since(Media()) == later
    assert earlier.since(later) == Media()  # what is gone is not owed back


plain_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


@given(st.lists(plain_text, max_size=6), st.booleans())
def test_no_byte_level_tokenizer_counts_more_than_the_bytes(
    texts: list[str], ascii_only: bool
) -> None:
    """At worst one token a byte, four around each message and three at the end: what chat templates
    add. `overhead` is the dialect's allowance for requests too short to make up for the last three.
    """
    messages = [{"role": "user", "content": text} for text in texts]
    body = json.dumps(
        {"model": "m", "messages": messages}, ensure_ascii=ascii_only, separators=(",", ":")
    )
    truth = sum(len("user") + len(text.encode()) + 4 for text in texts) + 3
    assert truth <= input_bound(Facts("m", len(body.encode()), overhead=3), ALLOW)


@given(st.lists(st.integers(0, 200_000), min_size=1, max_size=50))
def test_token_ids_in_place_of_text_are_bounded_too(ids: list[int]) -> None:
    body = json.dumps({"input": ids}, separators=(",", ":"))
    assert len(ids) <= input_bound(Facts("m", len(body), bounded_output=False), ALLOW)


# ------------------------------------------------------------------------------------------- the quote


def test_input_at_its_dearest_bucket_and_each_output_token() -> None:
    guess = bounds(Facts("m", 100, output=30))
    assert guess.quote.fixed == 100 * 10
    assert (guess.quote.per_output, guess.quote.output, guess.quote.least) == (50, 30, 4)
    assert bounds(Facts("m", 100, output=30, cache_writes="5m")).quote.fixed == 1_200
    assert bounds(Facts("m", 100, output=30, cache_writes="1h")).quote.fixed == 2_000
    unasked = replace(CARD, unasked_writes=True)
    assert bounds(Facts("m", 100, output=30), unasked).quote.fixed == 1_200


def test_every_answer_is_paid_for() -> None:
    guess = bounds(Facts("m", 100, output=30, answers=3))
    assert (guess.quote.per_output, guess.answers) == (150, 3)
    assert guess.quote.hold(30) == 1_000 + 3 * 30 * 50


def test_over_a_tier_the_whole_request_is_dearer() -> None:
    below, above = bounds(Facts("m", 200), TIERED), bounds(Facts("m", 201), TIERED)
    assert (below.quote.fixed, below.quote.per_output) == (2_000, 50)
    assert (above.quote.fixed, above.quote.per_output) == (4_020, 100)


def test_sound_and_pictures_have_rates_of_their_own() -> None:
    heard = bounds(Facts("m", 100, output=9, media=Media(audio=1)))
    assert (heard.quote.fixed, heard.quote.per_output) == ((100 + 5) * 30, 90)
    shown = bounds(Facts("m", 100, output=9, media=Media(images=1)))
    assert (shown.quote.fixed, shown.quote.per_output) == ((100 + 7) * 15, 50)
    # An answer may hold what the request does not.
    spoken = bounds(Facts("m", 100, output=9, media_output=True))
    assert (spoken.quote.fixed, spoken.quote.per_output) == (1_000, 90)
    painter = replace(CARD, rates={**RATES, "output_audio": 0})
    assert bounds(Facts("m", 100, media_output=True), painter).quote.per_output == 70


def test_fees_and_output_outside_the_bound() -> None:
    card = replace(CARD, per_request=77)
    guess = bounds(Facts("m", 100, output=9, searches=2, extra_output=6), card)
    # (100 + 2 x 11) x 10 for the input, 2 searches, 6 tokens beside the bound, and the request itself.
    assert guess.quote.fixed == 1_220 + 2_000 + 6 * 50 + 77


def test_a_place_that_costs_more() -> None:
    card = replace(CARD, geo={"us": (11, 10), "moon": (3, 2)})
    here = bounds(Facts("m", 100, output=9, traits=Traits(geo="us")), card)
    assert (here.quote.fixed, here.quote.per_output) == (1_100, 55)
    unlisted = bounds(Facts("m", 100, output=9, traits=Traits(geo="mars")), card)
    assert (unlisted.quote.fixed, unlisted.quote.per_output) == (1_500, 75)


@pytest.mark.parametrize(
    ("facts", "model_output", "output", "least"),
    [
        (Facts("m", 1), 64, 64, 4),  # injected: what the model can do
        (Facts("m", 1), None, 40, 4),  # or what is usual
        (Facts("m", 1), 0, 40, 4),  # a table that says 0 says nothing
        (Facts("m", 1), 3, 3, 3),
        (Facts("m", 1, output=30), 64, 30, 4),  # stated: as it is
        (Facts("m", 1, output=99), 64, 99, 4),
        (Facts("m", 1, output=3), 64, 3, 3),  # below the floor: cannot be lowered at all
        (Facts("m", 1, output=0), 64, 0, 0),
        (Facts("m", 1, output=30, least_output=21), 64, 30, 21),  # never below the thinking budget
        (Facts("m", 1, output=20, least_output=21), 64, 20, 20),  # the provider will say no
        (Facts("m", 1, least_output=50), None, 90, 50),  # thinking, and room for an answer
        (Facts("m", 1, least_output=50), 20, 20, 20),
    ],
)
def test_the_output_bound(facts: Facts, model_output: int | None, output: int, least: int) -> None:
    quote = bounds(facts, model_output=model_output).quote
    assert (quote.output, quote.least) == (output, least)


def test_what_has_no_output_has_no_bound() -> None:
    guess = bounds(Facts("m", 100, bounded_output=False), model_output=64, hides_output=True)
    assert (guess.quote.fixed, guess.quote.per_output, guess.quote.output) == (1_000, 0, 0)
    assert not guess.hidden_output


def test_what_is_hidden_and_what_grows() -> None:
    assert not bounds(Facts("m", 1)).hidden_output
    assert bounds(Facts("m", 1, hidden_output=True)).hidden_output
    assert bounds(Facts("m", 1), hides_output=True).hidden_output
    assert not bounds(Facts("m", 1)).input_grows
    assert bounds(Facts("m", 1, searches=1)).input_grows
    assert bounds(Facts("m", 1, rounds=2)).input_grows


def test_a_request_that_no_row_could_hold_is_not_countable() -> None:
    assert bounds(Facts("m", 100, output=30)).countable
    # A bound out of all reason is lowered to what can be counted.
    wild = bounds(Facts("m", 100, output=2**53 - 1))
    assert wild.countable
    assert MOST_HOLD - 50 < wild.quote.hold(wild.quote.output) <= MOST_HOLD
    assert not bounds(Facts("m", 100, output=30, answers=2**53 - 1)).countable
    assert not bounds(Facts("m", 100, searches=2**40, rounds=2**40)).countable
    free = replace(CARD, rates=dict.fromkeys(BUCKETS, 0))
    assert bounds(Facts("m", 100, output=2**53 - 1), free).quote.output == 2**53 - 1
    assert not bounds(Facts("m", 100, searches=2**40, rounds=2**40), free).countable


# --------------------------------------------------------------------------------- of any request


@given(
    st.integers(0, 600),
    st.integers(0, 99),
    st.integers(0, 30),
    st.sampled_from(["none", "5m", "1h"]),
    st.sampled_from([None, "us", "mars"]),
    st.data(),
)
def test_no_usage_within_the_bounds_costs_more_than_the_hold(
    read: int, output: int, rest: int, writes: str, geo: str | None, data: st.DataObject
) -> None:
    """Whatever way the input falls into buckets, and over whichever tier it lies."""
    card = replace(TIERED, geo={"us": (11, 10), "eu": (13, 10)}, per_request=7)
    traits = Traits(geo=geo)
    facts = Facts("m", read + rest, output=output, cache_writes=writes, traits=traits)  # type: ignore[arg-type]  # one of the literals
    quote = bounds(facts, card).quote

    def share(of: int) -> int:
        return data.draw(st.integers(0, of))

    cached = share(read)
    five = share(read - cached) if writes != "none" else 0
    hour = share(read - cached - five) if writes == "1h" else 0
    reasoning = share(output)
    usage = Usage(
        input=read - cached - five - hour,
        cache_read=cached,
        cache_write_5m=five,
        cache_write_1h=hour,
        output=output - reasoning,
        reasoning=reasoning,
    )
    assert price(card, usage, traits) <= quote.hold(quote.output)
    assert 0 <= quote.least <= quote.output
