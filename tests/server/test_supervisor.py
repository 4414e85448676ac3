"""server/supervisor.py and what it stands on; with a real TorchServe in tests/service."""

import dataclasses
import io
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from handler.integrity import HASHES
from server import readiness, supervisor
from server.console import Console
from server.processes import State, TorchServe, end_leftovers
from server.supervisor import Fault, Service
from tests.archives import rewritten
from tests.torchserve import private_addresses

WORKER = "2026-01-01T00:00:00,000 [INFO ] W-9000-age_1.0-stdout MODEL_LOG - "
DIED = "2026-01-01T00:00:00,000 [INFO ] W-9000-age_1.0 o.p.s.w.WorkerThread - Retry worker: 9000 in"


FORM = "give NAME=ARCHIVE, such as age=model_store/age.mar"


def console(*lines: str) -> Console:
    read = Console(io.BytesIO("\n".join(lines).encode()), echo=False)
    read.close()
    return read


class TestConsole:
    def test_nothing_is_wrong_while_nothing_is(self) -> None:
        read = console(WORKER + "model_name: age, batchSize: 8", WORKER + "Torch worker started.")
        assert not read.worker_died

    def test_gives_the_exception_that_ended_the_worker(self) -> None:
        read = console(
            WORKER + "Backend worker process died.",
            WORKER + "Traceback (most recent call last):",
            WORKER + '  File "age_handler.py", line 40, in initialize',
            WORKER + "handler.contract.ContractError: the contract has schema 7",
            DIED + " 1 seconds.",
        )
        assert read.worker_died
        assert read.reason() == "handler.contract.ContractError: the contract has schema 7"

    def test_skips_what_torchserve_adds_to_the_cause(self) -> None:
        read = console(
            WORKER + "Traceback (most recent call last):",
            WORKER + "    import facenet_pytorch",
            WORKER + "ModuleNotFoundError: No module named 'facenet_pytorch'",
            WORKER,
            WORKER + "During handling of the above exception, another exception occurred:",
            WORKER,
            WORKER + "Traceback (most recent call last):",
            WORKER + "    module = importlib.import_module(module_name)",
            WORKER + "ModuleNotFoundError: No module named 'ts.torch_handler.age_handler'",
            WORKER + "Traceback (most recent call last):",
            WORKER + '    raise RuntimeError("{} - {}".format(code, result))',
            WORKER + "RuntimeError: 500 - Unknown exception",
        )
        assert read.reason() == "ModuleNotFoundError: No module named 'facenet_pytorch'"

    def test_gives_javas_error_where_no_worker_raised(self) -> None:
        read = console(
            "2026-01-01T00:00:00,000 [ERROR] main org.pytorch.serve.ModelServer - Cannot bind",
            "java.io.IOException: Failed to bind",
            "\tat org.pytorch.serve.ModelServer.initializeServer(ModelServer.java:395)",
        )
        assert read.reason() == "Cannot bind"

    def test_gives_the_last_line_where_nothing_else_is_known(self) -> None:
        assert console("Unrecognized VM option", "Could not create Java.", "").reason() == (
            "Could not create Java."
        )

    def test_an_archive_that_cannot_be_loaded_counts_as_a_death(self) -> None:
        assert console("[WARN ] main o.p.s.ModelServer - Failed to load model: x.mar").worker_died

    def test_echoes(self, capsys: pytest.CaptureFixture[str]) -> None:
        Console(io.BytesIO(b"one\n\xff two\n"), echo=True).close()
        assert capsys.readouterr().out == "one\n� two\n"


def test_a_full_disk_is_no_reason_to_end() -> None:
    code = "from server import console; console.say('x'); console.say('y'); console.close_output()"
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=readiness.ROOT,
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert (done.returncode, done.stderr) == (0, b"")


class TestState:
    def test_one_holds_it_at_a_time(self, tmp_path: Path) -> None:
        with closing(State(tmp_path)) as second:
            with closing(State(tmp_path)) as first:
                assert first.acquire()
                assert not second.acquire()
            assert second.acquire()

    def test_notes_are_read_back(self, tmp_path: Path) -> None:
        with closing(State(tmp_path)) as state:
            assert state.read() == {}
            state.write(pid=5, folder="x")
            assert state.read() == {"pid": 5, "folder": "x"}
            (tmp_path / "state.json").write_text('{"pid"')
            assert state.read() == {}

    def test_leftovers_are_known_by_their_folder(self, tmp_path: Path) -> None:
        folder = tmp_path / "age-x"
        folder.mkdir()
        sleep = [sys.executable, "-c", "import time; time.sleep(60)"]
        ours = subprocess.Popen([*sleep, f"-Djava.io.tmpdir={folder}"])
        other = subprocess.Popen([*sleep, "-Djava.io.tmpdir=/tmp/another"])
        try:
            with closing(State(tmp_path)) as state:
                state.write(pid=1, folder=str(folder))
                assert end_leftovers(state) == 1
                assert state.read() == {}
            assert ours.wait(10) == -signal.SIGKILL
            assert other.poll() is None
            assert not folder.exists()
        finally:
            other.kill()
            other.wait()


@pytest.fixture
def service(model_store: Path, tmp_path: Path) -> Service:
    shutil.copy(model_store / "age.mar", tmp_path)
    config = readiness.ROOT / "config.properties"
    return Service(config, tmp_path, ["age=age.mar"], tmp_path / "state", echo=False)


