"""Images that can be recognised in whatever is left of them, and where to look."""

import base64
import gzip
import io
import os
import secrets
import stat
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final
from urllib.parse import quote_from_bytes

import numpy as np
from PIL import Image

from server.processes import find_processes
from tests.corpus import files
from tests.corpus.cases import File
from tests.corpus.parts import chunk, segment
from tests.images import RGBImage, astronaut, encoded
from tests.torchserve import ROOT

_DESCRIPTION: Final = 0x010E  # EXIF
_UNSEARCHED: Final = {".venv", ".git", ".mypy_cache", ".pytest_cache", ".ruff_cache"}


class Marker:
    """ASCII that nobody else writes, and what it looks like in other spellings."""

    def __init__(self) -> None:
        self.text = f"mark{secrets.token_hex(16)}"
        self.raw = self.text.encode()
        escaped = (
            "".join(f"%{byte:02x}" for byte in self.raw),
            self.raw.hex(),
            self.text,
            quote_from_bytes(base64.b64encode(self.raw)),
            ", ".join(map(str, self.raw)),  # a list of bytes, in Python and in Java
        )
        # Each in small letters, because netty writes some of a request's words in capitals.
        self._spellings = [spelling.lower().encode() for spelling in escaped]
        # Three, by where in a group of three bytes it begins; without what neighbours change.
        self._spellings += [
            base64.b64encode(bytes(shift) + self.raw)[4:-4].lower() for shift in range(3)
        ]

    def is_in(self, content: bytes) -> bool:
        # A zero byte after each letter is UTF-16.
        small = content.lower()
        return any(word in text for word in self._spellings for text in (small, small[::2]))

    def image(self) -> RGBImage:
        """The astronaut with the marker for pixels in its first rows, as RGB and as BGR."""
        image = astronaut().copy()
        words = np.frombuffer(self.raw * (3 * image.shape[1] // len(self.raw)), np.uint8)
        image[:8].reshape(8, -1)[:, : len(words)] = words
        image[:4] = image[:4, :, ::-1]
        return image

    def jpeg(self) -> bytes:
        """In EXIF, in a comment and behind the end."""
        exif = Image.Exif()
        exif[_DESCRIPTION] = self.text
        return encoded(self.image(), "JPEG", exif=exif, comment=self.raw) + self.raw

    def bmp(self) -> bytes:
        """In its pixels, which are not compressed."""
        file = io.BytesIO()
        Image.fromarray(self.image()).save(file, "BMP")
        assert self.is_in(file.getvalue())
        return file.getvalue()

    def in_file(self, file: File) -> bytes:
        """A case's file: in the pixels that it shows, between its parts and behind its end."""
        # What comes of flipped bits is known of the astronaut's own file alone.
        image = astronaut() if file in files.DAMAGED else self.image()
        content = file.make(image)
        if not content:  # or it would not be the case of no byte any more
            return content
        for start, head, words in (
            (b"\xff\xd8", 2, segment(0xFE, self.raw)),
            (b"\x89PNG", 33, chunk(b"tEXt", b"Comment\0" + self.raw)),
        ):
            if content.startswith(start):
                content = content[:head] + words + content[head:]
        return content + self.raw

    def named(self, form: bytes) -> bytes:
        """A case's form whose files have the marker for a name."""
        return form.replace(b'filename="f"', b'filename="' + self.raw + b'.jpg"')


def traces(marker: Marker, paths: Iterable[Path]) -> list[str]:
    """Those of the files, compressed logs among them, that the marker is in."""
    found = []
    for file in paths:
        try:
            content = file.read_bytes()
        except FileNotFoundError:
            continue
        if file.suffix == ".gz":
            content = gzip.decompress(content)
        if marker.is_in(content):
            found.append(str(file))
    return found


def kept(folders: Iterable[Path]) -> Iterator[Path]:
    """The files below folders."""
    for folder in folders:
        for file in folder.rglob("*"):
            if file.is_file():
                yield file


def held_open(pids: Iterable[int]) -> Iterator[Path]:
    """The files that processes have open, those that have no name any more among them."""
    for pid in pids:
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            try:
                if stat.S_ISREG(entry.stat().st_mode):
                    yield entry
            except FileNotFoundError:
                continue


def strewn(since: float) -> Iterator[Path]:
    """Files written since then to default folders, by any process."""
    places = [*kept(_searched(ROOT)), *ROOT.iterdir()]
    for folder in {Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp"), Path("/dev/shm")}:
        places += folder.iterdir()
    for file in places:
        try:
            about = file.lstat()
        except FileNotFoundError:
            continue
        if stat.S_ISREG(about.st_mode) and about.st_mtime >= since and os.access(file, os.R_OK):
            yield file


def _searched(folder: Path) -> list[Path]:
    return [p for p in folder.iterdir() if p.is_dir() and p.name not in _UNSEARCHED]


def processes(folder: str) -> list[int]:
    """Java and its workers."""
    pids = find_processes(folder)
    assert len(pids) >= 2
    return pids
