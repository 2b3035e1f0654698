"""What a call may cost, before it is sent and without a tokenizer.

Owns the facts that money needs of a request (`Facts`: dialects fill them in) and the bounds made of
them. A byte-level BPE token covers at least one byte, and the JSON around a message is longer than
the tokens around it, so the bytes of a body bound its tokens; what bytes do not bound (pictures,
documents, sound, searches) gets an allowance, and what nothing bounds is named. Where a provider
has read the beginning of the request before and said how many tokens that was (`Known`), only the
rest is bounded by its bytes.
"""

from __future__ import annotations

from dataclasses import dataclass

from budgetd.core.budgets import Quote
from budgetd.core.money import MAX_PICO
from budgetd.core.policy import Estimation
from budgetd.core.prices import RateCard, Writes, worst_input_rate, worst_output_rate
from budgetd.core.usage import Traits

# The most that one hold may come to ($9,007), and the most input tokens: the sums over every call that can be
# open at once still fit a ledger row.
MOST_HOLD = MAX_PICO // 1024


@dataclass(frozen=True, slots=True)
class Media:
    """Input that its bytes do not bound. Counts of items; `inline_bytes` is the base64 text among
    the body's bytes.
    """

    images: int = 0
    documents: int = 0
    audio: int = 0
    inline_bytes: int = 0

    def since(self, earlier: Media) -> Media:
        """What a longer request holds besides what a shorter one that it begins with held."""
        return Media(
            max(self.images - earlier.images, 0),
            max(self.documents - earlier.documents, 0),
            max(self.audio - earlier.audio, 0),
            max(self.inline_bytes - earlier.inline_bytes, 0),
        )


@dataclass(frozen=True, slots=True)
class Facts:
    """What money needs to know of a request."""

    model: str
    input_bytes: int
    streamed: bool = False
    output: int | None = None  # the bound the client states, in tokens per answer
    output_fields: tuple[str, ...] = ()  # where it states it
    bounded_output: bool = True  # False: there is no output to bound (embeddings)
    least_output: int = 0  # below this the request makes no sense (a thinking budget)
    extra_output: int = 0  # tokens billed as output outside the bound (rejected predictions)
    answers: int = 1
    overhead: int = 0  # input tokens that the provider adds by itself (its tool prompt)
    media: Media = Media()
    linked: Media = Media()  # of these, what is at an address: another look may find more there
    searches: int = 0  # server-side searches the request allows
    silent_searches: int = 0  # of these, those that the answer's usage will not state
    rounds: int = 1  # how many times the input may be read within one call (searches, compaction)
    unbounded: str | None = None  # what makes the cost impossible to bound, in words
    traits: Traits = Traits()
    cache_writes: Writes = "none"
    asked_usage: bool = True  # the client wants the stream's usage for itself
    hidden_output: bool = False  # it asks for reasoning that the stream does not show in full
    media_output: bool = False  # the answer may hold sound or pictures
    account: str | None = None  # the provider's account id, where the client tells it


@dataclass(frozen=True, slots=True)
class Known:
    """What a request shares with one that this model has read: `tokens` were reported for that.
    `new_bytes` and `media` are what it may not have read.
    """

    tokens: int
    new_bytes: int
    media: Media = Media()


@dataclass(frozen=True, slots=True)
class Estimate:
    """Bounds of a call: tokens, the card they are priced at, and the quote for the decision."""

    quote: Quote
    input: int
    answers: int
    card: RateCard
    hidden_output: bool
    input_grows: bool  # the provider may add to the input while it answers (searches, compaction)
    media_output: bool

    @property
    def countable(self) -> bool:
        """False for a request so large that no ledger row could hold what it may cost."""
        return max(self.quote.hold(self.quote.least), self.input) <= MOST_HOLD


def input_bound(facts: Facts, allow: Estimation, known: Known | None = None) -> int:
    """The most input tokens the request can come to, every reading of them counted. What a provider
    has reported goes before what bytes say, even if it is more: it may add words of its own, and
    thoughts may be longer than the seal that stands for them.
    """
    tokens = _bytes_bound(facts.input_bytes, facts.media, allow) + facts.overhead
    if known is not None:
        read = known.tokens + _bytes_bound(known.new_bytes, known.media, allow)
        # Where input is read several times, what was reported may be the sum of that.
        tokens = read if facts.rounds == 1 else min(tokens, read)
    return (tokens + facts.searches * allow.search_tokens) * facts.rounds


def _bytes_bound(size: int, media: Media, allow: Estimation) -> int:
    """Tokens of so many bytes, of which those of media are counted by the item."""
    return (
        max(size - media.inline_bytes, 0)
        + media.images * allow.image_tokens
        + media.documents * allow.document_tokens
        + media.audio * allow.audio_tokens
    )


def estimate(
    facts: Facts,
    card: RateCard,
    allow: Estimation,
    *,
    model_output: int | None,
    hides_output: bool,
    known: Known | None = None,
) -> Estimate:
    """The bounds of a request under a card. See `Estimate.countable` before they are used.

    `model_output` is the model's own limit (tokens), for a client that states none; `hides_output`
    says that this model bills reasoning which it does not show; `known` what of the request the
    model has read before.
    """
    tokens = input_bound(facts, allow, known)
    audio, images = facts.media.audio > 0, facts.media.images > 0
    into = worst_input_rate(
        card, tokens, facts.traits, writes=facts.cache_writes, audio=audio, images=images
    )
    out = worst_output_rate(
        card,
        tokens,
        facts.traits,
        audio=audio or facts.media_output,
        images=facts.media_output,
    )
    fixed = (
        tokens * into
        + facts.searches * card.rates["web_searches"]
        + facts.extra_output * out
        + card.per_request
    )
    if not facts.bounded_output:
        quote = Quote(fixed, 0, 0, 0)
    else:
        wanted = _wanted(facts, allow, model_output)
        least = min(wanted, max(facts.least_output, allow.output_floor))
        each = out * facts.answers
        most = (MOST_HOLD - fixed) // each if each else wanted
        quote = Quote(fixed, each, min(wanted, max(most, least)), least)
    hidden = facts.bounded_output and (facts.hidden_output or hides_output)
    grows = facts.rounds > 1 or facts.searches > 0
    return Estimate(quote, tokens, facts.answers, card, hidden, grows, facts.media_output)


def _wanted(facts: Facts, allow: Estimation, model_output: int | None) -> int:
    """The output bound the client states, else the one to inject: room for an answer beside the thinking."""
    if facts.output is not None:
        return facts.output
    return model_output or allow.output_unknown + facts.least_output
