"""The service manager's protocol, against a socket that plays the manager; and the unit."""

from __future__ import annotations

import asyncio
import shutil
import signal
import socket
import tempfile
from pathlib import Path

import pytest

from budgetd.daemon import TICK_SECONDS
from tests.cli.town import BARE
from tests.rig import DaemonProcess, config_text

UNIT = Path(__file__).resolve().parents[2] / "systemd" / "budgetd.service"


class Manager:
    """Hears what a service says."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.setblocking(False)

    async def hears(self, word: str) -> str:
        """The next message with this word; others are passed over."""
        async with asyncio.timeout(20):
            while True:
                loop = asyncio.get_running_loop()
                text = (await loop.sock_recv(self._socket, 4096)).decode()
                if word in text:
                    return text

    def close(self) -> None:
        self._socket.close()


async def test_ready_reloading_stopping(tmp_path: Path) -> None:
    # A socket's path is short by law, and a test's folder is not.
    with tempfile.TemporaryDirectory() as short:
        manager = Manager(Path(short) / "n")
        config = tmp_path / "config.yaml"
        config.write_text(config_text("http://127.0.0.1:9", tmp_path / "state"))
        daemon = DaemonProcess(config, {**BARE, "NOTIFY_SOCKET": f"{short}/n"})
        await daemon.start()
        try:
            await manager.hears("READY=1")
            assert daemon._process is not None
            daemon._process.send_signal(signal.SIGHUP)
            assert "MONOTONIC_USEC=" in await manager.hears("RELOADING=1")
            await manager.hears("READY=1")
        finally:
            code = await daemon.end()
        await manager.hears("STOPPING=1")
        manager.close()
        assert code == 0


def test_the_unit_fits_the_daemon() -> None:
    settings = dict(
        line.split("=", 1)
        for line in UNIT.read_text().splitlines()
        if "=" in line and not line.startswith("#")
    )
    assert settings["Type"] == "notify"
    assert settings["StateDirectory"] == "budgetd"
    assert settings["StateDirectoryMode"] == "0700"
    assert int(settings["WatchdogSec"]) >= 2 * TICK_SECONDS + 10  # one late tick is not the end
    assert "-HUP" in settings["ExecReload"]


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="there is no systemd here")
async def test_systemd_finds_nothing_wrong_with_the_unit() -> None:
    process = await asyncio.create_subprocess_exec(
        "systemd-analyze", "verify", "--man=no", str(UNIT), stderr=asyncio.subprocess.PIPE
    )
    _, complaints = await process.communicate()
    assert b"budgetd.service" not in complaints, complaints.decode()
