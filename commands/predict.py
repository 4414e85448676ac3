"""Predicts ages, or what else a model predicts, in photos with a running service.

    face-age predict photo.jpg
    face-age predict photo.jpg holiday/ --json > ages.jsonl
    face-age predict photo.jpg --annotate out.png
    face-age predict --grpc photo.jpg
    face-age predict --model-name faces --attributes age,emotion photo.jpg
    FACE_AGE_KEY=... face-age predict --url https://ages.example.org photo.jpg

Folders are searched recursively for JPEG, PNG, WebP, BMP and GIF files, and with the extra heif
for HEIC and AVIF: by suffix, and by the first bytes if the suffix is another one. Names that begin
with a dot are left out. Other files are not sent: a file that may be a photo or hold some (TIFF,
raw, PDF, archives, unknown formats) is an error; text, tables, audio, video and files that programs
keep are counted in one line. A file given by its name is always sent.

Exits with 1 if a photo failed or a file was an error; the reasons go to stderr. FACE_AGE_KEY holds
the key for a proxy.
"""

import argparse
import io
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, NoReturn, cast

from tqdm import tqdm

from commands import annotated_files
from commands.annotate import annotated
from commands.image_files import read, reason
from commands.image_search import search, shown
from commands.option_types import real, whole
from commands.render import as_json, as_text
from face_age_client.address import GRPC_ADDRESS, REST_URL
from face_age_client.answer import Answer
from face_age_client.errors import ClientError, Unreachable
from face_age_client.options import Options
from face_age_client.pool import Client, in_parallel
from face_age_client.rest import RestClient
from handler.errors import Failure
from handler.imaging.decode import decode
from train.extras import exit_if_missing

JSON_ONLY: Final = {
    "distribution": "with --json: the probability of each number, such as each age",
    "quality": "with --json: sharpness, brightness and roll of each face",
    "relative": "with --json: boxes in fractions of width and height, too",
}
EXIT_TIMEOUT: Final = 5.0  # seconds to finish writing an annotated image before the exit


class Unwritable(Exception):
    """The answers cannot be printed; the message is the reason, "" for a closed pipe."""


@dataclass(frozen=True)
class Job:
    """An image, and the file for its annotated copy."""

    image: Path
    annotated: Path | None = None


@dataclass(frozen=True)
class Done:
    """The result of a job."""

    answer: Answer
    trouble: str = ""  # why the annotated image was not written


def do(client: Client, job: Job, options: Options) -> Done:
    """Raises ClientError, or OSError if the image cannot be read."""
    body = read(job.image)
    answer = client.predict(body, **options)
    if job.annotated is None:
        return Done(answer)
    try:
        image = decode(body, max_pixels=answer.width * answer.height)
        annotated_files.save(annotated(image, answer), job.annotated)
    except (OSError, ValueError, Failure, MemoryError) as error:
        return Done(answer, f"{shown(job.annotated)} is not written: {reason(error)}")
    return Done(answer)


def _name(text: str) -> str:
    if not text:  # an unset shell variable; Path would read it as the current folder
        raise argparse.ArgumentTypeError("an empty name is no file")
    return text


def _path(text: str) -> Path:
    return Path(_name(text))


def _version(text: str) -> str:
    if not text.isprintable():
        raise argparse.ArgumentTypeError(f"{shown(text)} is no version")
    return text


def _model(text: str) -> str:
    if not text or not text.isprintable():
        raise argparse.ArgumentTypeError(f"{shown(text) or 'an empty name'} is no model's name")
    return text


def _attributes(text: str) -> str:
    if not re.fullmatch(r"\w+(,\w+)*", text, re.ASCII):
        raise argparse.ArgumentTypeError(f"{shown(text)} is not of the form age,emotion")
    return text


