"""Many photographs at a time."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol, TypeVar

from client.answer import Answer
from client.errors import Unreachable

AT_ONCE = 8  # photographs under way together: what one batch of the service takes

Job = TypeVar("Job")
Result = TypeVar("Result")


class Client(Protocol):
    """What `RestClient` and `GrpcClient` have in common."""

    def ask(self, photograph: bytes, options: Mapping[str, float] | None = None) -> Answer:
        """The answer to one photograph; raises AskError."""
        ...

    def close(self) -> None:
        """Close the connection."""
        ...


def in_parallel(
    connect: Callable[[], Client], do: Callable[[Client, Job], Result], jobs: Sequence[Job]
) -> Iterator[tuple[Job, Future[Result]]]:
    """Every job with its outcome, in order; ends after the first that found no service.

    Each thread has a client of its own, made by `connect`.
    """
    of_thread = threading.local()
    clients: list[Client] = []

    def work(job: Job) -> Result:
        if not hasattr(of_thread, "client"):
            of_thread.client = connect()
            clients.append(of_thread.client)
        return do(of_thread.client, job)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        try:
            for job, future in [(job, pool.submit(work, job)) for job in jobs]:
                yield job, future
                if isinstance(future.exception(), Unreachable):
                    return
        finally:
            pool.shutdown(cancel_futures=True)
            for client in clients:
                client.close()
