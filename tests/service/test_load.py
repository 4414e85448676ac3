"""The load test against a real service, and against none."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.pictures import astronaut, encoded, scene
from tests.torchserve import ROOT, Service, free_ports

LOCUSTFILE = ROOT / "loadtests" / "locustfile.py"


def locust(tmp_path: Path, *words: str, file: Path = LOCUSTFILE):
    return subprocess.run(
        [
            *(sys.executable, "-m", "locust", "-f", str(file)),
            *(
                "--headless",
                "-u",
                "4",
                "-r",
                "4",
                "-t",
                "4s",
                "-s",
                "60",
                "--html",
                "report.html",
                *words,
            ),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )


def addresses(service: Service) -> list[str]:
    return ["--host", service.rest, "--grpc-host", service.grpc]


@pytest.mark.parametrize("own", [False, True], ids=["canned", "own photographs"])
def test_good_service_passes(service: Service, tmp_path, own):
    words = []
    if own:
        (tmp_path / "photographs").mkdir()
        (tmp_path / "photographs" / "face.png").write_bytes(encoded(astronaut()))
        (tmp_path / "photographs" / "none.jpg").write_bytes(encoded(scene(200, 300), "JPEG"))
        words = ["--photos", "photographs"]
    done = locust(tmp_path, *addresses(service), *words)
    assert done.returncode == 0, done.stderr
    report = (tmp_path / "report.html").read_text()
    assert "REST" in report
    assert "gRPC" in report


def test_failed_requests_fail_the_run(service: Service, tmp_path):
    """A gRPC user who asks a REST port gets no answer that counts."""
    words = ["--host", service.rest, "--grpc-host", service.rest.removeprefix("http://")]
    done = locust(tmp_path, *words, "GrpcUser")
    assert done.returncode == 1
    assert "Error report" in done.stdout + done.stderr


def test_wrong_answers_fail_the_run(service: Service, tmp_path):
    """Photographs that are said to have one face, and have none."""
    (tmp_path / "scripts").mkdir()
    for folder in ("client", "loadtests"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    loadtests = tmp_path / "copy"
    loadtests.mkdir()
    (loadtests / "locustfile.py").write_bytes((ROOT / "loadtests" / "locustfile.py").read_bytes())
    (tmp_path / "scripts" / "canned.jpg").write_bytes(encoded(scene(200, 300), "JPEG"))
    done = locust(tmp_path, *addresses(service), "RestUser", file=loadtests / "locustfile.py")
    assert done.returncode == 1
    assert "0 faces where there are 1" in done.stdout + done.stderr


def test_no_service_fails_the_run(tmp_path):
    (port,) = free_ports(1)
    done = locust(tmp_path, "--host", f"http://127.0.0.1:{port}", "RestUser")
    assert done.returncode == 1
    assert "Connection refused" in done.stdout + done.stderr