def arguments() -> argparse.Namespace:
    what, _, rules = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        description=what,
        epilog=rules,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("images", nargs="+", type=_path, metavar="PHOTO", help="or a folder")
    parser.add_argument("--grpc", action="store_true", help="ask over gRPC, not REST")
    parser.add_argument(
        "--url", help=f"where the service answers (default: {REST_URL}; with --grpc {GRPC_ADDRESS})"
    )
    parser.add_argument(
        "--certificates", type=Path, metavar="PEM", help="trust these, not the system's authorities"
    )
    parser.add_argument(
        "--model-name", type=_model, default="age", help="of the service's models (default: age)"
    )
    parser.add_argument(
        "--model-version", type=_version, default="", help="default: the service's default"
    )
    parser.add_argument(
        "--min-confidence", type=real(0, 1), help="leave out faces below it, 0 to 1"
    )
    parser.add_argument("--max-faces", type=whole(1, 1000), help="keep the largest ones, 1 to 1000")
    parser.add_argument(
        "--attributes", type=_attributes, metavar="TASKS", help="age,emotion; default: all"
    )
    parser.add_argument(
        "--top-k", type=whole(1, 1000), help="print so many scores of a category, 1 to 1000"
    )
    for name, meaning in JSON_ONLY.items():
        parser.add_argument(f"--{name}", action="store_true", default=None, help=meaning)
    parser.add_argument(
        "--rotate",
        action="store_const",
        const="auto",
        help="look for faces in the turned photo, too, where it may be on its side",
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="print one JSON object per line, in UTF-8; file_base64 has a name that is not UTF-8",
    )
    parser.add_argument(
        "--annotate",
        type=_name,
        metavar="OUT",
        help="draw boxes and predictions into this image, or into a folder for several photos",
    )
    given = parser.parse_args()
    for name in JSON_ONLY:
        if getattr(given, name) and not given.json:
            parser.error(f"argument --{name}: it needs --json")
    return given


def connector(given: argparse.Namespace) -> Callable[[], Client]:
    """Makes clients, one for each thread.

    Raises ValueError on an invalid address, OSError on certificates that cannot be read.
    """
    words = {
        "model": given.model_name,
        "model_version": given.model_version,
        "api_key": os.environ.get("FACE_AGE_KEY", ""),
        "ca_file": given.certificates,
    }
    if given.grpc:
        with exit_if_missing():
            from face_age_client.rpc import GrpcClient  # grpcio is an extra

        url = GRPC_ADDRESS if given.url is None else given.url
        connect: Callable[[], Client] = partial(GrpcClient, url, **words)
    else:
        connect = partial(RestClient, REST_URL if given.url is None else given.url, **words)
    connect().close()
    return connect


def ask_all(connect: Callable[[], Client], jobs: list[Job], given: argparse.Namespace) -> bool:
    """Print each answer as it arrives; whether all jobs succeeded. Raises Unwritable."""
    options = cast(Options, {name: getattr(given, name) for name in Options.__annotations__})
    ask = partial(do, options=options)
    render = as_json if given.json else partial(as_text, scores=given.top_k is not None)
    well = True

    # A progress bar is for a person who waits: not for a log, and not for one photo.
    hidden = True if len(jobs) < 2 else None
    outcomes = in_parallel(connect, ask, jobs)
    with tqdm(total=len(jobs), unit="photo", disable=hidden) as bar:
        for number, (job, future) in enumerate(outcomes, start=1):
            try:
                done = future.result()
            except Unreachable as error:
                left = len(jobs) - number
                rest = f"; {left} more not asked" if left else ""
                trouble = f"{reason(error)}{rest}; start it with scripts/serve.sh"
            except (ClientError, OSError, MemoryError) as error:
                trouble = f"{shown(job.image)}: {reason(error)}"
            else:
                trouble = done.trouble and f"{shown(job.image)}: {done.trouble}"
                _print(bar, render(job.image, done.answer))
            if trouble:
                bar.write(f"error: {trouble}", file=sys.stderr)
                well = False
            bar.update()
    return well


def _print(bar: "tqdm[Any]", line: str) -> None:
    try:
        bar.write(line, file=sys.stdout)
        sys.stdout.flush()  # so that the last answers survive if the process is killed
    except BrokenPipeError as error:  # such as `| head`
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
    """Send all photos, print the answers; returns the exit code."""
    _say_names(given)
    found = search(given.images)
    several = len(given.images) > 1 or given.images[0].is_dir()
    try:
        jobs = [Job(image) for image in found.images]
        if given.annotate is not None:
            outputs = annotated_files.output_files(found.images, given.annotate, several=several)
            jobs = list(map(Job, found.images, outputs))
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
    """Let stdout print every file name: JSON in UTF-8, text with escapes."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        encoding = "utf-8" if given.json else sys.stdout.encoding
        sys.stdout.reconfigure(encoding=encoding, errors="backslashreplace")


def _end(code: int) -> NoReturn:
    """Exit without waiting for requests under way."""
    annotated_files.writing.acquire(timeout=EXIT_TIMEOUT)
    os._exit(code)


if __name__ == "__main__":
    sys.exit(main())
