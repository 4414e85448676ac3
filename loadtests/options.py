"""The load test's options on locust's command line."""

import argparse

from commands.address_types import grpc_address
from commands.option_types import real, whole
from face_age_client.address import GRPC_ADDRESS, Address
from loadtests import mix, shapes


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add our options to locust's own."""
    add = parser.add_argument
    add(
        "--grpc-host",
        type=grpc_address,
        default=GRPC_ADDRESS,
        help=f"where gRPC users ask ({GRPC_ADDRESS})",
    )
    add("--grpc-share", type=real(0, 1), default=0.5, help="of the users, 0 to 1 (0.5)")
    add("--model-name", default="age", help="of the service's models (age)")
    add("--photos", default="", help="folder to make images from, in none/, one/ and many/")
    add(
        "--mix",
        type=mix.checked,
        default=mix.WEIGHTS,
        help=f"images by their faces ({mix.WEIGHTS})",
    )
    add("--large", type=real(0, 1), default=mix.LARGE, help=f"share of 12 megapixels ({mix.LARGE})")
    add("--think", type=real(0), default=0.0, help="longest pause of a user, seconds (0)")
    add(
        "--arrivals",
        type=real(0),
        default=0.0,
        help="images a second of each user, at random times, answered or not; "
        "0: each waits for its answer (0)",
    )
    add("--shape", choices=["", *shapes.SHAPES], default="", help="of the users, up to -u, over -t")
    add("--requests", type=whole(0), default=0, help="end after so many; 0: do not (0)")
    add("--max-p95", type=real(0, above=True), default=None, help="milliseconds")
    add("--max-p99", type=real(0, above=True), default=None, help="milliseconds")
    add("--max-error-rate", type=real(0, 1), default=0.0, help="of the requests, 0 to 1 (0)")
    add("--min-rate", type=real(0), default=None, help="answers a second")


def wrong(options: argparse.Namespace) -> str:
    """The fault of an option of locust, which locust accepts and then fails on; or ""."""
    try:
        if options.host is not None:
            Address.rest(options.host)
    except ValueError as error:
        return f"--host: {error}"
    if options.num_users is not None and options.num_users < 1:
        return f"--users {options.num_users}: there is 1 at least"
    if options.run_time == 0:  # locust would run without end
        return "--run-time 0: leave it out for a run without an end"
    if options.shape and not options.run_time and not options.worker:
        return "--shape needs --run-time"
    return ""
