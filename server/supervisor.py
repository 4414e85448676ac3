"""Runs TorchServe from start to stop: it becomes ready, or one line says why not.

    python -m server.supervisor                serve until Ctrl-C or SIGTERM
    python -m server.supervisor --background   return as soon as it is ready
    python -m server.supervisor --stop         stop the one in the background
    python -m server.supervisor --models age=model_store/age.mar age=/elsewhere/age-2.mar

TorchServe says Healthy with a dead or missing model, leaves Java behind when its launcher is
killed, and ignores SIGTERM as a container's first process. This supervisor does none of these. It
checks archives before the start, because TorchServe serves without a damaged one. When Java dies,
it restarts TorchServe after 1, 2, 4 ... 60 seconds; it gives up only on a service that never
became ready. Needs only TorchServe and the standard library.
"""

import argparse
import os
import signal
import subprocess  # nosec B404
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from server.errors import CommandError, exit_code_of
from server.lifecycle import STARTING, STARTUP_TIMEOUT, run_service
from server.output import exit_with, print_line
from server.processes import GRACE, POLL_INTERVAL, is_lock_holder, kill_orphans
from server.service_config import ServiceConfig
from server.state_folder import StateError, StateFolder, StateRecord


def foreground(service: ServiceConfig, lock: int | None) -> int:
    """Serve, unless another supervisor does; `lock` is inherited from `background`."""
    service.check_storage()
    state = StateFolder(service.state, lock)
    if not state.acquire():
        return already_running(service, state.read())
    return run_service(service, state)


def already_running(service: ServiceConfig, record: StateRecord | None) -> int:
    """Print where it answers. Raises CommandError if it serves other models."""
    if record is None:
        raise CommandError("another is just starting or ending: try again in a second")
    wanted = [str(model) for model in service.read_models()]
    if record.models and record.models != wanted:
        raise CommandError(
            f"already running (process {record.pid}) with {'; '.join(record.models)}, not "
            f"{'; '.join(wanted)}: stop it first (scripts/serve.sh --stop)"
        )
    print_line(f"already running (process {record.pid})")
    print_line(record.announcement or "it is still starting")
    return 0


def background(arguments: list[str], service: ServiceConfig) -> int:
    """Start a supervisor that outlives this process; return when the service is ready."""
    service.check_storage()
    state = StateFolder(service.state)
    if not state.acquire():
        return await_another(service, state)
    output = service.logs / "supervisor.log"
    with output.open("w") as log:
        child = subprocess.Popen(  # nosec B603  # no shell, no user input
            [sys.executable, "-m", "server.supervisor", *arguments, f"--lock={state.fileno()}"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=[state.fileno()],
        )
    try:
        while child.poll() is None:
            if (record := _read(state)) and record.pid == child.pid and record.announcement:
                break
            time.sleep(POLL_INTERVAL)
    except KeyboardInterrupt:
        child.terminate()
        child.wait()
    lines = output.read_text(errors="replace").splitlines()
    if child.returncode and not lines:
        raise CommandError(f"it did not start, and could not write to {output} why: make room")
    for line in lines:
        if child.returncode and not line.startswith(STARTING):
            print(line, file=sys.stderr)
        else:
            print_line(line)
    return child.returncode or 0


def await_another(service: ServiceConfig, state: StateFolder) -> int:
    """Return when the service that another process is starting is ready."""
    deadline = time.monotonic() + STARTUP_TIMEOUT
    while not state.acquire():
        if (record := _read(state)) and record.announcement:
            return already_running(service, record)
        if time.monotonic() > deadline:
            raise CommandError(f"another is starting, and not ready after {STARTUP_TIMEOUT:.0f} s")
        time.sleep(POLL_INTERVAL)
    raise CommandError(
        f"the other one ended before it was ready; {service.logs / 'supervisor.log'} "
        "may say why: try again"
    )


def _read(state: StateFolder) -> StateRecord | None:
    """The state file, None if it is broken: the starting supervisor replaces it."""
    try:
        return state.read()
    except StateError:
        return None


def stop(service: ServiceConfig) -> int:
    """Stop the running supervisor, or kill what a killed one left."""
    state = StateFolder(service.state)
    if state.acquire():
        killed = kill_orphans(state)
        state.read()  # raises on another service's state file, which stays
        state.clear()
        print_line(f"killed {killed} orphaned processes" if killed else "nothing runs")
        return 0
    record = state.read()
    if record is None:
        raise CommandError("it is just starting or ending: try again in a second")
    if not is_lock_holder(record.pid, state):
        raise CommandError(
            f"{state.file} names process {record.pid}, which does not hold {service.state}/lock: "
            "nothing is stopped; stop the lock's holder (see lsof), then remove the file"
        )
    os.kill(record.pid, signal.SIGTERM)
    deadline = time.monotonic() + 3 * GRACE
    while not state.acquire():
        if time.monotonic() > deadline:
            raise CommandError(f"process {record.pid} did not end within {3 * GRACE:.0f} s")
        time.sleep(POLL_INTERVAL)
    print_line("stopped: Java and the workers are gone")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line, or `arguments` in its place; returns the exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(description="Run TorchServe from start to stop.")
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--background", action="store_true", help="return when it is ready")
    action.add_argument("--stop", action="store_true", help="stop the one in the background")
    parser.add_argument("--config", type=Path, default=Path("config.properties"))
    parser.add_argument("--model-store", type=Path, default=Path("model_store"))
    parser.add_argument(
        "--models",
        nargs="*",
        default=["age=age.mar"],
        metavar="NAME=ARCHIVE",
        help="the models: files in the model store, or paths",
    )
    parser.add_argument(
        "--state", type=Path, default=Path(".serve"), help="folder for lock and logs"
    )
    parser.add_argument("--echo", action="store_true", help="print TorchServe's log as well")
    parser.add_argument(
        "--foreign", action="store_true", help="archives that scripts/archive.py did not make"
    )
    parser.add_argument(
        "--rollouts", action="store_true", help="let face-age rollout load further versions"
    )
    parser.add_argument("--lock", type=int, help=argparse.SUPPRESS)  # from `background`
    options = parser.parse_args(arguments)
    service = ServiceConfig(
        options.config,
        options.model_store,
        options.models,
        options.state,
        options.echo,
        options.foreign,
        options.rollouts,
    )

    def command() -> int:
        if options.stop:
            return stop(service)
        if options.background:
            return background([word for word in arguments if word != "--background"], service)
        return foreground(service, options.lock)

    try:
        return exit_code_of(command)
    except KeyboardInterrupt:
        print("error: stopped", file=sys.stderr)
        return 1


if __name__ == "__main__":
    exit_with(main())
