"""The one decision about money: figures by hand, and what must hold of every quote and balance."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from budgetd.core.budgets import (
    GENEROUS_OUTPUT,
    Admit,
    Balance,
    Budget,
    Busy,
    Quote,
    Refuse,
    decide,
    latest_reset,
)
from budgetd.core.windows import Fixed, Span, Total

FIVE_HOURS = Fixed(18_000_000)
SPAN = Span(0, 18_000_000)


def balance(limit: int, *, settled: int = 0, held: int = 0, **of_budget: object) -> Balance:
    budget = Budget("5h", "key:a", limit, FIVE_HOURS)
    return Balance(replace(budget, **of_budget), SPAN, settled, held)  # type: ignore[arg-type]  # fields by name


def test_a_budget_counts_the_models_that_its_patterns_match_as_they_are_written() -> None:
    budget = Budget("b", "key:a", 1, FIVE_HOURS, models=("claude-opus-*", "gpt-5"))
    assert all(map(budget.counts_model, ("claude-opus-4-5", "gpt-5")))
    for other in ("gpt-5-mini", "Claude-opus-4-5", "anthropic/claude-opus-4-5", "claude-opus", ""):
        assert not budget.counts_model(other)
    assert replace(budget, models=()).counts_model("anything")


# ------------------------------------------------------------------------------------ figures by hand


def test_a_call_that_fits_holds_its_worst_case() -> None:
    # 100 for the input and 10 for each of 50 tokens: 600.
    assert decide(Quote(100, 10, 50, 5), (balance(1000),)) == Admit(600, 50)


def test_without_budgets_everything_fits() -> None:
    assert decide(Quote(100, 10, 50, 5), ()) == Admit(600, 50)


def test_a_wide_bound_is_lowered_to_what_is_unspent() -> None:
    # 1000 - 300 spent - 100 for the input leaves 600: 60 tokens of 10. The 61st would not fit.
    assert decide(Quote(100, 10, 5000, 5), (balance(1000, settled=300),)) == Admit(700, 60)


def test_a_very_wide_bound_takes_half_of_what_is_free_so_that_the_next_one_finds_room() -> None:
    asked = Quote(10_000, 10, 128_000, 1024)
    held, bounds = 0, []
    while isinstance(found := decide(asked, (balance(1_000_000, held=held),)), Admit):
        held += found.hold
        bounds.append(found.output)
    # Half of 1,000,000 less 10,000 of input is 49,000 tokens; then half of the 500,000 left; then
    # a generous answer, 16,384 tokens, for 173,840; for a fourth call 76,160 would be left.
    assert bounds == [49_000, 24_000, 16_384]
    assert isinstance(found, Busy)


def test_a_bound_that_needs_less_than_half_is_left_alone() -> None:
    plenty = balance(3_000_000)
    assert decide(Quote(10_000, 10, 128_000, 1024), (plenty,)) == Admit(1_290_000, 128_000)


def test_what_a_call_cannot_do_without_is_not_halved() -> None:
    # A thinking budget of 60,000 tokens: 610,000 of 1,000,000.
    found = decide(Quote(10_000, 10, 128_000, 60_001), (balance(1_000_000),))
    assert found == Admit(610_010, 60_001)


def test_the_tightest_of_several_budgets_lowers_it() -> None:
    found = decide(Quote(100, 10, 5000, 5), (balance(1000), balance(455), balance(700)))
    assert found == Admit(450, 35)  # (455 - 100) // 10


def test_money_that_is_held_makes_it_busy_and_is_not_bargained_with() -> None:
    tight, roomy = balance(1000, held=500), balance(10_000)
    assert decide(Quote(100, 10, 50, 5), (roomy, tight)) == Busy((tight,))
    assert decide(Quote(100, 10, 40, 5), (roomy, tight)) == Admit(500, 40)


def test_money_that_is_spent_refuses() -> None:
    over = balance(1000, settled=851)  # 149 left, and 100 + 5 x 10 is the least
    assert decide(Quote(100, 10, 50, 5), (over,)) == Refuse((over,), 150, SPAN.end)
    assert isinstance(decide(Quote(100, 10, 50, 5), (balance(1000, settled=850),)), Admit)


def test_two_violated_budgets_are_both_named_with_the_later_reset() -> None:
    short = balance(10)
    long = replace(balance(20, name="month"), span=Span(0, 99_000_000))
    fine = replace(balance(10_000, name="week"), span=Span(0, 999_000_000))
    assert decide(Quote(100, 10, 50, 5), (short, fine, long)) == Refuse(
        (short, long), 150, 99_000_000
    )


def test_a_budget_that_never_resets_has_no_reset_time() -> None:
    short, never = balance(10), replace(balance(10, window=Total()), span=Span(0, None))
    found = decide(Quote(100, 10, 50, 5), (short, never))
    assert isinstance(found, Refuse)
    assert found.resets_at is None
    assert latest_reset((never, short)) is None
    assert latest_reset((short,)) == SPAN.end
    long = replace(short, span=Span(0, 99_000_000))
    assert latest_reset((long, short)) == latest_reset((short, long)) == 99_000_000
    assert latest_reset(()) == 0


def test_a_refusal_is_hopeless_if_an_untouched_window_could_not_pay() -> None:
    assert Refuse((balance(149, settled=10),), 150, 1).hopeless
    assert not Refuse((balance(150, settled=10),), 150, 1).hopeless
    topped = replace(balance(149, settled=10), topped_up=1)
    assert not Refuse((topped,), 150, 1).hopeless


def test_a_top_up_raises_the_limit() -> None:
    poor = balance(100)
    rich = replace(poor, topped_up=500)
    assert isinstance(decide(Quote(100, 10, 50, 5), (poor,)), Refuse)
    assert decide(Quote(100, 10, 50, 5), (rich,)) == Admit(600, 50)
    assert (rich.limit, rich.unspent, rich.free) == (600, 600, 600)


def test_what_costs_nothing_fits_an_overdrawn_budget() -> None:
    overdrawn = balance(1000, settled=1300, held=50)
    assert decide(Quote(0, 0, 50, 5), (overdrawn,)) == Admit(0, 50)
    assert decide(Quote(0, 10, 50, 0), (overdrawn,)) == Admit(0, 0)
    assert isinstance(decide(Quote(1, 0, 0, 0), (overdrawn,)), Refuse)


def test_an_observing_budget_says_what_it_would_have_refused_and_binds_nothing() -> None:
    watching = balance(10, observe=True)
    assert decide(Quote(100, 10, 50, 5), (watching,)) == Admit(600, 50, (watching,))
    # It would have lowered the bound, or made the call wait: that is no refusal.
    assert decide(Quote(100, 10, 50, 5), (balance(200, observe=True),)) == Admit(600, 50)
    assert decide(Quote(100, 10, 50, 5), (balance(900, held=500, observe=True),)) == Admit(600, 50)
    # It is not named among those that refuse.
    strict = balance(20)
    assert decide(Quote(100, 10, 50, 5), (watching, strict)) == Refuse((strict,), 150, SPAN.end)


# ------------------------------------------------------------------------------- of every quote and balance

amounts = st.integers(0, 2_000) | st.integers(0, 10**15)


@st.composite
def quotes(draw: st.DrawFn) -> Quote:
    output = draw(st.integers(0, 300) | st.integers(0, 200_000))
    per_output = draw(st.just(0) | st.integers(0, 40))
    return Quote(draw(amounts), per_output, output, draw(st.integers(0, output)))


@st.composite
def balances(draw: st.DrawFn) -> Balance:
    end = draw(st.none() | st.integers(1, 50))
    budget = Budget("b", "key:a", draw(amounts), FIVE_HOURS, observe=draw(st.booleans()))
    figures = [draw(amounts) for _ in range(3)]  # spent, held and topped up, overdrawn or not
    return Balance(budget, Span(0, end), *figures)


several = st.lists(balances(), max_size=4).map(tuple)


def binding(found: tuple[Balance, ...]) -> tuple[Balance, ...]:
    return tuple(one for one in found if not one.budget.observe)


def unheld(found: tuple[Balance, ...]) -> tuple[Balance, ...]:
    return tuple(replace(one, held=0) for one in found)


@given(quotes(), several)
def test_an_admission_stays_within_every_limit(quote: Quote, found: tuple[Balance, ...]) -> None:
    verdict = decide(quote, found)
    if isinstance(verdict, Admit):
        assert verdict.hold == quote.fixed + quote.per_output * verdict.output
        for one in binding(found):
            assert verdict.hold == 0 or one.settled + one.held + verdict.hold <= one.limit


@given(quotes(), several)
def test_the_bound_is_never_below_the_least_nor_above_what_was_asked(
    quote: Quote, found: tuple[Balance, ...]
) -> None:
    verdict = decide(quote, found)
    if isinstance(verdict, Admit):
        assert quote.least <= verdict.output <= quote.output


@given(quotes(), several)
def test_the_bound_is_lowered_no_further_than_it_must(
    quote: Quote, found: tuple[Balance, ...]
) -> None:
    verdict = decide(quote, found)
    if isinstance(verdict, Admit) and verdict.output < quote.output:
        more = verdict.hold + quote.per_output
        wide = verdict.output >= GENEROUS_OUTPUT
        assert any(more > one.unspent or (wide and more > one.free // 2) for one in binding(found))


@given(quotes(), several)
def test_it_refuses_only_for_money_spent(quote: Quote, found: tuple[Balance, ...]) -> None:
    """Held money plays no part in a refusal: with no hold open it is the same one."""
    verdict = decide(quote, found)
    alone = decide(quote, unheld(found))
    if isinstance(verdict, Refuse):
        assert isinstance(alone, Refuse)
        assert unheld(verdict.budgets) == alone.budgets
        assert verdict.resets_at == alone.resets_at
        assert all(verdict.needs > one.unspent for one in verdict.budgets)
        assert all(not one.budget.observe for one in verdict.budgets)
        ends = [one.span.end for one in verdict.budgets]
        assert verdict.resets_at == (
            None if None in ends else max(end for end in ends if end is not None)
        )
    else:
        assert not isinstance(alone, Refuse)


@given(quotes(), several)
def test_it_is_busy_only_where_it_would_fit_alone(quote: Quote, found: tuple[Balance, ...]) -> None:
    verdict = decide(quote, found)
    if isinstance(verdict, Busy):
        assert isinstance(decide(quote, unheld(found)), Admit)
        assert verdict.budgets
        assert all(one.held > 0 and not one.budget.observe for one in verdict.budgets)


@given(quotes(), several)
def test_observing_budgets_change_nothing(quote: Quote, found: tuple[Balance, ...]) -> None:
    with_them, without = decide(quote, found), decide(quote, binding(found))
    if isinstance(with_them, Admit):
        assert replace(with_them, observed=()) == without
        for one in with_them.observed:
            bound = replace(one, budget=replace(one.budget, observe=False))
            assert isinstance(decide(quote, (bound,)), Refuse)
    else:
        assert with_them == without


@given(quotes(), several, st.integers(0, 3), amounts)
def test_more_money_never_makes_it_worse(
    quote: Quote, found: tuple[Balance, ...], which: int, more: int
) -> None:
    """Of a higher limit: an admission stays one, with no smaller bound, if no other call holds money."""
    found = unheld(found)
    richer = tuple(
        replace(one, topped_up=one.topped_up + more) if index == which else one
        for index, one in enumerate(found)
    )
    before, after = decide(quote, found), decide(quote, richer)
    if isinstance(before, Admit):
        assert isinstance(after, Admit)
        assert after.output >= before.output
    elif isinstance(after, Refuse):
        assert isinstance(before, Refuse)
        assert len(after.budgets) <= len(before.budgets)
