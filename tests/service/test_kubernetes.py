"""The Deployment of deploy/kubernetes, really run: pods by podman, in turns, behind the proxy.

Podman has no controller and no Services, and does not run preStop: the test starts and stops the
pods in the order of a rolling update, and tells nginx where they are, in a reload.
"""

import copy
import http.client
import os
import re
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from face_age_client.rest import RestClient
from face_age_client.rpc import GrpcClient
from handler.integrity import weights_identity
from server import readiness
from tests.container import HERE, TAG, tool
from tests.faults.load import load
from tests.kubernetes import only, rendered
from tests.proxy.proxy import Proxy, await_end, proxied
from tests.torchserve import Service, free_ports

pytestmark = HERE
NEWER = "face-age:test-newer"
USERS = 4
PREFIX = f"face-age-{os.getpid()}"


@dataclass(frozen=True)
class Pod:
    """One that is ready, and its ports on this machine."""

    container: str
    rest: int
    grpc: int
    management: int  # what may be read of it


@contextmanager
def pod(name: str, image: str, folder: Path) -> Iterator[Pod]:
    """The Deployment's pod with that image."""
    deployment = copy.deepcopy(only(rendered("overlays/cpu"), "Deployment"))
    deployment["metadata"]["name"] = name
    deployment["spec"]["replicas"] = 1
    pod_spec = deployment["spec"]["template"]["spec"]
    (container,) = pod_spec["containers"]
    # podman's emptyDir is a volume of that name, whichever pod it is of
    (volume,), (mount,) = pod_spec["volumes"], container["volumeMounts"]
    volume["name"] = mount["name"] = f"{name}-tmp"
    container |= {"image": f"localhost/{image}", "imagePullPolicy": "Never"}
    ports = dict(zip(("rest", "grpc", "metrics", "models"), free_ports(4), strict=True))
    for port in container["ports"]:
        port |= {"hostIP": "127.0.0.1", "hostPort": ports[port["name"]]}
    file = folder / f"{name}.yaml"
    file.write_text(yaml.safe_dump(deployment))
    found = Pod(f"{name}-pod-0-face-age", ports["rest"], ports["grpc"], ports["models"])
    try:
        tool("podman", "play", "kube", str(file))
        until = time.monotonic() + 180
        while not tool(
            "podman", "exec", found.container, "face-age", "ready", check=False
        ).startswith("ready: "):
            assert time.monotonic() < until, tool("podman", "logs", found.container)[-3000:]
            time.sleep(1)
        yield found
    finally:
        tool("podman", "play", "kube", "--down", str(file), check=False)


@pytest.fixture(scope="module")
def newer_image(
    image: None, model_store: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """NEWER: the same image with another model."""
    folder = tmp_path_factory.mktemp("newer")
    shutil.copy(model_store / "age.mar", folder)
    (folder / "Dockerfile").write_text(
        f"FROM localhost/{TAG}\nCOPY age.mar /app/model_store/age.mar\n"
    )
    tool("build", str(folder), NEWER)
    yield
    tool("podman", "rmi", NEWER)


def test_the_pod_answers_with_the_rights_that_it_is_given(image: None, tmp_path: Path) -> None:
    content = readiness.PROBE_IMAGE.read_bytes()
    with pod(f"{PREFIX}-one", TAG, tmp_path) as one:
        with RestClient(f"http://127.0.0.1:{one.rest}") as client:
            by_rest = client.predict(content)
        with GrpcClient(f"127.0.0.1:{one.grpc}") as caller:
            by_grpc = caller.predict(content)
        state = "/proc/1/status"
        lines = [
            "import errno, os, re",
            "assert os.getuid() == os.getgid() == 10001, (os.getuid(), os.getgid())",
            f"status = open({state!r}).read()",
            "assert re.search(r'CapEff:\\t0+\\n', status), status",
            "assert 'NoNewPrivs:\\t1' in status, status",
            "for folder in ('/app', '/var/tmp'):",
            "    try:",
            "        open(os.path.join(folder, 'file'), 'w')",
            "    except OSError as error:",
            "        assert error.errno == errno.EROFS, (folder, error)",
            "    else:",
            "        raise AssertionError(folder + ' can be written to')",
        ]
        tool("podman", "exec", one.container, "python", "-c", "\n".join(lines))
    assert by_rest.content == by_grpc.content
    assert len(by_rest.faces) == 1


def test_a_rolling_update_behind_the_proxy_loses_nothing(
    newer_image: None, nginx: None, model_file: Path, tmp_path: Path
) -> None:
    """maxSurge 1, maxUnavailable 0: a new pod is ready before an old one goes."""
    with ExitStack() as pods:

        def start(name: str, image: str) -> Pod:
            return pods.enter_context(pod(f"{PREFIX}-{name}", image, tmp_path))

        first, second = start("old-1", TAG), start("old-2", TAG)
        with proxied(service_at(first)) as proxy:
            spread(proxy, first, second)
            trust = proxy.trust()

            def connect() -> http.client.HTTPConnection:
                return http.client.HTTPSConnection(
                    "127.0.0.1", proxy.port, timeout=60, context=trust
                )

            with load(connect, USERS, {"Authorization": f"Bearer {proxy.new_key()}"}) as users:
                third = start("new-1", NEWER)
                spread(proxy, first, third)
                tool("podman", "stop", "--time", "20", second.container)
                users.await_answers(USERS)
                fourth = start("new-2", NEWER)
                spread(proxy, third, fourth)
                tool("podman", "stop", "--time", "20", first.container)
                users.await_answers(USERS)
            key = proxy.new_key()
            image = readiness.PROBE_IMAGE.read_bytes()
            answers = [proxy.ask(image, key=key) for _ in range(4)]
            ready = proxy.ask(path="/v2/models/age/ready", method="GET")
            described = proxy.ask(path="/v2/models/age", method="GET", key=key)
    assert users.lost == {}
    weights = {answer.content["model"]["weights"] for answer in answers}
    assert weights == {weights_identity(model_file)}
    assert ready.content == {"name": "age", "ready": True}
    assert described.content["versions"] == ["1.0"]


def service_at(pod: Pod) -> Service:
    return Service(f"http://127.0.0.1:{pod.rest}", "", "", f"127.0.0.1:{pod.grpc}", "", Path())


def spread(proxy: Proxy, *pods: Pod) -> None:
    """Pass requests on to these pods alone; return when the others have answered theirs."""
    file = proxy.folder / "site.conf"
    text = file.read_text()
    for name in ("rest", "grpc", "management"):
        servers = "".join(f"    server 127.0.0.1:{getattr(pod, name)};\n" for pod in pods)
        text, changes = re.subn(
            rf"(upstream torchserve_{name} {{[^\n]*\n)[^}}]+", rf"\g<1>{servers}", text, count=1
        )
        assert changes == 1
    file.write_text(text)
    before = proxy.workers()
    os.kill(int(proxy.pid_file.read_text()), signal.SIGHUP)
    for worker in before:
        await_end(worker)
