import subprocess
from pathlib import Path

import pytest

from bench.torchserve import free_ports
from demo import service
from face_age_client.testing import serving


def test_one_that_runs_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "SERVE", Path("/none"))
    with serving() as server:
        assert service.answers(server.url)
        with service.running(server.url, ["age"]):
            pass
        assert service.answers(server.url)


def test_one_is_started_and_stopped(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = tmp_path / "serve.sh"
    script.write_text('#!/bin/sh\necho "$@" >> "$(dirname "$0")/calls"\n')
    script.chmod(0o700)
    monkeypatch.setattr(service, "SERVE", script)
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    assert not service.answers(url)
    with service.running(url, ["age", "birds"]):
        assert (tmp_path / "calls").read_text() == (
            "--background --models age=age.mar birds=birds.mar\n"
        )
    assert (tmp_path / "calls").read_text().endswith("\n--stop\n")
    assert capsys.readouterr().out == f"no service answers at {url}: starting one\n"


def test_one_that_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "SERVE", Path("/bin/false"))
    (port,) = free_ports(1)
    with (
        pytest.raises(subprocess.CalledProcessError),
        service.running(f"http://127.0.0.1:{port}", ["age"]),
    ):
        pytest.fail("it does not get here")
