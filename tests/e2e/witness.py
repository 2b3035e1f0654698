"""A provider that writes down every request, whatever its path: the simulator knows only its own.

Answers all of them alike, with usage of both dialects. Tests of the bypass look at what came here.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.rig import House

_ANSWER = json.dumps(
    {
        "id": "x",
        "type": "message",
        "model": "gpt-4o",
        "choices": [{"index": 0, "message": {"content": "x"}, "finish_reason": "stop"}],
        "content": [],
        "stop_reason": "end_turn",
        "usage": {
            "prompt_tokens": 1,
            "completion_tokens": 1,
            "total_tokens": 2,
            "input_tokens": 1,
            "output_tokens": 1,
        },
    }
).encode()


@dataclass(frozen=True)
class Seen:
    """One request as it came."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Witness:
    """What came, and where it is to be sent."""

    url: str = ""
    requests: list[Seen] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                first, *lines = head.rstrip().split("\r\n")
                method, target, _ = first.split(" ", 2)
                pairs = (line.partition(": ") for line in lines)
                headers = {name.lower(): value for name, _, value in pairs}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                self.requests.append(Seen(method, target, headers, body))
                answer = b"" if method == "HEAD" else _ANSWER
                start = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "
                writer.write(f"{start}{len(_ANSWER)}\r\n\r\n".encode() + answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


@asynccontextmanager
async def watched(home: House) -> AsyncIterator[Witness]:
    """All providers of this daemon are the witness from here on."""
    witness = Witness()
    server = await asyncio.start_server(witness.serve, "127.0.0.1", 0)
    witness.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    home.config.write_text(home.config.read_text().replace(home.sim.url, witness.url))
    await home.daemon.reload()
    try:
        yield witness
        await home.quiet()
    finally:
        server.close()
