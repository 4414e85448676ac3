"""The pipeline without a server: images handed to idle processes, as many as wait.

The other side of the sockets is `bench.comparison.direct_worker`.
"""

import asyncio
import contextlib
import json
from asyncio import StreamReader, StreamWriter
from collections.abc import Sequence
from pathlib import Path

from bench.comparison.http1 import Reply

Job = tuple[int, "asyncio.Future[Reply]"]


class DirectTarget:
    """Processes that hold the images already, so that only their numbers are sent."""

    def __init__(self, sockets: Sequence[Path], batch_size: int, folder: Path) -> None:
        """`folder` holds the images, as `Mix.write` has named them."""
        self._sockets = sockets
        self._batch_size = batch_size
        self._folder = folder
        self._waiting: asyncio.Queue[Job] = asyncio.Queue()
        self._workers: list[asyncio.Task[None]] = []

    async def ask(self, image: int) -> Reply:
        """The answer to an image, from the next process that is idle."""
        if not self._workers:
            self._workers = [asyncio.create_task(self._feed(s)) for s in self._sockets]
        answered = asyncio.get_running_loop().create_future()
        self._waiting.put_nowait((image, answered))
        reply: Reply = await answered
        return reply

    async def close(self) -> None:
        """Disconnect; the processes wait for the next connection."""
        for worker in self._workers:
            worker.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await worker

    async def _feed(self, socket: Path) -> None:
        reader, writer = await asyncio.open_unix_connection(str(socket), limit=2**26)
        try:
            while True:
                batch = [await self._waiting.get()]
                await asyncio.sleep(0)  # clients of the last batch may send again first
                while self._waiting.qsize() and len(batch) < self._batch_size:
                    batch.append(self._waiting.get_nowait())
                await self._answer(reader, writer, batch)
        finally:
            writer.close()

    async def _answer(self, reader: StreamReader, writer: StreamWriter, batch: list[Job]) -> None:
        images = [image for image, _ in batch]
        order = {"folder": str(self._folder), "images": images}
        try:
            writer.write(json.dumps(order).encode() + b"\n")
            bodies = json.loads(await reader.readline())
        except (OSError, ValueError) as error:
            bodies = [f"the process is gone: {error}"] * len(batch)
        for (_, answered), body in zip(batch, bodies, strict=True):
            failed = "faces" not in body
            answered.set_result(Reply(500 if failed else 200, json.dumps(body).encode()))
