"""What the load test can be told on locust's command line."""

import argparse

from loadtests import mix, shapes


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of these users, beside locust's own."""
    add = parser.add_argument
    add("--grpc-host", default="127.0.0.1:7070", help="where gRPC users ask (127.0.0.1:7070)")
    add("--grpc-share", type=mix.share, default=0.5, help="of the users, 0 to 1 (0.5)")
    add("--photos", default="", help="folder to make photographs from, in none/, one/ and many/")
    add("--mix", default=mix.WEIGHTS, help=f"photographs by their faces ({mix.WEIGHTS})")
    add("--large", type=mix.share, default=mix.LARGE, help=f"share of 12 megapixels ({mix.LARGE})")
    add("--think", type=float, default=0.0, help="longest pause of a user, seconds (0)")
    add(
        "--arrivals",
        type=float,
        default=0.0,
        help="photographs a second of each user, at random times, answered or not; "
        "0: each waits for its answer (0)",
    )
    add("--shape", choices=["", *shapes.SHAPES], default="", help="of the users, up to -u, over -t")
    add("--requests", type=int, default=0, help="end after so many; 0: do not (0)")
    add("--max-p95", type=float, default=None, help="milliseconds")
    add("--max-p99", type=float, default=None, help="milliseconds")
    add("--max-error-rate", type=mix.share, default=0.0, help="of the requests, 0 to 1 (0)")
    add("--min-rate", type=float, default=None, help="answers a second")
