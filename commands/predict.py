"""Asks the service for the ages in photographs.

    face-age predict photo.jpg
    face-age predict photo.jpg holiday/ --json > ages.jsonl
    face-age predict photo.jpg --annotate out.png
    face-age predict --grpc photo.jpg
    FACE_AGE_KEY=... face-age predict --url https://ages.example.org photo.jpg

Folders are searched for JPEG, PNG, WebP, BMP and GIF files, all the way down: by their suffix, and
by their first bytes where that is another one. Names that begin with a dot are left out. Other
files are not asked: what may have been meant as a picture, or holds some (HEIC, TIFF, raw, PDF,
archives, what is not known), is an error; text, tables, sounds, videos and what programs keep are
counted in one line. A file that is given by its name is asked, whatever it is.

Exits with 1 when one photograph failed or one file was an error; the reasons go to stderr.
FACE_AGE_KEY holds the key for a proxy.
"""

import argparse
import base64
import errno
import io
import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, NoReturn

from tqdm import tqdm

from commands import picture_files
from commands.annotate import annotated
from commands.folders import search, shown
from commands.option_types import real, whole
from face_age_client.address import GRPC, REST
from face_age_client.answer import Answer
from face_age_client.errors import AskError, Unreachable
from face_age_client.pool import Client, in_parallel
from face_age_client.rest import RestClient
from handler.errors import Failure
from handler.imaging.decode import decode
from train.extras import exit_if_missing

LARGEST: Final = 256 * 2**20  # bytes that are read: far more than any service takes
PATIENCE: Final = 5.0  # seconds that a picture has to be written when all else ends


class Unwritable(Exception):
    """The answers cannot be printed; the message says why, and is "" where nobody reads them."""


@dataclass(frozen=True)
class Job:
    """One photograph and where its annotated picture goes, if anywhere."""

    photograph: Path
    picture: Path | None = None


@dataclass(frozen=True)
class Done:
    """What came of one."""

    answer: Answer
    trouble: str = ""  # with its picture


def do(client: Client, job: Job, options: Mapping[str, float]) -> Done:
    """Raises AskError, OSError (the photograph cannot be read)."""
    photograph = _read(job.photograph)
    answer = client.ask(photograph, options)
    if job.picture is None:
        return Done(answer)
    try:
        picture = decode(photograph, max_pixels=answer.width * answer.height)
        picture_files.save(annotated(picture, answer.faces), job.picture)
    except (OSError, ValueError, Failure, MemoryError) as error:
        return Done(answer, f"{shown(job.picture)} is not written: {reason(error)}")
    return Done(answer)


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        photograph = file.read(LARGEST + 1)
    if len(photograph) > LARGEST:
        raise OSError(errno.EFBIG, f"it has over {LARGEST / 2**20:.0f} MB, and is not sent")
    return photograph


def reason(error: BaseException) -> str:
    """One line, without a file's name."""
    return shown(getattr(error, "strerror", None) or str(error) or type(error).__name__)


def as_json(photograph: Path, answer: Answer) -> str:
    """One line: the service's answer with the file's name, and its bytes if that is not UTF-8."""
    raw = os.fsencode(photograph)
    try:
        file = {"file": raw.decode()}  # whatever the locale makes of it
    except UnicodeDecodeError:
        file = {"file": shown(photograph), "file_base64": base64.b64encode(raw).decode()}
    return json.dumps({**file, **answer.content}, ensure_ascii=False)


def as_text(photograph: Path, answer: Answer) -> str:
    """One line for a person."""
    faces = [
        f"{face.age:.1f} ({face.age_interval[0]:.0f} to {face.age_interval[1]:.0f})"
        for face in answer.faces
    ]
    count = {0: "no face", 1: "1 face"}.get(len(faces), f"{len(faces)} faces")
    return f"{shown(photograph)}: {count}{': ' if faces else ''}{', '.join(faces)}"


def _name(text: str) -> str:
    if not text:  # a variable that is not set; Path would take it for the folder that one is in
        raise argparse.ArgumentTypeError("an empty name is no file")
    return text


def _path(text: str) -> Path:
    return Path(_name(text))


def _version(text: str) -> str:
    if not text.isprintable():
        raise argparse.ArgumentTypeError(f"{shown(text)} is no version")
    return text


