"""Repeated names and raw JSON reach the handler."""

import os
import sys
import warnings
from typing import Any

import pytest

from handler.torchserve_patch import RequestParts, patch_torchserve

with warnings.catch_warnings(action="ignore"):
    from ts.service import Service


def request(*names: str) -> dict[str, Any]:
    parts = [
        {"name": name, "contentType": "image/png", "value": bytes([number])}
        for number, name in enumerate(names)
    ]
    return {"requestId": b"an-id", "headers": [], "parameters": parts}


@pytest.fixture
def patched(monkeypatch: pytest.MonkeyPatch) -> None:
    """TorchServe as a worker's `initialize` leaves it, for one test."""
    monkeypatch.setenv("TS_DECODE_INPUT_REQUEST", "true")
    own = staticmethod(Service.retrieve_data_for_inference)
    monkeypatch.setattr(Service, "retrieve_data_for_inference", own)
    patch_torchserve()


@pytest.mark.usefixtures("patched")
def test_repeated_names_are_kept() -> None:
    batch = [request("data"), request("data", "a", "data", "b", "a"), request(), request("b", "b")]
    headers, rows, ids = Service.retrieve_data_for_inference(batch)
    assert rows == [{"data": b"\0"}, {"data": b"\2", "a": b"\4", "b": b"\3"}, {}, {"b": b"\1"}]
    assert [row.repeated for row in rows] == [(), ("data", "a"), (), ("b",)]
    assert all(type(row) is RequestParts for row in rows)
    assert len(headers) == 4
    assert ids == dict.fromkeys(range(4), "an-id")


@pytest.mark.usefixtures("patched")
def test_twice_is_once() -> None:
    first = Service.retrieve_data_for_inference
    patch_torchserve()
    assert Service.retrieve_data_for_inference is first


@pytest.mark.usefixtures("patched")
def test_json_comes_as_it_was_sent() -> None:
    assert os.environ["TS_DECODE_INPUT_REQUEST"] == "false"


def test_without_torchserve(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TS_DECODE_INPUT_REQUEST", "true")
    monkeypatch.delitem(sys.modules, "ts.service")
    patch_torchserve()
