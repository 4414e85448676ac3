"""Many photographs at a time."""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import Final, Protocol, TypeVar

from face_age_client.answer import Answer
from face_age_client.errors import Unreachable

AT_ONCE: Final = 8  # photographs under way together: what one batch of the service takes
# Jobs that are begun before the first of them is done: a slow one does not stop the others, and
# no more outcomes than these are kept.
WINDOW: Final = 8 * AT_ONCE

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
    connect: Callable[[], Client], do: Callable[[Client, Job], Result], jobs: Iterable[Job]
) -> Iterator[tuple[Job, Future[Result]]]:
    """Every job with its outcome, in order; ends after the first that found no service.

    Each thread has a client of its own, made by `connect`. At most `WINDOW` jobs are taken before
    the outcome of the first of them is given away, so there may be any number of jobs. Ended
    early, it waits for what is under way, but not after Ctrl-C.
    """
    of_thread = threading.local()
    clients: list[Client] = []

    def work(job: Job) -> Result:
        if not hasattr(of_thread, "client"):
            of_thread.client = connect()
            clients.append(of_thread.client)
        return do(of_thread.client, job)

    pool = ThreadPoolExecutor(AT_ONCE)
    waiting = iter(jobs)
    patient = True
    try:
        begun = deque((job, pool.submit(work, job)) for job in islice(waiting, WINDOW))
        while begun:
            job, future = begun.popleft()
            wait([future])
            unreachable = isinstance(future.exception(), Unreachable)
            yield job, future
            if unreachable:
                return
            # or the outcome would be kept for as long as the next one takes
            del job, future
            begun.extend((job, pool.submit(work, job)) for job in islice(waiting, 1))
    except KeyboardInterrupt:
        patient = False
        raise
    finally:
        pool.shutdown(wait=patient, cancel_futures=True)
        if patient:
            for client in clients:
                client.close()