def arguments() -> argparse.Namespace:
    what, _, rules = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        description=what,
        epilog=rules,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("photographs", nargs="+", type=_path, metavar="PHOTO", help="or a folder")
    parser.add_argument("--grpc", action="store_true", help="ask over gRPC, not REST")
    parser.add_argument(
        "--url", help=f"where the service answers (default: {REST}; with --grpc {GRPC})"
    )
    parser.add_argument(
        "--certificates", type=Path, metavar="PEM", help="trust these, not the system's authorities"
    )
    parser.add_argument(
        "--model-version", type=_version, default="", help="default: the service's default"
    )
    parser.add_argument(
        "--min-confidence", type=real(0, 1), help="leave out faces below it, 0 to 1"
    )
    parser.add_argument("--max-faces", type=whole(1, 1000), help="keep the largest ones, 1 to 1000")
    parser.add_argument(
        "--json",
        action="store_true",
        help="print one JSON object per line, in UTF-8; file_base64 has a name that is not UTF-8",
    )
    parser.add_argument(
        "--annotate",
        type=_name,
        metavar="OUT",
        help="draw boxes and ages into this picture; a folder where there are several photographs",
    )
    return parser.parse_args()


def connector(given: argparse.Namespace) -> Callable[[], Client]:
    """What makes a client for one thread.

    Raises ValueError on an address that is none, OSError on certificates that cannot be read.
    """
    words = {
        "version": given.model_version,
        "key": os.environ.get("FACE_AGE_KEY", ""),
        "certificates": given.certificates,
    }
    if given.grpc:
        with exit_if_missing():
            from face_age_client.rpc import GrpcClient  # only here is grpcio needed

        url = GRPC if given.url is None else given.url
        connect: Callable[[], Client] = partial(GrpcClient, url, **words)
    else:
        connect = partial(RestClient, REST if given.url is None else given.url, **words)
    connect().close()
    return connect


def ask_all(connect: Callable[[], Client], jobs: list[Job], given: argparse.Namespace) -> bool:
    """Print each answer as it comes; whether all went well. Raises Unwritable."""
    options = {
        name: value
        for name in ("min_confidence", "max_faces")
        if (value := getattr(given, name)) is not None
    }
    render = as_json if given.json else as_text
    well = True

    # A bar is for a person who waits: not for a log, and not for one photograph.
    hidden = True if len(jobs) < 2 else None
    outcomes = in_parallel(connect, partial(do, options=options), jobs)
    with tqdm(total=len(jobs), unit="photograph", disable=hidden) as bar:
        for number, (job, future) in enumerate(outcomes, start=1):
            try:
                done = future.result()
            except Unreachable as error:
                left = len(jobs) - number
                rest = f"; {left} more not asked" if left else ""
                trouble = f"{reason(error)}{rest}; start it with scripts/serve.sh"
            except (AskError, OSError, MemoryError) as error:
                trouble = f"{shown(job.photograph)}: {reason(error)}"
            else:
                trouble = done.trouble and f"{shown(job.photograph)}: {done.trouble}"
                _print(bar, render(job.photograph, done.answer))
            if trouble:
                bar.write(f"error: {trouble}", file=sys.stderr)
                well = False
            bar.update()
    return well


def _print(bar: "tqdm[Any]", line: str) -> None:
    try:
        bar.write(line, file=sys.stdout)
        sys.stdout.flush()  # or what ends this process would take the last answers with it
    except BrokenPipeError as error:  # `| head` has seen enough
        raise Unwritable from error
    except OSError as error:
        raise Unwritable(f"the answers cannot be written: {error.strerror}") from error


def main() -> int:
    try:
        return predict(arguments())
    except KeyboardInterrupt:
        print("error: stopped", file=sys.stderr, flush=True)
        _end(130)
    except Unwritable as error:
        if str(error):
            print(f"error: {error}", file=sys.stderr, flush=True)
        _end(1)


def predict(given: argparse.Namespace) -> int:
    """Ask for all of them, print the answers, and give the exit code."""
    _say_names(given)
    found = search(given.photographs)
    several = len(given.photographs) > 1 or given.photographs[0].is_dir()
    try:
        jobs = [Job(photograph) for photograph in found.photographs]
        if given.annotate is not None:
            pictures = picture_files.places(found.photographs, given.annotate, several=several)
            jobs = list(map(Job, found.photographs, pictures))
        connect = connector(given)
    except (ValueError, OSError) as error:
        print(f"error: {shown(str(error))}", file=sys.stderr)
        return 2
    failures = found.failures()
    for failure in failures:
        print(f"error: {failure}", file=sys.stderr)
    if note := found.note():
        print(note, file=sys.stderr)
    well = ask_all(connect, jobs, given)
    return int(bool(failures) or not well)


def _say_names(given: argparse.Namespace) -> None:
    """Let standard output take every name: JSON is UTF-8, and text says so what it cannot say."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        encoding = "utf-8" if given.json else sys.stdout.encoding
        sys.stdout.reconfigure(encoding=encoding, errors="backslashreplace")


def _end(code: int) -> NoReturn:
    """At once: what is under way would take until its answer comes."""
    picture_files.writing.acquire(timeout=PATIENCE)
    os._exit(code)


if __name__ == "__main__":
    sys.exit(main())
