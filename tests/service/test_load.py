"""The load test against a real service, and against none."""

import csv
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.images import astronaut, encoded, scene
from tests.torchserve import ROOT, Service, free_ports

LOCUSTFILE = ROOT / "loadtests" / "locustfile.py"


def locust(tmp_path: Path, *words: str):
    return subprocess.run(
        [
            *(sys.executable, "-m", "locust", "-f", str(LOCUSTFILE)),
            *("--headless", "--only-summary", "-u", "4", "-r", "4", "-t", "4s", "-s", "60"),
            *("--large", "0", *words),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )


def addresses(service: Service) -> list[str]:
    # each with the slash that a browser puts there
    return ["--host", f"{service.rest}/", "--grpc-host", f"{service.grpc}/"]


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "load_stats.csv").open() as lines:
        return list(csv.DictReader(lines))


def test_good_service_passes(service: Service, tmp_path):
    """Arrivals of their own, from two processes, within limits that anything would keep."""
    for name, image in (("one", astronaut()), ("none", scene(200, 300))):
        (tmp_path / name).mkdir()
        (tmp_path / name / "image.png").write_bytes(encoded(image))
    words = ["--photos", ".", "--mix", "none=1,one=1", "--arrivals", "2", "--processes", "2"]
    words += ["--max-p95", "60000", "--max-p99", "60000", "--min-rate", "0.001"]
    words += ["--csv", "load", "--html", "report.html"]
    done = locust(tmp_path, *addresses(service), *words)
    assert done.returncode == 0, done.stderr
    kinds = {(row["Type"], row["Name"]): int(row["Request Count"]) for row in rows_of(tmp_path)}
    total = kinds.pop(("", "Aggregated"))
    assert {name for _, name in kinds} == {"small, faces: none", "small, faces: one"}
    assert {protocol for protocol, _ in kinds} == {"REST", "gRPC"}
    assert sum(kinds.values()) == total
    assert "REST" in (tmp_path / "report.html").read_text()
    last = done.stderr[done.stderr.index("arrivals: ") :].splitlines()[0]
    assert last.startswith(f"arrivals: {total}, of which ")  # the last answers count too
    assert last.endswith("; 0 had no answer yet at the end and are not counted")
    assert 8 < total < 72  # 4 users, 2 a second, 4 seconds: 32, of a Poisson process


def test_limits_fail_the_run(service: Service, tmp_path):
    """Exceeded limits are printed last; the shape's users come and go."""
    words = ["--shape", "spike", "--large", "0.5", "--mix", "none=1,one=1,many=1"]
    words += ["--max-p95", "1", "--max-p99", "1", "--min-rate", "100000"]
    done = locust(tmp_path, *addresses(service), *words)
    assert done.returncode == 1
    *_, p95, p99, rate = done.stderr.splitlines()
    assert re.fullmatch(r"failed: p95 is \d+ ms, over --max-p95 1", p95)
    assert re.fullmatch(r"failed: p99 is \d+ ms, over --max-p99 1", p99)
    assert re.fullmatch(r"failed: [\d.]+ answers a second, under --min-rate 100000", rate)
    users = re.findall(r"Shape test updating to (\d+) users", done.stderr)
    assert users == ["1", "4", "1"]


def test_an_end_after_so_many_requests(service: Service, tmp_path):
    words = ["--requests", "20", "--grpc-share", "1", "-t", "600s"]
    done = locust(tmp_path, *addresses(service), *words, "--csv", "load")
    assert done.returncode == 0, done.stderr
    kinds = {row["Type"]: int(row["Request Count"]) for row in rows_of(tmp_path)}
    assert kinds.keys() == {"gRPC", ""}
    assert 20 <= kinds[""] < 200


@pytest.mark.parametrize("model", ["faces", "colour"])
def test_models_of_other_tasks(service: Service, tmp_path, model):
    words = ["--requests", "10", "-t", "600s", "--model-name", model, "--csv", "load"]
    done = locust(tmp_path, *addresses(service), *words)
    assert done.returncode == 0, done.stderr
    assert {row["Type"] for row in rows_of(tmp_path)} >= {"REST", "gRPC"}


@pytest.mark.parametrize(
    ("words", "code", "reason"),
    [
        (["--mix", "two=1"], 2, "argument --mix: 'two' is not one of none, one, many"),
        (["--photos", "nowhere", "--processes", "2"], 1, "nowhere is no folder"),
    ],
)
def test_what_cannot_be_sent_is_reported(tmp_path, words, code, reason):
    done = locust(tmp_path, *words)
    assert done.returncode == code
    assert f"error: {reason}" in done.stderr


def test_failed_requests_fail_the_run(service: Service, tmp_path):
    """A gRPC user who asks a REST port gets no answer that counts."""
    words = ["--host", service.rest, "--grpc-host", service.rest.removeprefix("http://")]
    done = locust(tmp_path, *words, "GrpcUser")
    assert done.returncode == 1
    assert "Error report" in done.stdout + done.stderr


def test_wrong_answers_fail_the_run(service: Service, tmp_path):
    """Images that are said to have one face, and have none."""
    for folder in ("commands", "face_age_client", "handler", "loadtests", "train"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    shutil.copytree(ROOT / "server", tmp_path / "server")
    (tmp_path / "server" / "canned.jpg").write_bytes(encoded(scene(200, 300), "JPEG"))
    words = ["--mix", "one=1", "RestUser"]
    done = locust(tmp_path, *addresses(service), *words)
    assert done.returncode == 1
    assert "0 faces where there are 1" in done.stdout + done.stderr


@pytest.mark.parametrize("words", [[], ["--max-error-rate", "1", "--arrivals", "3"]])
def test_no_service_fails_the_run_unless_it_may(tmp_path, words):
    (port,) = free_ports(1)
    host = f"http://127.0.0.1:{port}"
    done = locust(tmp_path, "--host", host, "-t", "2s", "--mix", "one=1", *words, "RestUser")
    assert done.returncode == (0 if words else 1), done.stderr
    assert "Connection refused" in done.stdout + done.stderr
    assert ("over --max-error-rate 0" in done.stderr) == (not words)
