"""bench/torchserve.py: ports; tests/service/test_bench.py starts services."""

import random
import socket

import pytest

from bench import torchserve
from bench.torchserve import PORTS, free_ports


def test_ports_are_free_and_differ() -> None:
    found = free_ports(50)
    assert len(set(found)) == 50
    assert all(PORTS[0] <= port < PORTS[1] for port in found)
    for port in found:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", port))


def test_a_port_that_is_taken_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    taken, free = free_ports(2)
    ports = iter([taken, taken, free])
    monkeypatch.setattr(torchserve._random, "randrange", lambda *_: next(ports))
    with socket.create_server(("127.0.0.1", taken)):
        assert free_ports(1) == [free]


def test_two_processes_with_the_same_seed_get_others() -> None:
    random.seed(0)
    first = free_ports(3)
    random.seed(0)
    assert free_ports(3) != first
