"""Predicts ages, or what else a model predicts, in any number of photos, without a service.

    face-age batch photos/ --out ages.csv
    face-age batch photos/ more/ --out ages.parquet
    face-age batch --manifest list.txt --out ages.jsonl
    face-age batch photos/ --out faces.csv --model age.pt emotion.pt
    face-age batch photos/ --out ages.parquet --ray auto

Folders are searched recursively, as face-age predict does. A manifest is a text file with a path a
line, or a .csv or .tsv with a column path; relative paths begin at the current folder.

OUT, here ages.csv, has a row for each face, and one without a face for each photo that shows none.
Files without an answer are rows of ages.failures.csv, with the reason. What is done is kept in
ages.csv.parts until all is: after Ctrl-C, a kill or a full disk the same command goes on with the
rest.

With --ray the photos are answered on all machines of a Ray cluster, which share this folder, the
photos and the model by the same paths.

Exits with 0 if OUT is written, whatever failed; 1 if not, or if it has no row; 2 for wrong use.
"""

import argparse
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Final

import yaml

from commands.bulk.formats import FORMATS
from commands.bulk.join import Summary, join
from commands.bulk.photos import in_folders, in_manifest, write_list
from commands.bulk.pool import Pool
from commands.bulk.progress import Progress
from commands.bulk.rows import FACE, Row, columns
from commands.bulk.run import OtherRun, Run, is_begun
from commands.bulk.setup import setups
from commands.image_files import reason
from commands.image_search import shown
from commands.option_types import real, whole
from handler.integrity import CONFIG
from handler.options import Options
from handler.settings import Settings
from server.archive import MODEL, STORE
from server.ensure_archives import ensure_model
from server.errors import ArchiveError, CommandError
from server.model_check import check_models
from train.build_record import digest
from train.extras import exit_if_missing, require

ANSWERED_BY: Final = ("max_pixels", "min_face_size", "max_side", "precision")  # settings


class WrongUse(Exception):
    """The command line cannot be followed; the message is one line."""


def arguments() -> argparse.Namespace:
    what, _, rules = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        description=what, epilog=rules, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", nargs="*", metavar="PHOTOS", help="folders and files")
    parser.add_argument("--manifest", type=Path, metavar="FILE", help="names the photos instead")
    parser.add_argument(
        "--out", type=Path, required=True, help=f"ends in {', '.join(FORMATS)}; must not exist"
    )
    parser.add_argument(
        "--model",
        type=Path,
        nargs="+",
        default=[STORE / MODEL],
        metavar="FILE",
        help="exported; several, each of another task, answer together (default: ages)",
    )
    parser.add_argument(
        "--min-confidence",
        type=real(0, 1),
        default=Options.min_confidence,
        help="leave out faces below it, 0 to 1 (default: %(default)s)",
    )
    parser.add_argument(
        "--max-faces",
        type=whole(1, 1000),
        default=Options.max_faces,
        help="keep the largest ones, 1 to 1000 (default: %(default)s)",
    )
    parser.add_argument(
        "--rotate",
        action="store_const",
        const="auto",
        default=Options.rotate,
        help="look for faces in the turned photo, too, where it may be on its side",
    )
    parser.add_argument(
        "--processes", type=whole(1), help="default: one a core, or what suits the GPUs"
    )
    parser.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="answer on a Ray cluster: HOST:PORT; auto: that of this machine; local: start one",
    )
    parser.add_argument("--cpu", action="store_true", help="leave GPUs alone")
    given = parser.parse_args()
    if bool(given.photos) == bool(given.manifest):
        parser.error("give photos and folders, or a --manifest of them")
    return given


def check(given: argparse.Namespace) -> None:
    """Raise WrongUse for what would fail only after hours."""
    out: Path = given.out
    if out.suffix.lower() not in FORMATS:
        raise WrongUse(f"--out {shown(out)}: end its name in {', '.join(FORMATS)}")
    if out.suffix.lower() == ".parquet":
        with exit_if_missing():
            import pyarrow  # noqa: F401  # an extra
    if given.ray:
        require("ray")
    if not out.parent.is_dir():
        raise WrongUse(f"--out {shown(out)}: there is no folder {shown(out.parent)}")
    for file in (out, failures_of(out)):
        if file.exists() and not is_begun(parts_of(out)):
            raise WrongUse(f"{shown(file)} exists: move it away, or give --out another name")
    for path in [given.manifest] if given.manifest else map(Path, given.photos):
        if not path.exists():
            raise WrongUse(f"{shown(path)}: no such file or folder")


def parts_of(out: Path) -> Path:
    """The folder of a run that is not finished."""
    return out.with_name(f"{out.name}.parts")


def failures_of(out: Path) -> Path:
    """The file of failures."""
    return out.with_name(f"{out.stem}.failures.csv")


