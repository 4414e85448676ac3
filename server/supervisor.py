"""Runs TorchServe from start to end: ready, or one line that says why not; nothing left behind.

    python -m server.supervisor                serve until Ctrl-C or SIGTERM
    python -m server.supervisor --background   return as soon as it is ready
    python -m server.supervisor --stop         end the one that runs in the background
    python -m server.supervisor --models age=model_store/age.mar age=/elsewhere/age-2.mar

TorchServe itself says Healthy with a dead or missing model, leaves Java behind when its launcher
is ended and ignores SIGTERM as a container's first process; this is the process in front of it
that does not. Archives are looked at before it starts: it would serve without a damaged one. When
Java dies it is started again, after 1, 2, 4 ... 60 seconds; only a service that never became ready
is given up. Needs nothing but TorchServe and the standard library.
"""

import argparse
import os
import signal
import subprocess  # nosec B404
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from server import readiness
from server.console import close_output, say
from server.processes import GRACE, TICK, end_leftovers, is_supervisor
from server.service import Fault, Service
from server.serving import STARTING, STARTUP, serve
from server.state import Notes, State, StateError


def foreground(service: Service, lock: int | None) -> int:
    """Serve, unless that is done already; `lock`: what `background` locked."""
    service.check_storage()
    state = State(service.state, lock)
    if not state.acquire():
        return already_running(service, state.read())
    return serve(service, state)


def already_running(service: Service, notes: Notes | None) -> int:
    """Say so; raise Fault where what runs is not what was asked for."""
    if notes is None:
        raise Fault("another is just starting or ending: try again in a second")
    wanted = [str(model) for model in service.served()]
    if notes.models and notes.models != wanted:
        raise Fault(
            f"already running (process {notes.pid}) with {'; '.join(notes.models)}, not "
            f"{'; '.join(wanted)}: end it first (scripts/serve.sh --stop)"
        )
    say(f"already running (process {notes.pid})")
    say(notes.announcement or "it is still starting")
    return 0


def background(arguments: list[str], service: Service) -> int:
    """Start a supervisor that outlives this process; return when the service is ready."""
    service.check_storage()
    state = State(service.state)
    if not state.acquire():
        return await_another(service, state)
    output = service.logs / "supervisor.log"
    with output.open("w") as log:
        child = subprocess.Popen(  # nosec B603  # no shell, no stranger's words
            [sys.executable, "-m", "server.supervisor", *arguments, f"--lock={state.fileno()}"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=[state.fileno()],
        )
    try:
        while child.poll() is None:
            if (notes := _notes(state)) and notes.pid == child.pid and notes.announcement:
                break
            time.sleep(TICK)
    except KeyboardInterrupt:
        child.terminate()
        child.wait()
    lines = output.read_text(errors="replace").splitlines()
    if child.returncode and not lines:
        raise Fault(f"it did not start, and could not write to {output} why: make room")
    for line in lines:
        if child.returncode and not line.startswith(STARTING):
            print(line, file=sys.stderr)
        else:
            say(line)
    return child.returncode or 0


def await_another(service: Service, state: State) -> int:
    """Return when what somebody else is starting is ready."""
    until = time.monotonic() + STARTUP
    while not state.acquire():
        if (notes := _notes(state)) and notes.announcement:
            return already_running(service, notes)
        if time.monotonic() > until:
            raise Fault(f"another is starting, and not ready after {STARTUP:.0f} s")
        time.sleep(TICK)
    raise Fault(
        f"the one that was starting ended before it was ready; {service.logs / 'supervisor.log'} "
        "may say why: try again"
    )


def _notes(state: State) -> Notes | None:
    """What there is to read; the child replaces notes that cannot be."""
    try:
        return state.read()
    except StateError:
        return None


def stop(service: Service) -> int:
    """End the supervisor that runs, or what a killed one left."""
    state = State(service.state)
    if state.acquire():
        left = end_leftovers(state)
        told = f"ended {left} processes that a killed supervisor left" if left else "nothing runs"
        state.read()  # which refuses what is not ours
        state.clear()
        say(told)
        return 0
    notes = state.read()
    if notes is None:
        raise Fault("it is just starting or ending: try again in a second")
    if not is_supervisor(notes.pid, state):
        raise Fault(
            f"{state.file} names process {notes.pid}, which does not hold {service.state}/lock: "
            "nothing is ended; end what holds it by hand (lsof tells), then remove the file"
        )
    os.kill(notes.pid, signal.SIGTERM)
    until = time.monotonic() + 3 * GRACE
    while not state.acquire():
        if time.monotonic() > until:
            raise Fault(f"process {notes.pid} did not end within {3 * GRACE:.0f} s")
        time.sleep(TICK)
    say("stopped: Java and the workers are gone")
    return 0


def main(words: Sequence[str] | None = None) -> int:
    """Do what the command line, or `words` in its place, asks for; gives the exit code."""
    words = sys.argv[1:] if words is None else words
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
    parser.add_argument("--lock", type=int, help=argparse.SUPPRESS)  # of the one in the background
    arguments = parser.parse_args(words)
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
            return background([word for word in words if word != "--background"], service)
        return foreground(service, arguments.lock)
    except (Fault, StateError, readiness.NotReady) as error:
        print(f"error: {error}", file=sys.stderr)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        print(f"error: {place}{error.strerror or error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("error: stopped", file=sys.stderr)
    return 1


if __name__ == "__main__":
    code = main()
    close_output()
    sys.exit(code)
