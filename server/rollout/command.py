"""`face-age rollout`: a new version of a model beside the one that serves, then in its place."""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, NoReturn

from server import readiness
from server.archive import ROOT, STORE
from server.cli import state_folder
from server.errors import CommandError, exit_code_of
from server.models import ServedModel, parse_model, read_models
from server.output import print_line
from server.rollout.comparison import Limits
from server.rollout.management import Management
from server.rollout.plan import PlanFile
from server.rollout.record import Record, Release, Step, locked
from server.rollout.steps import Rollout, Settings
from server.state_folder import StateFolder

PLAN: Final = Path("/etc/face-age/rollout")  # as in deploy/nginx/site.conf
NOTHING: Final = "there is no roll-out: begin one with face-age rollout start NAME=ARCHIVE"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line, or `arguments` in its place; returns the exit code."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        return exit_code_of(lambda: _run(options))
    except KeyboardInterrupt:
        print(
            "error: interrupted; the proxy asks the candidate for nothing. The same command goes "
            "on from here, and face-age rollout rollback undoes it",
            file=sys.stderr,
        )
        return 1


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def _run(options: argparse.Namespace) -> int:
    state: Path = options.state or state_folder()
    if options.action == "status":
        return _status(state)
    service = StateFolder(state).read()
    if service is None or service.folder is None:
        raise CommandError(f"no service runs with the state folder {state}: start one (--rollouts)")
    store = Path(service.folder) / "store"
    if not store.is_dir():
        raise CommandError("the service runs without roll-outs: stop it, start it with --rollouts")
    addresses = readiness.Addresses.read(options.config, os.environ)
    with locked(state):
        record = _record(options, state, store, addresses)
        with PlanFile(options.plan) as plans:
            rollout = Rollout(record, state, store, addresses, plans, _settings(options))
            rollout.run()
    wanted = Step.ROLLED_BACK if options.action == "rollback" else Step.PROMOTED
    return 0 if rollout.record.step is wanted else 1


def _record(
    options: argparse.Namespace, state: Path, store: Path, addresses: readiness.Addresses
) -> Record:
    """The roll-out to run. Raises CommandError if the command does not suit where it stands."""
    record = Record.read(state)
    if options.action == "start":
        return _started(options.model, record, store, addresses)
    if record is None:
        raise CommandError(NOTHING)
    if options.action == "rollback":
        if record.step is Step.ROLLED_BACK:
            return record
        reason = record.reason or "by the operator"
        return replace(record, step=Step.ROLLING_BACK, reason=reason)
    if record.step in (Step.ROLLING_BACK, Step.ROLLED_BACK):
        raise CommandError(f"{record.said(record.candidate)} is {record.step}: start it again")
    return record if record.step is Step.PROMOTED else replace(record, step=Step.PROMOTING)


def _started(
    argument: str, record: Record | None, store: Path, addresses: readiness.Addresses
) -> Record:
    name, file = parse_model(argument, STORE)
    (model,) = read_models([f"{name}={file.absolute()}"], STORE, foreign=False)
    if record is not None and not record.step.is_final:
        if record.said(record.candidate) == str(model):
            return record
        raise CommandError(
            f"the roll-out of {record.said(record.candidate)} is at its step '{record.step}': end "
            "it first, by face-age rollout promote or rollback"
        )
    return _new_record(model, store, addresses)


def _new_record(model: ServedModel, store: Path, addresses: readiness.Addresses) -> Record:
    management = Management(addresses, model.name)
    if not management.versions():
        raise CommandError(f"{model.name} is not served: a roll-out replaces a version of a model")
    default = management.default()
    if default.version == model.version:
        raise CommandError(
            f"{model.name} {model.version} is the default already: pack the new archive with "
            "another --version"
        )
    known = management.versions().get(model.version)
    if known is not None and not os.path.samefile(store / known.archive, model.archive):
        raise CommandError(
            f"{model.name} {model.version} is served from another archive: pack the new one with "
            "another --version"
        )
    archive = os.path.realpath(store / default.archive)
    (stable,) = read_models([f"{model.name}={archive}"], STORE, foreign=False)
    if stable.version != default.version:
        raise CommandError(
            f"{archive} is no longer the version {default.version} that is served from it: put "
            "that back, so that the roll-out can be undone"
        )
    return Record(
        model.name,
        Release(stable.version, stable.weights, archive, default.workers),
        Release(model.version, model.weights, str(model.archive), default.workers),
        Step.LOADING,
    )


