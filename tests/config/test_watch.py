"""Watching: told of every new content however it arrives, and of nothing else."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from budgetd.config import watch as watching
from budgetd.config.load import digest_of
from budgetd.config.watch import directories, watch

TOLD_WITHIN = 10  # seconds; a busy machine is not a bug
QUIET_FOR = 0.6  # seconds: several times the quiet that ends a write


class Watched:
    """A running watch, and how often it told of a change."""

    def __init__(self) -> None:
        self.told = asyncio.Queue[None]()

    async def tells(self) -> None:
        await asyncio.wait_for(self.told.get(), TOLD_WITHIN)

    async def keeps_quiet(self) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(self.told.get(), QUIET_FOR)


@asynccontextmanager
async def watched(path: Path, **more: str):
    stop, seen = asyncio.Event(), Watched()
    digest = more.get("digest") or (digest_of(path.read_bytes()) if path.exists() else "")
    async with asyncio.TaskGroup() as group:
        task = group.create_task(
            watch(path, lambda: seen.told.put_nowait(None), stop, digest=digest)
        )
        await asyncio.sleep(0.3)  # until the operating system watches: nothing says when
        yield seen
        stop.set()
        await asyncio.wait_for(task, TOLD_WITHIN)


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text("listen: 127.0.0.1:1")
    return file


async def test_a_write_in_place(path):
    async with watched(path) as seen:
        path.write_text("listen: 127.0.0.1:2")
        await seen.tells()
        path.write_text("listen: 127.0.0.1:3")
        await seen.tells()


async def test_an_atomic_replace(path):
    async with watched(path) as seen:
        for port in (2, 3):
            fresh = path.with_name("config.yaml.new")
            fresh.write_text(f"listen: 127.0.0.1:{port}")
            fresh.replace(path)
            await seen.tells()


async def test_what_editors_leave_and_touches_and_a_missing_file_are_silent(path):
    async with watched(path) as seen:
        for name in (".config.yaml.swp", "config.yaml~", "4913", "#config.yaml#"):
            path.with_name(name).write_text("x")
        path.touch()
        path.write_text(path.read_text())
        await seen.keeps_quiet()
        path.unlink()
        await seen.keeps_quiet()
        path.write_text("listen: 127.0.0.1:4")
        await seen.tells()


async def test_a_change_since_it_was_loaded_is_told(path):
    async with watched(path, digest=digest_of(b"older")) as seen:
        await seen.tells()


async def test_a_configuration_as_kubernetes_mounts_it(tmp_path):
    for version in (1, 2, 3):
        (tmp_path / f"..v{version}").mkdir()
        (tmp_path / f"..v{version}" / "config.yaml").write_text(f"listen: 127.0.0.1:{version}")
    (tmp_path / "..data").symlink_to("..v1")
    path = tmp_path / "config.yaml"
    path.symlink_to("..data/config.yaml")
    async with watched(path) as seen:
        for version in (2, 3):
            (tmp_path / "..data_tmp").symlink_to(f"..v{version}")
            (tmp_path / "..data_tmp").replace(tmp_path / "..data")
            await seen.tells()


async def test_a_link_to_a_file_elsewhere(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    target = tmp_path / "b" / "real.yaml"
    target.write_text("x: 1")
    path = tmp_path / "a" / "config.yaml"
    path.symlink_to("../b/real.yaml")
    async with watched(path) as seen:
        target.write_text("x: 2")
        await seen.tells()


async def test_a_directory_that_comes_later(tmp_path, monkeypatch):
    monkeypatch.setattr(watching, "LOOK_MS", 100)
    path = tmp_path / "later" / "config.yaml"
    async with watched(path) as seen:
        path.parent.mkdir()
        path.write_text("x: 1")
        await seen.tells()
        path.unlink()
        path.parent.rmdir()
        await seen.keeps_quiet()
        path.parent.mkdir()
        path.write_text("x: 2")
        await seen.tells()


async def test_a_system_without_events_is_looked_at(path, monkeypatch):
    def none_left(*_: object, **__: object) -> object:
        raise OSError(28, "no watches left")

    monkeypatch.setattr(watching, "awatch", none_left)
    monkeypatch.setattr(watching, "LOOK_MS", 50)
    async with watched(path) as seen:
        path.write_text("x: 2")
        await seen.tells()


def test_links_that_go_in_circles_end(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    assert directories(tmp_path / "a") == {tmp_path}
