"""A file of many keys costs a request nothing, and what changes in it counts at once."""

import hashlib
import os
import secrets
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from face_age_client.errors import Refused
from face_age_client.rest import RestClient
from tests.proxy.proxy import Proxy, proxied
from tests.proxy.test_faults import unreachable
from tests.torchserve import Service

__all__ = ["unreachable"]  # a fixture

MANY = 10_000
BYTES = {"Content-Type": "application/octet-stream"}


@pytest.fixture(scope="module")
def proxy_alone(unreachable: Service) -> Iterator[Proxy]:
    with proxied(unreachable) as proxy:
        yield proxy


def line(key: str, name: str) -> str:
    return f"{hashlib.sha256(key.encode()).hexdigest()} {name} 2026-01-01\n"


def let_in(proxy: Proxy, key: str) -> bool:
    status = proxy.ask(b"x", BYTES, key=key).status
    assert status in (401, 503)
    return status == 503


def settle(proxy: Proxy) -> None:
    """Until the file is so old that nginx takes it for unchanged; then it is asked for."""
    time.sleep(2.1)
    for _ in range(8):  # each of nginx's processes
        let_in(proxy, "x" * 43)


def in_place(file: Path, text: str) -> None:
    with file.open("r+") as stream:
        stream.truncate()
        stream.write(text)


def with_its_old_times(file: Path, text: str) -> None:
    before = file.stat()
    in_place(file, text)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def by_rename(file: Path, text: str) -> None:
    fresh = file.with_name("fresh")
    fresh.write_text(text)
    fresh.rename(file)


@pytest.mark.parametrize("change", [in_place, with_its_old_times, by_rename])
def test_a_change_counts_for_the_next_request(
    proxy_alone: Proxy, change: Callable[[Path, str], None]
) -> None:
    """Of as many bytes, whatever the times say, and another one at once after it."""
    first, second = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
    proxy_alone.keys.write_text(line(first, "a"))
    settle(proxy_alone)
    assert let_in(proxy_alone, first)
    for _ in range(5):
        change(proxy_alone.keys, line(second, "b"))
        assert (let_in(proxy_alone, first), let_in(proxy_alone, second)) == (False, True)
        change(proxy_alone.keys, line(first, "a"))
        assert (let_in(proxy_alone, first), let_in(proxy_alone, second)) == (True, False)


def test_who_cannot_read_the_file_lets_nobody_in(proxy_alone: Proxy) -> None:
    key = secrets.token_urlsafe(32)
    proxy_alone.keys.write_text(line(key, "a"))
    settle(proxy_alone)
    assert let_in(proxy_alone, key)
    for mode in (0o000, 0o200):
        proxy_alone.keys.chmod(mode)
        assert not let_in(proxy_alone, key)
        proxy_alone.keys.chmod(0o644)
        assert let_in(proxy_alone, key)
    proxy_alone.folder.chmod(0o700)
    assert not let_in(proxy_alone, key)
    proxy_alone.folder.chmod(0o755)
    assert let_in(proxy_alone, key)
    text = proxy_alone.keys.read_text()
    proxy_alone.keys.unlink()
    proxy_alone.keys.mkdir()
    assert not let_in(proxy_alone, key)
    proxy_alone.keys.rmdir()
    assert not let_in(proxy_alone, key)
    proxy_alone.keys.write_text(text)
    assert let_in(proxy_alone, key)


@pytest.mark.parametrize(
    ("written", "inside"),
    [
        ("{line}", True),
        ("{more}{line}{more}", True),
        ("{bare}", True),  # its end was cut off
        ("#{line}", False),
        ("# {line}", False),
        (" {line}", False),
        ("{line_of_capitals}", False),
        ("", False),
    ],
)
def test_lines(proxy_alone: Proxy, written: str, inside: bool) -> None:
    key = secrets.token_urlsafe(32)
    own, more = line(key, "a"), "".join(line(secrets.token_urlsafe(32), "b") for _ in range(3))
    proxy_alone.keys.write_text(
        written.format(
            line=own,
            more=more,
            bare=own.removesuffix("\n"),
            line_of_capitals=own.upper(),
        )
    )
    assert let_in(proxy_alone, key) == inside


def test_many_keys_cost_a_stranger_nothing(proxy_alone: Proxy) -> None:
    """As much as one key: before, each request read and searched all of them, in 6 ms."""
    seconds = {}
    for count in (1, MANY):
        proxy_alone.keys.write_text(
            "".join(line(secrets.token_urlsafe(32), f"k{i}") for i in range(count))
        )
        settle(proxy_alone)
        client = RestClient(proxy_alone.url, api_key="x" * 43, ca_file=proxy_alone.certificate)
        seconds[count] = statistics.median(took(client) for _ in range(100))
        client.close()
    assert seconds[MANY] < seconds[1] + 0.002


def took(client: RestClient) -> float:
    started = time.perf_counter()
    with pytest.raises(Refused):
        client.predict(b"x")
    return time.perf_counter() - started
