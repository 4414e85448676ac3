"""Archives as packers and attackers write them, and what zipfile finds in them."""

import hashlib
import io
import struct
import zipfile
import zlib

import pytest

from handler.zip_check import ZIP_ERRORS, InconsistentZip, check_zip

FILES = {"torchserve_handler.py": b"good" * 9, "handler/a.py": b"", "age.pt": bytes(range(256)) * 8}
HIDDEN = b"import os"


def member(name: str, content: bytes = HIDDEN, flags: int = 0, extra: bytes = b"") -> bytes:
    """A stored member with its own header, which no directory lists."""
    facts = (20, flags, 0, 0, 33, zlib.crc32(content), len(content), len(content))
    header = struct.pack("<4s5H3L2H", b"PK\3\4", *facts, len(name), len(extra))
    return header + name.encode() + extra + content


def packed(
    files: dict[str, bytes] | None = None, kind: int = zipfile.ZIP_DEFLATED, folders: str = ""
) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", kind) as archive:
        for folder in folders.split():
            archive.mkdir(folder)
        for name, content in (FILES if files is None else files).items():
            archive.writestr(name, content)
    return file.getvalue()


def spliced(content: bytes, at: int, more: bytes) -> bytes:
    """`more` inserted before the directory, whose entries stay correct."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        start: int = archive.start_dir  # type: ignore[attr-defined]
        offsets = {m.header_offset for m in archive.infolist()}
    body = bytearray(content)
    place = start
    for offset in sorted(offsets):  # the directory is in the order of the files
        place = body.index(b"PK\1\2", place)
        if offset >= at:
            struct.pack_into("<L", body, place + 42, offset + len(more))
        place += 46
    struct.pack_into("<L", body, len(body) - 6, start + len(more))
    return bytes(body[:at] + more + body[at:])


def put(content: bytes, signature: bytes, offset: int, value: bytes, which: int = 0) -> bytes:
    """With `value` so many bytes into the header that is the `which`-th of its signature."""
    place = -1
    for _ in range(which + 1):
        place = content.index(signature, place + 1)
    return content[: place + offset] + value + content[place + offset + len(value) :]


def both(content: bytes, local: int, value: bytes) -> bytes:
    """The same in a member's own header and in the directory's, which has it two bytes later."""
    return put(put(content, b"PK\3\4", local, value), b"PK\1\2", local + 2, value)


def offset_of(content: bytes, name: str) -> int:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return archive.getinfo(name).header_offset


def end_of_files(content: bytes) -> int:
    return content.index(b"PK\1\2")


def with_extra(kind: int, value: bytes) -> bytes:
    info = zipfile.ZipInfo("a")
    info.extra = struct.pack("<2H", kind, len(value)) + value
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(info, b"x")
    return file.getvalue()


def streamed() -> bytes:
    """As a packer writes that cannot go back: each size stands behind its file."""

    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def tell(self) -> int:
            raise OSError

    file = Pipe()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", b"x")
    return file.getvalue()


def found(content: bytes) -> dict[str, str] | None:
    """The hash of each file as zipfile reads it, where the archive is taken; else None."""
    try:
        file = io.BytesIO(content)
        with zipfile.ZipFile(file) as archive:
            check_zip(file, archive)
            return {m.filename: sha(archive.read(m)) for m in archive.infolist()}
    except (InconsistentZip, *ZIP_ERRORS):
        return None


def refusal(content: bytes) -> str:
    file = io.BytesIO(content)
    with zipfile.ZipFile(file) as archive, pytest.raises(InconsistentZip) as caught:
        check_zip(file, archive)
    (line,) = str(caught.value).splitlines()
    return line


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


PLAIN = packed()
STORED = packed(kind=zipfile.ZIP_STORED)
TAKEN = {
    "deflated": PLAIN,
    "stored": STORED,
    "empty": packed({}),
    "folders": packed(folders="handler"),
    "utf-8": packed({"ä/ö.py": b"x"}),
    "times": with_extra(0x5455, b"\1\0\0\0\0"),
    "best": both(PLAIN, 6, b"\2\0"),
}
