"""Both cache models, in tokens worked out by hand."""

from __future__ import annotations

from budgetd.simulator import Tokens
from budgetd.simulator.cache import Piece, PromptCache, Ttl


def piece(name: str, tokens: int, mark: Ttl | None = None) -> Piece:
    return Piece(name.encode(), tokens, mark)


SYSTEM = piece("system", 2000, "5m")
QUESTION = piece("question", 100)


def test_without_a_mark_nothing_is_cached():
    cache = PromptCache()
    for _ in range(2):
        assert cache.marked("m", [piece("s", 5000)], 0.0) == Tokens(input=5000)


def test_a_mark_writes_and_the_next_request_reads():
    cache = PromptCache()
    assert cache.marked("m", [SYSTEM, QUESTION], 0.0) == Tokens(input=100, write_5m=2000)
    assert cache.marked("m", [SYSTEM, QUESTION], 1.0) == Tokens(input=100, cache_read=2000)


def test_a_prefix_is_not_shared_across_scopes_nor_behind_other_pieces():
    cache = PromptCache()
    cache.marked("m", [SYSTEM], 0.0)
    assert cache.marked("other", [SYSTEM], 1.0) == Tokens(write_5m=2000)
    assert cache.marked("m", [QUESTION, SYSTEM], 1.0) == Tokens(write_5m=2100)


def test_five_minutes_after_its_last_use_a_prefix_is_gone():
    cache = PromptCache()
    cache.marked("m", [SYSTEM], 0.0)
    assert cache.marked("m", [SYSTEM], 299.9).cache_read == 2000
    assert cache.marked("m", [SYSTEM], 599.8).cache_read == 2000, "the read renewed it"
    assert cache.marked("m", [SYSTEM], 899.8) == Tokens(write_5m=2000)


def test_an_hour_is_an_hour_and_costs_its_own_bucket():
    cache = PromptCache()
    long = piece("system", 2000, "1h")
    first = cache.marked("m", [long, piece("talk", 1000, "5m"), QUESTION], 0.0)
    assert first == Tokens(input=100, write_1h=2000, write_5m=1000)
    late = cache.marked("m", [long, piece("talk", 1000, "5m"), QUESTION], 3599.0)
    assert late == Tokens(input=100, cache_read=2000, write_5m=1000)


def test_a_mark_that_moves_on_reads_what_the_earlier_one_wrote():
    cache = PromptCache()
    cache.marked("m", [piece("a", 2000), piece("b", 500, "5m")], 0.0)
    grown = [piece("a", 2000), piece("b", 500), piece("c", 300), piece("d", 200, "5m")]
    assert cache.marked("m", grown, 1.0) == Tokens(cache_read=2500, write_5m=500)


def test_a_mark_looks_back_twenty_blocks_and_no_more():
    cache = PromptCache()
    cache.marked("m", [SYSTEM], 0.0)
    near = [SYSTEM.__class__(SYSTEM.key, 2000), *(piece(f"{n}", 10) for n in range(18))]
    assert cache.marked("m", [*near, piece("end", 10, "5m")], 1.0).cache_read == 2000
    cache.clear()
    cache.marked("m", [SYSTEM], 2.0)
    far = [*near, piece("18", 10)]
    assert cache.marked("m", [*far, piece("end", 10, "5m")], 3.0).cache_read == 0


def test_a_short_prefix_is_not_cached():
    cache = PromptCache()
    assert cache.marked("m", [piece("s", 1023, "5m")], 0.0) == Tokens(input=1023)
    assert cache.marked("m", [piece("s", 1023, "5m")], 0.0, minimum=1000) == Tokens(write_5m=1023)


def test_the_automatic_cache_reads_steps_of_128_tokens_from_1024_on():
    cache = PromptCache()
    prompt = bytes(range(256)) * 32  # 8,192 bytes, 2,048 tokens
    assert cache.automatic("m", prompt, 0.0) == Tokens(input=2048)
    assert cache.automatic("m", prompt, 1.0) == Tokens(input=128, cache_read=1920)
    assert cache.automatic("m", prompt + b"more", 1.0) == Tokens(input=1, cache_read=2048)
    other = prompt[:5000] + b"!" * 3192
    assert cache.automatic("m", other, 1.0) == Tokens(input=2048 - 1152, cache_read=1152)


def test_the_automatic_cache_does_not_keep_short_prompts_nor_for_ever():
    cache = PromptCache()
    for _ in range(2):
        assert cache.automatic("m", b"x" * 4096, 0.0) == Tokens(input=1024)
    cache.automatic("m", b"y" * 5000, 0.0)
    assert cache.automatic("m", b"y" * 5000, 599.0).cache_read == 1152
    assert cache.automatic("m", b"y" * 5000, 1199.0).cache_read == 0