class TestChecks:
    """What is told before TorchServe is started."""

    def test_java_is_missing(self, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", str(service.state))
        monkeypatch.delenv("JAVA_HOME", raising=False)
        with pytest.raises(Fault, match=r"^no java in PATH: install Java 17 or newer"):
            supervisor.check(service)

    def test_java_home_is_wrong(self, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("JAVA_HOME", "/nowhere")
        with pytest.raises(Fault, match=r"^no java in JAVA_HOME=/nowhere: "):
            supervisor.check(service)

    def test_the_archive_is_missing(self, service: Service) -> None:
        (service.model_store / "age.mar").unlink()
        with pytest.raises(Fault, match=r"age\.mar is missing: make it with scripts/archive"):
            supervisor.check(service)

    def test_the_archive_is_damaged(self, service: Service) -> None:
        (service.model_store / "age.mar").write_bytes(b"PK\x03\x04 and no more")
        with pytest.raises(Fault, match=r"age\.mar is damaged: make it anew"):
            supervisor.check(service)

    def test_the_one_that_is_damaged_is_named(self, service: Service) -> None:
        other = Path(shutil.copy(service.model_store / "age.mar", service.model_store / "2.mar"))
        rewritten(other, {"handler/spy.py": b""})
        several = dataclasses.replace(service, models=["age=age.mar", "age=2.mar"])
        with pytest.raises(Fault) as refused:
            supervisor.check(several)
        assert str(refused.value) == (
            f"{other} is damaged: make it anew with scripts/archive.py "
            "('handler/spy.py' is not in its hashes.json)"
        )

    def test_somebody_elses_archive_is_served_where_that_is_asked_for(
        self, service: Service, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for key, value in private_addresses().items():
            monkeypatch.setenv(key, value)
        rewritten(service.model_store / "age.mar", {HASHES: None})
        with pytest.raises(Fault, match=r"it has no hashes\.json"):
            supervisor.check(service)
        supervisor.check(dataclasses.replace(service, foreign=True))


@pytest.mark.parametrize("own", [None, "glibc.malloc.hugetlb=0"])
def test_large_pages_unless_the_user_says_otherwise(
    own: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if own is None:
        monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    else:
        monkeypatch.setenv("GLIBC_TUNABLES", own)
    tell = f"import os; open({str(tmp_path / 'told')!r}, 'w').write(os.environ['GLIBC_TUNABLES'])"
    started = TorchServe([sys.executable, "-c", tell], tmp_path / "logs", echo=False)
    try:
        until = time.monotonic() + 30
        while started.runs():
            assert time.monotonic() < until
            time.sleep(0.02)
    finally:
        started.end()
    assert (tmp_path / "told").read_text() == (own or "glibc.malloc.hugetlb=1")


def test_stop_without_a_service_is_fine(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "server.supervisor", "--stop", "--state", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "nothing runs\n", "")


class TestServeScript:
    """scripts/serve.sh, where it needs no environment."""

    script = readiness.ROOT / "scripts" / "serve.sh"

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = ["bash", str(self.script), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def test_help(self) -> None:
        done = self.run("--help")
        assert done.returncode == 0
        assert done.stdout.startswith("usage: scripts/serve.sh [--background | --stop] ")

    def test_unknown_option(self) -> None:
        done = self.run("--backgroud")
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == "error: unknown option --backgroud (scripts/serve.sh --help)\n"

    @pytest.mark.parametrize(
        ("words", "told"),
        [
            ("--models", f"--models names nothing: {FORM}"),
            ("--models --background", f"--models names nothing: {FORM}"),
            ("--models age.mar", f"--models age.mar: {FORM}"),
            ("--models=all", f"--models all: {FORM}"),
            ("--models age=a.mar age=", f"--models age=: {FORM}"),
            ("--model", "--model needs a file: --model runs/mine/age.pt"),
            ("--model --background", "--model needs a file: --model runs/mine/age.pt"),
            ("--model=", "--model needs a file: --model runs/mine/age.pt"),
            ("--model a --model b", "one --model at a time; two versions: --models NAME=ARCHIVE "),
            ("--model a --models b=c", "one of --model, which packs a model, and --models, which "),
            ("--background --stop", "one of --background and --stop (scripts/serve.sh --help)"),
            ("--stop --models a=b", "--stop ends whatever runs: give it alone"),
            ("mine.pt", "unknown argument mine.pt: a model is given by --model FILE, an archive "),
            ("--models a=b -x", "unknown option -x (scripts/serve.sh --help)"),
        ],
    )
    def test_a_wrong_argument_is_told_the_right_form(self, words: str, told: str) -> None:
        done = self.run(*words.split())
        assert (done.returncode, done.stdout) == (1, "")
        (line,) = done.stderr.splitlines()
        assert line.startswith(f"error: {told}")

    @pytest.mark.parametrize("option", ["--model FILE", "--models NAME=ARCHIVE ..."])
    def test_help_names_the_option(self, option: str) -> None:
        assert f"\n  {option} " in self.run("--help").stdout

    def test_no_python(self, tmp_path: Path) -> None:
        command = f"source scripts/environment.sh; PATH={tmp_path}; find_python"
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=readiness.ROOT,
            env={k: v for k, v in os.environ.items() if k != "PYTHON"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1
        assert done.stderr.startswith("error: no Python 3.11 to 3.13 found: install one")
