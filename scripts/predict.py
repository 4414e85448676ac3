"""Asks the service for the ages in photographs.

    python scripts/predict.py photo.jpg
    python scripts/predict.py photo.jpg holiday/ --json > ages.jsonl
    python scripts/predict.py photo.jpg --annotate out.png
    python scripts/predict.py --grpc photo.jpg
    FACE_AGE_KEY=... python scripts/predict.py --url https://ages.example.org photo.jpg

Folders are searched for JPEG, PNG, WebP, BMP and GIF files, all the way down. Exits with 1 when
one photograph failed; the reason goes to stderr. FACE_AGE_KEY holds the key for a proxy.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from PIL import Image
from tqdm import tqdm

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # for `client` and `handler`, where the project is not installed

from annotate import annotated  # noqa: E402
from client.answer import Answer  # noqa: E402
from client.errors import AskError, Unreachable  # noqa: E402
from client.parallel import Client, in_parallel  # noqa: E402
from client.rest import RestClient  # noqa: E402
from handler.decoding import decode  # noqa: E402
from handler.errors import Failure  # noqa: E402

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif"})
REST = "http://127.0.0.1:8080"
GRPC = "127.0.0.1:7070"


@dataclass(frozen=True)
class Job:
    """One photograph and where its annotated picture goes, if anywhere."""

    photograph: Path
    picture: Path | None = None


def find(arguments: Sequence[Path]) -> tuple[list[Path], list[str]]:
    """The photographs that the command line names, folders searched, and what is wrong with it."""
    photographs: list[Path] = []
    problems = []
    for argument in arguments:
        if argument.is_dir():
            inside = sorted(path for path in argument.rglob("*") if _is_photograph(path, argument))
            photographs += inside
            if not inside:
                problems.append(f"{argument}: no photographs in it")
        elif argument.exists():
            photographs.append(argument)
        else:
            problems.append(f"{argument}: no such file or folder")
    return list(dict.fromkeys(photographs)), problems


def _is_photograph(path: Path, folder: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
    return path.suffix.lower() in SUFFIXES and not hidden and path.is_file()


def plan(photographs: Sequence[Path], annotate: Path | None, *, folder: bool) -> list[Job]:
    """Where each annotated picture goes: to `annotate` itself, or into it where it is a folder.

    Raises ValueError when a picture would not have a format, or would overwrite a photograph.
    """
    if annotate is None:
        return [Job(photograph) for photograph in photographs]
    if not folder:
        if annotate.suffix.lower() not in Image.registered_extensions():
            raise ValueError(f"--annotate {annotate}: give it a name such as {annotate.stem}.png")
        pictures = [annotate] * len(photographs)
    elif annotate.exists() and not annotate.is_dir():
        raise ValueError(f"--annotate {annotate}: give a folder for several photographs")
    else:
        absolute = [Path(os.path.abspath(photograph)) for photograph in photographs]
        common = os.path.commonpath([path.parent for path in absolute]) if absolute else ""
        # the old suffix stays, so that a.jpg and a.png do not end in one file
        pictures = [annotate / f"{path.relative_to(common)}.png" for path in absolute]
    originals = {photograph.resolve() for photograph in photographs}
    for picture in pictures:
        if picture.resolve() in originals:
            raise ValueError(f"--annotate {picture}: that would overwrite a photograph")
    return [Job(*pair) for pair in zip(photographs, pictures, strict=True)]


def do(client: Client, job: Job, options: Mapping[str, float]) -> Answer:
    """Raises AskError, OSError (a file cannot be read or written), Failure (not decoded here)."""
    photograph = job.photograph.read_bytes()
    answer = client.ask(photograph, options)
    if job.picture is not None:
        picture = decode(photograph, max_pixels=answer.width * answer.height)
        job.picture.parent.mkdir(parents=True, exist_ok=True)
        annotated(picture, answer.faces).save(job.picture)
    return answer


def as_json(photograph: Path, answer: Answer) -> str:
    """One line: the service's answer with the file's name."""
    return json.dumps({"file": str(photograph), **answer.content}, ensure_ascii=False)


def as_text(photograph: Path, answer: Answer) -> str:
    """One line for a person."""
    faces = [
        f"{face.age:.1f} ({face.age_interval[0]:.0f} to {face.age_interval[1]:.0f})"
        for face in answer.faces
    ]
    count = {0: "no face", 1: "1 face"}.get(len(faces), f"{len(faces)} faces")
    return f"{photograph}: {count}{': ' if faces else ''}{', '.join(faces)}"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Ask the service for the ages in photographs.")
    parser.add_argument("photographs", nargs="+", type=Path, metavar="PHOTO", help="or a folder")
    parser.add_argument("--grpc", action="store_true", help="ask over gRPC, not REST")
    parser.add_argument(
        "--url", help=f"where the service answers (default: {REST}; with --grpc {GRPC})"
    )
    parser.add_argument(
        "--certificates", type=Path, metavar="PEM", help="trust these, not the system's authorities"
    )
    parser.add_argument("--model-version", default="", help="default: the service's default")
    parser.add_argument("--min-confidence", type=float, help="leave out faces below it, 0 to 1")
    parser.add_argument("--max-faces", type=int, help="keep the largest ones")
    parser.add_argument("--json", action="store_true", help="print one JSON object per line")
    parser.add_argument(
        "--annotate",
        type=Path,
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
        from client.rpc import GrpcClient  # only here is grpcio needed

        connect: Callable[[], Client] = partial(GrpcClient, given.url or GRPC, **words)
    else:
        connect = partial(RestClient, given.url or REST, **words)
    connect().close()
    return connect


def main() -> int:
    given = arguments()
    photographs, problems = find(given.photographs)
    several = len(given.photographs) > 1 or given.photographs[0].is_dir()
    options = {
        name: value
        for name in ("min_confidence", "max_faces")
        if (value := getattr(given, name)) is not None
    }
    try:
        jobs = plan(photographs, given.annotate, folder=several)
        connect = connector(given)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    failed = bool(problems)
    render = as_json if given.json else as_text

    # A bar is for a person who waits: not for a log, and not for one photograph.
    hidden = True if len(jobs) < 2 else None
    with tqdm(total=len(jobs), unit="photograph", disable=hidden) as bar:
        for job, future in in_parallel(connect, partial(do, options=options), jobs):
            try:
                answer = future.result()
            except Unreachable as error:
                bar.write(f"error: {error}; start it with scripts/serve.sh", file=sys.stderr)
                failed = True
            except (AskError, OSError, Failure) as error:
                bar.write(f"error: {job.photograph}: {error}", file=sys.stderr)
                failed = True
            else:
                bar.write(render(job.photograph, answer), file=sys.stdout)
            bar.update()
    return int(failed)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
