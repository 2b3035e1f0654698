"""What the dialects' contract brings along itself: the tap of an answer that costs nothing."""

from __future__ import annotations

from budgetd.wire.dialect import Blind


def test_a_blind_tap_passes_everything_and_knows_only_the_end() -> None:
    tap = Blind()
    assert [tap.feed(chunk) for chunk in (b"data: {", b"", b"}\n\n")] == [b"data: {", b"", b"}\n\n"]
    assert (tap.terminal, tap.reported, tap.visible_bytes) == (False, None, 0)
    assert tap.ending() is None
    assert tap.finish() == b""
    assert tap.mark == 0
    assert (tap.terminal, tap.reported, tap.visible_bytes) == (True, None, 0)
