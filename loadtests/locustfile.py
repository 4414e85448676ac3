"""Load on a service that runs: REST and gRPC users, new photographs, every answer checked.

    locust -f loadtests/locustfile.py --headless -u 8 -r 8 -t 30s --html report.html
    locust -f loadtests/locustfile.py --headless -u 8 -r 8 -t 30s RestUser
    locust -f loadtests/locustfile.py --photos FOLDER --host http://127.0.0.1:8080

Exits with 1 when a request failed, or its answer was wrong in any way, or there was none at all.
Makes its photographs as it goes, which takes a core at some 200 a second: use `--processes` beyond.
"""

import itertools
import json
import random
import sys
import time
from pathlib import Path
from typing import Any, ClassVar

import grpc.experimental.gevent
from locust import User, events, task
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # for `client` and `loadtests`, which locust does not look for

from client.errors import AskError, Unreachable  # noqa: E402
from client.parallel import Client  # noqa: E402
from client.rest import RestClient  # noqa: E402
from client.rpc import GrpcClient  # noqa: E402
from loadtests.checks import check  # noqa: E402
from loadtests.photographs import find, variants  # noqa: E402

CANNED = ROOT / "scripts" / "canned.jpg"  # has one face

grpc.experimental.gevent.init_gevent()  # or one gRPC call would stop every user
_seeds = itertools.count(time.time_ns())  # another run, or process, sends other photographs


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]
def add_options(parser: LocustArgumentParser) -> None:
    """The options of these users, beside locust's own."""
    parser.add_argument(
        "--grpc-host", default="127.0.0.1:7070", help="where gRPC users ask (127.0.0.1:7070)"
    )
    parser.add_argument("--photos", default="", help="folder to make photographs from")
    parser.add_argument(
        "--think", type=float, default=0.0, help="longest pause of a user, seconds (0)"
    )


@events.quitting.add_listener  # type: ignore[untyped-decorator]
def fail_when_idle(environment: Environment, **_: Any) -> None:
    """A run without one request has shown nothing."""
    if environment.stats.total.num_requests == 0:
        environment.process_exit_code = 1


class AgeUser(User):
    """Sends photographs one after the other and reads the answers."""

    abstract = True
    protocol: ClassVar[str]
    client: Client

    def on_start(self) -> None:
        """Each user has its own photographs and its own connection."""
        folder = self.environment.parsed_options.photos
        paths, faces = (find(Path(folder)), None) if folder else ([CANNED], 1)
        self.photographs = variants(paths, faces, next(_seeds))
        self.client = self.connect()

    def on_stop(self) -> None:
        """Leave no connection behind."""
        self.client.close()

    def connect(self) -> Client:
        """The client of this user's protocol."""
        raise NotImplementedError

    def wait_time(self) -> float:
        """Seconds between an answer and the next photograph."""
        return random.uniform(0, self.environment.parsed_options.think)

    @task
    def ask(self) -> None:
        """One photograph; whatever is wrong with its answer is a failure in the report."""
        photograph = next(self.photographs)
        length, failure = 0, None
        start = time.perf_counter()
        try:
            answer = self.client.ask(photograph.body)
            length = len(json.dumps(answer.content, separators=(",", ":")))
            check(answer, photograph)
        except AskError as error:
            failure = error
        self.environment.events.request.fire(
            request_type=self.protocol,
            name="/predictions/age",
            response_time=1000 * (time.perf_counter() - start),
            response_length=length,
            exception=failure,
            context=self.context(),
        )
        if isinstance(failure, Unreachable):
            time.sleep(1)  # refusals come by the thousand and say nothing new


class RestUser(AgeUser):
    """Asks over REST."""

    host = "http://127.0.0.1:8080"
    protocol = "REST"

    def connect(self) -> Client:
        """Its own keep-alive connection."""
        return RestClient(self.host)


class GrpcUser(AgeUser):
    """Asks over gRPC."""

    protocol = "gRPC"

    def connect(self) -> Client:
        """Its own channel."""
        return GrpcClient(self.environment.parsed_options.grpc_host)