def _status(state: Path) -> int:
    record = Record.read(state)
    if record is None:
        raise CommandError(NOTHING)
    print_line(f"{record.step}: {record.said(record.candidate)}, from {record.candidate.archive}")
    print_line(f"in place of {record.said(record.stable)}, from {record.stable.archive}")
    for step, figures in record.figures.items():
        words = (f"{name.replace('_', ' ')} {value:.4g}" for name, value in figures.items())
        print_line(f"{step}: {', '.join(words)}")
    if record.reason:
        print_line(f"rolled back: {record.reason}")
    return 0


def _settings(options: argparse.Namespace) -> Settings:
    if options.action != "start":
        zero = Limits(0, 0, 0, 0, 0, 0)
        return Settings(zero, 0, 0, 0, "request", 0, 0, 0, options.drain, promote=True)
    limits = Limits(
        options.most_failures,
        options.most_other_faces,
        options.most_difference,
        options.most_disagreement,
        options.most_psi,
        options.most_slower,
    )
    return Settings(
        limits,
        options.pairs,
        options.copies,
        options.share,
        options.by,
        options.images,
        options.watch,
        options.patience,
        options.drain,
        promote=not options.no_promotion,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Roll a new version of a model out beside the one that serves.",
        epilog="docs/rollout.md tells what each step does.",
    )
    actions = parser.add_subparsers(dest="action", required=True)
    start = actions.add_parser(
        "start",
        help="load a version, compare it, let it answer a share, promote it; or go on with that",
    )
    start.add_argument("model", metavar="NAME=ARCHIVE", help="age=model_store/age-2.mar, say")
    _add_evidence(start)
    _add_limits(start)
    promote = actions.add_parser("promote", help="promote the candidate now, whatever it answers")
    rollback = actions.add_parser("rollback", help="serve what was served before")
    for action in (start, promote, rollback):
        action.add_argument("--plan", type=Path, default=PLAN, help="nginx's file (%(default)s)")
        action.add_argument("--config", type=Path, default=ROOT / "config.properties")
        action.add_argument(
            "--drain",
            type=float,
            default=600,
            metavar="SECONDS",
            help="for clients to stop asking for the old version by name (%(default)s)",
        )
    status = actions.add_parser("status", help="say where the roll-out stands")
    for action in (start, promote, rollback, status):
        action.add_argument("--state", type=Path, help="the service's state folder (.serve)")
    return parser


def _add_evidence(start: argparse.ArgumentParser) -> None:
    group = start.add_argument_group("what it looks at")
    group.add_argument("--pairs", type=_count, default=200, help="copies to compare (%(default)s)")
    group.add_argument(
        "--copies", type=_part, default=0.1, help="part of the requests to copy (%(default)s)"
    )
    group.add_argument(
        "--share", type=_part, default=0.1, help="part that the candidate answers (%(default)s)"
    )
    group.add_argument(
        "--by",
        choices=("request", "key"),
        default="request",
        help="draw each request, or each key (%(default)s)",
    )
    group.add_argument(
        "--images", type=_count, default=200, help="that it answers, at least (%(default)s)"
    )
    group.add_argument(
        "--watch", type=float, default=300, help="seconds that it does so, at least (%(default)s)"
    )
    group.add_argument(
        "--patience", type=float, default=3600, help="seconds for each step, at most (%(default)s)"
    )
    group.add_argument(
        "--no-promotion", action="store_true", help="stop when all limits hold, for your decision"
    )


def _add_limits(start: argparse.ArgumentParser) -> None:
    group = start.add_argument_group("limits, beyond which it is rolled back")
    for name, default, meaning in (
        ("failures", 0.01, "part of the images that the service fails to answer"),
        ("other-faces", 0.05, "part of the images with other faces"),
        ("difference", 3.0, "mean absolute difference of a number, such as the age, in its unit"),
        ("disagreement", 0.1, "part of the faces with another category"),
        ("psi", 0.25, "population stability index of what is predicted"),
        ("slower", 1.5, "ratio of the times"),
    ):
        group.add_argument(
            f"--most-{name}", type=float, default=default, help=f"{meaning} (%(default)s)"
        )


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text} is no whole number of 0 or more")
    return int(text)


def _part(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is no number from 0 to 1")
    return value
