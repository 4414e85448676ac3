"""Load on a service that runs: REST and gRPC users, new images, every answer checked.

    locust -f loadtests/locustfile.py --headless -u 8 -r 8 -t 30s --html report.html RestUser
    locust -f loadtests/locustfile.py --photos FOLDER --host http://127.0.0.1:8080
    locust -f loadtests/locustfile.py --headless -u 8 -t 30s --model-name emotion
    locust -f loadtests/locustfile.py --headless -u 10 -t 60s -s 60 --arrivals 4
    locust -f loadtests/locustfile.py --headless -u 40 -t 10m --shape spike --max-p95 500

A user waits for the answer before it sends the next image; with `--arrivals` it does not wait.
Exits with 1 if a request failed, an answer was wrong, none was sent, or a limit was exceeded.
"""

import itertools
import json
import random
import sys
import time
from functools import partial
from typing import Any, ClassVar

import gevent  # type: ignore[import-untyped]
from gevent.lock import BoundedSemaphore  # type: ignore[import-untyped]
from gevent.pool import Group  # type: ignore[import-untyped]
from locust import FastHttpUser, LoadTestShape, User, events, task
from locust.env import Environment
from locust.exception import StopTest
from locust.runners import WorkerRunner
from locust.stats import CSV_STATS_INTERVAL_SEC

from face_age_client.address import REST_URL, Address
from face_age_client.answer import Answer, parse
from face_age_client.errors import ClientError, Interrupted, Unreachable
from face_age_client.rest import image_path, refusal
from loadtests import distributed, mix, shapes
from loadtests.checks import check
from loadtests.distributed import punctuality
from loadtests.images import EncodedImage
from loadtests.open_loop import Arrivals
from loadtests.options import add_options, wrong
from loadtests.thresholds import Limits, Outcome, exceeded
from train.extras import exit_if_missing

with exit_if_missing():
    import grpc.experimental.gevent

    from face_age_client.rpc import GrpcClient

TIMEOUT = 120.0  # seconds for an answer
TICK = 0.2  # seconds between two looks at the number of requests

_numbers = itertools.count()
events.init_command_line_parser.add_listener(add_options)  # type: ignore[no-untyped-call]


@events.init.add_listener  # type: ignore[untyped-decorator]
def prepare(environment: Environment, **_: Any) -> None:
    """Prepare images and gRPC in each process, before users start; gRPC does not survive a fork."""
    options: Any = environment.parsed_options
    if reason := wrong(options):
        sys.exit(f"error: {reason}")
    grpc.experimental.gevent.init_gevent()  # or one gRPC call would block every user
    lack = distributed.prepare(environment, partial(_lack, options))
    if lack:
        runner: Any = environment.runner
        runner.quit()
        sys.exit(f"error: {lack}")
    if isinstance(environment.runner, WorkerRunner):
        return
    shares = {"RestUser": 1 - options.grpc_share, "GrpcUser": options.grpc_share}
    if len(environment.user_classes) > 1:  # no shares if a user class was named
        for user in environment.user_classes:
            user.weight = shares[user.__name__]
        environment.user_classes[:] = [u for u in environment.user_classes if u.weight]
    if options.shape:
        environment.shape_class = Shape(options.shape, options.num_users or 1, options.run_time)
    if options.requests:
        gevent.spawn(_end_after, options.requests, environment)


_making = BoundedSemaphore()


def _mix(options: Any) -> mix.Mix:
    """Made once, in a thread: a worker must keep sending heartbeats to its master."""
    with _making:
        made: mix.Mix | ValueError = gevent.get_hub().threadpool.apply(_made, (options,))
    if isinstance(made, ValueError):
        raise made
    return made


def _lack(options: Any) -> str:
    try:
        _mix(options)
    except ValueError as error:
        return str(error)
    return ""


def _made(options: Any) -> mix.Mix | ValueError:
    try:
        return mix.made(options.photos, options.mix, options.large)
    except ValueError as error:
        return error  # raised in that thread, gevent would print it


def _end_after(requests: int, environment: Environment) -> None:
    while environment.stats.total.num_requests < requests:
        gevent.sleep(TICK)
    runner: Any = environment.runner
    runner.quit()


