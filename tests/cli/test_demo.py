"""The demo, whole: it is what a newcomer sees first."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
from pathlib import Path

import pytest

from budgetd.cli.demo.stage import verdict
from budgetd.cli.demo.story import Story
from tests.cli.town import BARE, command


@pytest.mark.slow
async def test_the_demo_ends_with_equal_sums(tmp_path: Path) -> None:
    began = asyncio.get_running_loop().time()
    said = await command("demo", env={"TMPDIR": str(tmp_path)})
    assert said.code == 0, said
    assert asyncio.get_running_loop().time() - began < 60
    assert said.widest <= 80
    assert "writer was refused" in said.out
    assert "coder was refused" in said.out
    assert "Usage limit reached" in said.out
    assert said.out.count("the window has reset") == 2
    bill = re.search(r"provider's bill\s+\$(\S+)", said.out)
    ledger = re.search(r"budgetd's ledger\s+\$(\S+)", said.out)
    assert bill is not None
    assert ledger is not None
    assert bill[1] == ledger[1] != "0.000000000000"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("bill", "spent", "code"),
    [
        (1_500_000_000_001, "1.500000000001", 0),
        (1_500_000_000_001, "1.5", 1),
        (1_500_000_000_000, "1.500000000001", 1),
        (0, "0", 1),
    ],
)
def test_a_pico_dollar_decides(bill: int, spent: str, code: int) -> None:
    status = {"last_24h": {"real": {"spent_usd": spent}}}
    assert verdict(Story([], 15, status, bill=bill)) == code


async def test_interrupted_it_leaves_nothing(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "budgetd",
        "demo",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**BARE, "TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    async with asyncio.timeout(30):
        while b"writer " not in await process.stdout.readline():
            pass
    process.send_signal(signal.SIGINT)
    _, err = await process.communicate()
    assert process.returncode == 130
    assert err == b""
    assert list(tmp_path.iterdir()) == []