def batch(given: argparse.Namespace) -> int:
    """Answer all photos; returns the exit code. Raises WrongUse, CommandError or OSError."""
    check(given)
    options = Options(
        min_confidence=given.min_confidence, max_faces=given.max_faces, rotate=given.rotate
    )
    try:
        for model in given.model:
            ensure_model(model)
        named = columns(check_models(given.model, STORE / MODEL), options)
        config = yaml.safe_load((STORE / CONFIG).read_text()) or {}
        settings = Settings.from_mapping(config.get("handler"))
    except yaml.YAMLError as error:
        raise WrongUse(f"{shown(STORE / CONFIG)} is no YAML: {shown(str(error))}") from error
    except (ValueError, ArchiveError) as error:
        raise WrongUse(str(error)) from error
    with begun(given, settings, options) as run:
        missing = run.missing
        if missing and given.ray:
            answer_on_ray(run, missing, given, settings, options)
        elif missing:
            setup = setups(given.model, settings, options, given.processes, cpu=given.cpu)
            with Pool(setup) as pool:
                answer(run, missing, pool)
        summary = join(run, given.out, failures_of(given.out), named)
        run.remove()
    print(described(given.out, summary, of_faces=FACE in named))
    return int(not summary.photos)


def begun(given: argparse.Namespace, settings: Settings, options: Options) -> Run:
    """The run of this command line, new or to go on with."""
    photos: dict[str, str]
    if given.manifest:
        photos = {str(given.manifest): digest(given.manifest), os.curdir: os.getcwd()}
        find: Callable[[], Iterator[str | Row]] = partial(in_manifest, given.manifest)
    else:
        photos = {path: os.path.abspath(path) for path in given.photos}
        find = partial(in_folders, map(Path, given.photos))
    values = asdict(settings)
    known = {
        "photos": photos,
        "models": [digest(model) for model in given.model],
        "options": asdict(options),
        "settings in model-config.yaml": {name: values[name] for name in ANSWERED_BY},
    }
    try:
        run = Run(parts_of(given.out), known, lambda *files: write_list(find(), *files))
    except ValueError as error:  # of a table
        raise WrongUse(str(error)) from error
    if run.resumes:
        words = f"going on with the run of {run.began}: photos that came since are not in it"
        print(words, file=sys.stderr)
    return run


def answer(run: Run, missing: Sequence[int], pool: Pool) -> None:
    """Answer the chunks that have no part yet, and write their parts."""
    left = sum(map(run.photos.size, missing))
    chunks = ((number, run.photos.paths(number)) for number in missing)
    with Progress(len(run.photos), len(run.photos) - left) as progress:
        for number, outcome in pool.outcomes(chunks, progress.add):
            run.write(number, outcome)


def answer_on_ray(
    run: Run,
    missing: Sequence[int],
    given: argparse.Namespace,
    settings: Settings,
    options: Options,
) -> None:
    """The same on a Ray cluster."""
    from commands.bulk import ray_actor, ray_job  # which need an extra

    with ray_job.cluster(given.ray) as machines:
        place = ray_job.layout(machines, given.processes, cpu=given.cpu)
        job = ray_actor.Job(
            Path.cwd(),
            run.list.absolute(),
            parts_of(given.out).absolute(),
            given.model,
            [digest(model) for model in given.model],
            settings,
            options,
            threads=place.cpus,
            gpu=place.gpus > 0,
        )
        ray_job.answer(run, missing, job, place)


def described(out: Path, summary: Summary, *, of_faces: bool) -> str:
    """A line about a finished run."""
    found = f"{summary.photos:,} photos"
    if of_faces:
        found = (
            f"{summary.faces:,} faces in {found}, {summary.without_face:,} of them without a face"
        )
    failed = f"{summary.failures:,} files without an answer are in {shown(failures_of(out))}"
    return f"{shown(out)}: {found}; {failed}"


def _stop(number: int, _: FrameType | None) -> None:
    raise KeyboardInterrupt(number)


def main() -> int:
    given = arguments()
    signal.signal(signal.SIGTERM, _stop)
    again = f"the same command goes on from {shown(parts_of(given.out))}"
    try:
        return batch(given)
    except KeyboardInterrupt as stop:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        print(f"stopped; {again}", file=sys.stderr, flush=True)
        # no wait for processes, should a second stop have come before all were ended
        os._exit(128 + (stop.args or (signal.SIGINT,))[0])
    except (WrongUse, OtherRun) as error:
        line, code = f"error: {error}", 2
    except CommandError as error:
        line, code = f"error: {error}; {again}", 1
    except OSError as error:
        place = f"{shown(error.filename)}: " if error.filename else ""
        line, code = f"error: {place}{reason(error)}; {again}", 1
    print(line, file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