class Shape(LoadTestShape):
    """One of `loadtests.shapes`; abstract, so that locust does not select it by itself."""

    abstract = True

    def __init__(self, name: str, most: int, seconds: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._name, self._most, self._seconds = name, most, seconds

    def tick(self) -> tuple[int, float] | None:
        """The number of users now, and the spawn rate: all at once."""
        at = self.get_run_time()  # type: ignore[no-untyped-call]
        users = shapes.users(self._name, self._most, self._seconds, at)
        return None if users is None else (users, min(100, self._most))


@events.quitting.add_listener  # type: ignore[untyped-decorator]
def judge(environment: Environment, **_: Any) -> None:
    """Set the exit code by the limits; print exceeded ones below locust's tables."""
    if isinstance(environment.runner, WorkerRunner):
        return
    options: Any = environment.parsed_options
    runner: Any = environment.runner
    total = environment.stats.total
    limits = Limits(options.max_p95, options.max_p99, options.max_error_rate, options.min_rate)
    p95, p99 = (total.get_response_time_percentile(part) for part in (0.95, 0.99))
    outcome = Outcome(total.num_requests, total.num_failures, p95, p99, total.total_rps)
    lines = exceeded(limits, outcome)
    if lines:
        environment.process_exit_code = 1
    elif total.num_failures and not runner.exceptions:
        environment.process_exit_code = 0  # within --max-error-rate, which locust does not know
    lines = [f"failed: {line}" for line in lines]
    if options.arrivals:
        lines.append(str(punctuality))
    if options.csv_prefix:
        gevent.sleep(1.1 * CSV_STATS_INTERVAL_SEC)  # or the CSV files would lack the last answers
    quit_event: Any = environment.events.quit
    quit_event.add_listener(lambda **_: [print(line, file=sys.stderr) for line in lines])


class ImageUser(User):
    """Sends images and checks the answers, closed loop or at its own arrival times."""

    abstract = True
    protocol: ClassVar[str]

    def on_start(self) -> None:
        """Make the user's own images and connection."""
        options = self.environment.parsed_options
        self.name = f"{time.time_ns()}/{next(_numbers)}"  # unique over runs and users
        self.random = random.Random(self.name)  # nosec B311  # no secret
        self.mix = _mix(options)
        self.sent = itertools.count()
        self.under_way = Group()
        self.connect()
        if options.arrivals:
            now = time.perf_counter()
            self.arrivals = Arrivals(options.arrivals, now, self.random)
            self.due = self.arrivals.next()
            gevent.sleep(self.due - now)

    def on_stop(self) -> None:
        """Finish requests and close the connection."""
        self.under_way.join(self.environment.stop_timeout)
        punctuality.unanswered += len(self.under_way)
        self.under_way.kill()
        self.disconnect()

    def connect(self) -> None:
        """Make the protocol's client."""
        raise NotImplementedError

    def disconnect(self) -> None:
        """Close the client."""
        raise NotImplementedError

    def answer(self, body: bytes) -> Answer:
        """Send an image. Raises ClientError."""
        raise NotImplementedError

    def wait_time(self) -> float:
        """Seconds until the next image."""
        options = self.environment.parsed_options
        if not options.arrivals:
            return self.random.uniform(0, options.think)
        self.due = self.arrivals.next()
        return max(0.0, self.due - time.perf_counter())

    @task
    def ask(self) -> None:
        """Send one image."""
        kind, image = self.mix.draw(self.random, f"{self.name}/{next(self.sent)}")
        if self.environment.parsed_options.arrivals:
            punctuality.note(time.perf_counter() - self.due)
            exchange = self.under_way.spawn(self.exchange, kind, image, self.due)
            exchange.link_exception(self.tell)
        elif isinstance(self.exchange(kind, image, time.perf_counter()), Unreachable):
            time.sleep(1)  # refused connections would come by the thousand

    def tell(self, exchange: gevent.Greenlet) -> None:
        """Report a bug in an exchange to locust, as it does for one in a task."""
        user_error: Any = self.environment.events.user_error
        error = exchange.exception
        user_error.fire(user_instance=self, exception=error, tb=error.__traceback__)

    def exchange(self, kind: str, image: EncodedImage, due: float) -> ClientError | None:
        """Send an image and report the result to locust; any fault counts as a failure."""
        length, failure = 0, None
        try:
            answer = self.answer(image.body)
            length = len(json.dumps(answer.content, separators=(",", ":")))
            check(answer, image)
        except ClientError as error:
            failure = error
        self.environment.events.request.fire(
            request_type=self.protocol,
            name=kind,
            response_time=1000 * (time.perf_counter() - due),
            response_length=length,
            exception=failure,
            context=self.context(),
        )
        return failure


class RestUser(ImageUser, FastHttpUser):
    """Sends images over REST."""

    host = REST_URL
    protocol = "REST"
    network_timeout = connection_timeout = TIMEOUT
    concurrency = 1000  # connections, opened on demand: arrivals never wait for one

    def connect(self) -> None:
        """Validate the host of the session that locust has made."""
        try:
            self.client.base_url = Address.rest(str(self.host)).url
        except ValueError as error:
            raise StopTest(str(error)) from None
        self.path = image_path("predictions", self.environment.parsed_options.model_name, "")

    def disconnect(self) -> None:
        """Close its connections."""
        self.client.client.close()

    def answer(self, body: bytes) -> Answer:
        """Send an image. Raises ClientError."""
        session: Any = self.client
        response = session.post(  # reported by `exchange`: this context manager is not entered
            self.path,
            data=body,
            headers={"Content-Type": "application/octet-stream"},
            catch_response=True,
        )
        content, status = response.content or b"", response.status_code
        if status == 200 and content:
            return parse(content)
        if status:
            raise refusal(status, content)
        error = response.error
        if isinstance(error, ConnectionRefusedError):
            raise Unreachable(f"{self.host} does not answer: {error}")
        raise Interrupted(f"{self.host} broke off: {error or type(error).__name__}")


class GrpcUser(ImageUser):
    """Sends images over gRPC."""

    protocol = "gRPC"

    def connect(self) -> None:
        """Open a channel over a connection of its own."""
        options = self.environment.parsed_options
        self.client = GrpcClient(
            options.grpc_host, model=options.model_name, timeout=TIMEOUT, own_connection=True
        )

    def disconnect(self) -> None:
        """Close the client."""
        self.client.close()

    def answer(self, body: bytes) -> Answer:
        """Send an image. Raises ClientError."""
        return self.client.predict(body)
