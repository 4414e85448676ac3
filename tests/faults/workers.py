"""The workers of a TorchServe, by its management API."""

import json
import time
import urllib.request

from tests.torchserve import WORKERS, Service


def ready_workers(service: Service, but: frozenset[int] = frozenset()) -> frozenset[int]:
    """Process ids, when all workers are READY and none is one of `but`."""
    until = time.monotonic() + 120
    while True:
        with urllib.request.urlopen(f"{service.management}/models/age", timeout=30) as response:
            (model,) = json.load(response)
        states = {worker["pid"]: worker["status"] for worker in model["workers"]}
        if list(states.values()) == ["READY"] * WORKERS and not but & states.keys():
            return frozenset(states)
        assert time.monotonic() < until, states
        time.sleep(0.05)
