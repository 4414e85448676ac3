"""Many images at a time, from several threads."""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import Final, Protocol, TypeVar, Unpack

from face_age_client.answer import Answer
from face_age_client.errors import Unreachable
from face_age_client.options import Options

MAX_CONCURRENCY: Final = 8  # what one batch of the service takes
# Jobs in flight or waiting for an earlier one: a slow job does not stop the others, and memory is
# bounded.
WINDOW: Final = 8 * MAX_CONCURRENCY

Job = TypeVar("Job")
Result = TypeVar("Result")


class Client(Protocol):
    """What `RestClient` and `GrpcClient` have in common."""

    def predict(self, image: bytes, **options: Unpack[Options]) -> Answer:
        """The answer to an image file; raises ClientError."""
        ...

    def close(self) -> None:
        """Close the connection."""
        ...


def in_parallel(
    connect: Callable[[], Client], do: Callable[[Client, Job], Result], jobs: Iterable[Job]
) -> Iterator[tuple[Job, Future[Result]]]:
    """Run `do(client, job)` for every job; yields jobs and their finished futures in order.

    Each thread has a client of its own, made by `connect`. Takes at most `WINDOW` jobs ahead, so
    there may be any number. Ends after the first `Unreachable`. If closed early, waits for the
    jobs in flight, but not after Ctrl-C.
    """
    local = threading.local()
    clients: list[Client] = []

    def work(job: Job) -> Result:
        if not hasattr(local, "client"):
            local.client = connect()
            clients.append(local.client)
        return do(local.client, job)

    pool = ThreadPoolExecutor(MAX_CONCURRENCY)
    remaining = iter(jobs)
    graceful = True
    try:
        pending = deque((job, pool.submit(work, job)) for job in islice(remaining, WINDOW))
        while pending:
            job, future = pending.popleft()
            wait([future])
            unreachable = isinstance(future.exception(), Unreachable)
            yield job, future
            if unreachable:
                return
            # free the result before waiting for the next
            del job, future
            pending.extend((job, pool.submit(work, job)) for job in islice(remaining, 1))
    except KeyboardInterrupt:
        graceful = False
        raise
    finally:
        pool.shutdown(wait=graceful, cancel_futures=True)
        if graceful:
            for client in clients:
                client.close()
