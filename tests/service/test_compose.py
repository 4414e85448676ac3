"""deploy/compose.yaml, really run by a Docker engine: proxy, service and Prometheus.

Skipped where no engine answers. Images are built by the CONTAINER_TOOL. Grafana is left out, and
Prometheus is Debian's: public images cannot be had everywhere.
"""

import http.client
import json
import os
import shutil
import ssl
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from deploy import keys
from face_age_client.rest import RestClient
from face_age_client.rpc import GrpcClient
from server import readiness
from tests.compose import for_old_compose
from tests.container import HERE, TAG, tool
from tests.faults.load import load
from tests.torchserve import ROOT, free_ports

pytestmark = HERE
USERS = 4
PROJECT = f"face-age-test-{os.getpid()}"
PROMETHEUS = """
FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends prometheus curl \\
    && install -d -o 65534 -g 65534 /prometheus
USER 65534:65534
ENTRYPOINT ["prometheus"]
"""
IMAGES = {"face-age": TAG, "proxy": "face-age-proxy:test", "prometheus": "prometheus:test"}


@dataclass(frozen=True)
class Running:
    """The services of the file."""

    command: tuple[str, ...]  # of Compose
    deploy: Path  # a copy of deploy/, with secrets of its own
    https: int  # the proxy's port
    prometheus: int

    @property
    def certificate(self) -> Path:
        return self.deploy / "secrets" / "proxy" / "certificate.pem"

    def new_key(self, name: str) -> str:
        return keys.add(self.deploy / "secrets" / "proxy" / "keys", name)

    def inside(self, service: str, *words: str) -> subprocess.CompletedProcess[str]:
        command = [*self.command, "exec", "-T", service, *words]
        return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def engine() -> None:
    if not (shutil.which("docker") and shutil.which("docker-compose")):
        pytest.skip("no docker-compose: apt install docker.io docker-compose")
    done = subprocess.run(["docker", "version"], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("no Docker engine runs")


@pytest.fixture(scope="module")
def images(engine: None, image: None, tmp_path_factory: pytest.TempPathFactory) -> None:
    """All three, in the engine."""
    nginx = ROOT / "deploy" / "nginx"
    tool("build", str(nginx), IMAGES["proxy"], "-f", str(nginx / "container" / "Dockerfile"))
    folder = tmp_path_factory.mktemp("prometheus")
    (folder / "Dockerfile").write_text(PROMETHEUS)
    tool("build", str(folder), IMAGES["prometheus"])
    for tag in IMAGES.values():
        archive = folder / "image.tar"
        name = f"localhost/{tag}"
        tool("podman", "save", "--format", "docker-archive", "--output", str(archive), name)
        subprocess.run(["docker", "load", "--input", archive], check=True, capture_output=True)
        archive.unlink()


@pytest.fixture(scope="module")
def running(images: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("compose")
    deploy = folder / "deploy"
    shutil.copytree(ROOT / "deploy", deploy, ignore=shutil.ignore_patterns("secrets"))
    deploy.chmod(0o755)
    made = [deploy / "secrets.sh", "localhost", "127.0.0.1"]
    subprocess.run(made, check=True, capture_output=True)
    https, prometheus = free_ports(2)
    override = {
        "services": {name: {"image": f"localhost/{tag}"} for name, tag in IMAGES.items()},
    }
    # Debian's promtool is older than its `check ready`.
    override["services"]["prometheus"]["healthcheck"] = {
        "test": ["CMD", "curl", "-fsS", "http://127.0.0.1:9090/-/ready"]
    }
    (folder / "override.yaml").write_text(yaml.safe_dump(override))
    # fmt: off
    command = (
        "docker-compose", "--project-directory", str(deploy), "-p", PROJECT,
        "-f", str(for_old_compose(folder / "compose.yaml")), "-f", str(folder / "override.yaml"),
    )
    # fmt: on
    environ = os.environ | {
        "FACE_AGE_LISTEN": f"127.0.0.1:{https}",
        "PROMETHEUS_LISTEN": str(prometheus),
    }
    try:
        up = [*command, "up", "-d", "--no-build", "proxy", "prometheus"]
        done = subprocess.run(up, env=environ, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
        yield Running(command, deploy, https, prometheus)
    finally:
        down = [*command, "down", "--volumes"]
        subprocess.run(down, env=environ, capture_output=True, check=False)


def test_rest_and_grpc_are_answered_through_the_proxy(running: Running) -> None:
    key = running.new_key("asks")
    content = readiness.PROBE_IMAGE.read_bytes()
    url = f"https://localhost:{running.https}"
    given = {"api_key": key, "ca_file": running.certificate, "timeout": 60}
    with RestClient(url, **given) as client, GrpcClient(url, **given) as caller:
        answers = [client.predict(content), caller.predict(content)]
    assert answers[0].content == answers[1].content
    assert len(answers[0].faces) == 1


def test_the_proxy_says_what_models_there_are(running: Running) -> None:
    """Of TorchServe's management no more than that is reached."""
    trust = ssl.create_default_context(cafile=str(running.certificate))
    url = f"https://localhost:{running.https}"
    for path, content in (
        ("/v2/health/ready", {"ready": True}),
        ("/v2/models/age/ready", {"name": "age", "ready": True}),
    ):
        with urllib.request.urlopen(url + path, context=trust) as answer:
            assert json.load(answer) == content
    ask = ["curl", "-sS", "--max-time", "5", "--output", "/dev/null", "--write-out", "%{http_code}"]
    at = "http://face-age:8083/models/age"
    assert running.inside("proxy", *ask, at).stdout == "200"
    assert running.inside("proxy", *ask, "-X", "DELETE", at).stdout == "501"
    assert running.inside("proxy", *ask, "-X", "PUT", f"{at}?min_worker=0").stdout == "501"
    assert running.inside("proxy", *ask, "http://face-age:8081/models").returncode != 0


def test_the_scraper_alone_reaches_the_metrics(running: Running) -> None:
    ask = ["curl", "-sS", "--max-time", "5", "--output", "/dev/null"]
    address = running.inside("prometheus", "getent", "hosts", "face-age-metrics").stdout.split()[0]
    assert running.inside("prometheus", *ask, f"http://{address}:8082/metrics").returncode == 0
    for host in ("face-age-metrics", address, "face-age"):
        assert running.inside("proxy", *ask, f"http://{host}:8082/metrics").returncode != 0, host
    assert running.inside("proxy", *ask, "http://face-age:8080/ping").returncode == 0


def test_prometheus_scrapes_it_and_has_the_rules(running: Running) -> None:
    def ask(path: str, **words: str) -> list[dict[str, object]]:
        query = urllib.parse.urlencode(words)
        url = f"http://127.0.0.1:{running.prometheus}/api/v1/{path}?{query}"
        with urllib.request.urlopen(url) as answer:
            data = json.load(answer)["data"]
        found: list[dict[str, object]] = data.get("result", data.get("groups"))
        return found

    until = time.monotonic() + 60
    while [each["value"][1] for each in ask("query", query='up{job="face-age"}')] != ["1"]:
        assert time.monotonic() < until
        time.sleep(1)
    assert {each["name"] for each in ask("rules")} == {"face-age-objectives", "face-age-alerts"}


def test_a_stop_under_load_loses_nothing(running: Running) -> None:
    """Compose stops the proxy first, which answers what it has accepted. Last: all is gone then."""
    trust = ssl.create_default_context(cafile=str(running.certificate))

    def connect() -> http.client.HTTPConnection:
        return http.client.HTTPSConnection("127.0.0.1", running.https, timeout=60, context=trust)

    key = running.new_key("loads")
    with load(connect, USERS, {"Authorization": f"Bearer {key}"}) as users:
        stop = [*running.command, "stop"]
        subprocess.run(stop, capture_output=True, check=True)
    assert users.lost == {}
    states = ["docker", "ps", "-a", "--filter", f"label=com.docker.compose.project={PROJECT}"]
    done = subprocess.run([*states, "--format", "{{.Status}}"], capture_output=True, text=True)
    assert [line[:10] for line in done.stdout.splitlines()] == 3 * ["Exited (0)"]
