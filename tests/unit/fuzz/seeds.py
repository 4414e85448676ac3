"""Writes the fuzzers' seeds from the table of bad input, tests/bad_input: what is small of it.

python -m tests.unit.fuzz.seeds
"""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.corpus import encodings, files, pixels
from tests.pictures import encoded, scene

FOLDER: Final = Path(__file__).resolve().parents[3] / "fuzz" / "seeds"
LARGEST: Final = 1500  # bytes
PICTURE: Final = scene(12, 16)


def of_decoding() -> Iterator[tuple[str, bytes]]:
    """Names and files, of an image of 16 x 12 pixels."""
    for file in (*files.CASES, *pixels.CASES):
        yield file.name, file.make(PICTURE)


def of_requests() -> Iterator[tuple[str, bytes]]:
    """Names and requests, written as `fuzz.checks.row_and_headers` reads them."""
    image = encoded(scene(2, 2), "GIF")
    for message in encodings.CASES:
        if message.body:
            body, headers = message.body(image)
            kind = "json" if headers.get("Content-Type") == "application/json" else "raw"
            lines = [kind, *(f"{name}: {value}" for name, value in headers.items())]
            yield message.name, "\n".join(lines).encode() + b"\n\n" + body
        if message.entries:
            parts = (n.encode() + b"=" + v for n, v in message.entries(image).items())
            yield f"{message.name} as parts", b"parts\n\n" + b"\n--\n".join(parts)


def write(folder: Path, seeds: Iterator[tuple[str, bytes]]) -> None:
    """One file for each content that is not too large."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    written: set[bytes] = set()
    for name, seed in seeds:
        if len(seed) <= LARGEST and seed not in written:
            written.add(seed)
            plain = re.sub(r"[^\w.-]+", "-", name, flags=re.ASCII).strip("-").lower()
            (folder / plain).write_bytes(seed)


if __name__ == "__main__":
    write(FOLDER / "decode", of_decoding())
    write(FOLDER / "parse", of_requests())
