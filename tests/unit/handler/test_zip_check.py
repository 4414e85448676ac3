"""An archive that is taken holds the same for Python as for the Java that TorchServe runs on."""

import hashlib
import io
import shutil
import struct
import subprocess
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from handler.zip_check import ZIP_ERRORS, InconsistentZip, check_zip

FILES = {"age_handler.py": b"good" * 9, "handler/a.py": b"", "age.pt": bytes(range(256)) * 8}
HIDDEN = b"import os"


def member(name: str, content: bytes = HIDDEN, flags: int = 0, extra: bytes = b"") -> bytes:
    """A stored member with its own header, as no directory tells of it."""
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
    """`more` put in at a place before the directory, which goes on to tell the truth."""
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
LAST = "'age.pt' "
REFUSED = {
    "hidden behind the last": (
        spliced(PLAIN, end_of_files(PLAIN), member("age_handler.py")),
        "it holds something between its last file and its directory",
    ),
    "hidden before the first": (
        spliced(PLAIN, 0, member("age_handler.py")),
        "'age_handler.py' does not begin where what precedes it ends",
    ),
    "hidden between two": (
        spliced(PLAIN, offset_of(PLAIN, "age.pt"), member("x.py")),
        f"{LAST}does not begin where what precedes it ends",
    ),
    "a gap between two": (
        spliced(PLAIN, offset_of(PLAIN, "age.pt"), b"\0"),
        f"{LAST}does not begin where what precedes it ends",
    ),
    "a gap behind the last": (
        spliced(PLAIN, end_of_files(PLAIN), b"\0"),
        "it holds something between its last file and its directory",
    ),
    "a prefix": (
        b"#!/bin/sh\n" + PLAIN,
        "'age_handler.py' does not begin where what precedes it ends",
    ),
    "a member as a prefix": (
        member("age_handler.py") + PLAIN,
        "'age_handler.py' does not begin where what precedes it ends",
    ),
    "something at the end": (PLAIN + b"\0", "its directory is not all that follows its files"),
    "a comment": (
        PLAIN[:-2] + b"\2\0hi",
        "its directory is not all that follows its files",
    ),
    "something within the directory": (
        PLAIN[:-22] + bytes(9) + put(PLAIN[-22:], b"PK\5\6", 12, struct.pack("<L", 999)),
        "",
    ),
    "another name": (
        put(PLAIN, b"PK\3\4", 30, b"x"),
        "'age_handler.py' has another name in its local header than in the directory",
    ),
    "another check sum": (
        put(PLAIN, b"PK\3\4", 14, b"xxxx"),
        "'age_handler.py' has other values in its local header than in the directory",
    ),
    "another size": (
        put(STORED, b"PK\3\4", 22, b"\1\0\0\0"),
        "'age_handler.py' has other values in its local header than in the directory",
    ),
    "another method": (
        put(PLAIN, b"PK\3\4", 8, b"\0\0"),
        "'age_handler.py' has other values in its local header than in the directory",
    ),
    "two sizes": (
        both(STORED, 22, struct.pack("<L", 35)),
        "'age_handler.py' has two sizes",
    ),
    "a size that is wrong": (
        both(PLAIN, 22, struct.pack("<L", 35)),
        "'age_handler.py' does not have the size that its header gives",
    ),
    "encrypted": (both(PLAIN, 6, b"\1\0"), "'age_handler.py' is encrypted"),
    "patched data": (
        both(PLAIN, 6, b"\x20\0"),
        "'age_handler.py' has flags that are not supported",
    ),
    "sizes behind": (streamed(), "'a' has its size after its data and not before"),
    "bzip2": (
        packed(kind=zipfile.ZIP_BZIP2),
        "'age_handler.py' is compressed by bzip2, which TorchServe cannot read",
    ),
    "lzma": (
        packed(kind=zipfile.ZIP_LZMA),
        "'age_handler.py' is compressed by lzma, which TorchServe cannot read",
    ),
    "no method": (
        both(PLAIN, 8, b"\x63\0"),
        "'age_handler.py' is compressed by method 99, which TorchServe cannot read",
    ),
    "another name in Unicode": (
        with_extra(0x7075, b"\1" + struct.pack("<L", zlib.crc32(b"a")) + b"b"),
        "'a' has extra fields that may change its meaning",
    ),
    "two paths but for case": (packed({"a.py": b"", "A.py": b""}), "it holds a path twice: 'A.py'"),
    "two ways to write it": (
        packed({"\u00e4.py": b"", "a\u0308.py": b""}),
        "it holds a path twice: 'a\u0308.py'",
    ),
    "a file and a folder": (
        packed({"a": b"", "a/b": b""}),
        "it holds a path twice: 'a' is a file and a folder",
    ),
    "a folder twice": (
        packed({"a/": b"", "A/b": b"", "A/": b""}),
        "it holds a path twice: 'A/'",
    ),
    "a folder of nothing": (packed({"torch/": b""}), "its folder 'torch' holds nothing"),
    "a folder with a content": (
        packed({"a/": b"x", "a/b": b""}, zipfile.ZIP_STORED),
        "the folder 'a/' has a content",
    ),
    "./": (packed({"./a": b""}), "the path './a' can be read in several ways"),
    "//": (packed({"a//b": b""}), "the path 'a//b' can be read in several ways"),
    "a new line": (packed({"a\nb": b""}), r"the path 'a\nb' can be read in several ways"),
    "..": (packed({"a/../b": b""}), "the path 'a/../b' leads out of it"),
    "absolute": (packed({"/a": b""}), "the path '/a' leads out of it"),
    "backslash": (packed({"a\\b": b""}), r"the path 'a\\b' leads out of it"),
    "another encoding": (
        both(packed({"\u00e4": b""}), 6, b"\0\0"),
        "the path '├ñ' is not in UTF-8",
    ),
    "NUL": (
        put(put(packed({"a.pyX": b""}), b"PK\3\4", 34, b"\0"), b"PK\1\2", 50, b"\0"),
        r"the path 'a.py\x00' can be read in several ways",
    ),
}  # fmt: skip


@pytest.mark.parametrize("content", TAKEN.values(), ids=TAKEN)
def test_is_taken(content: bytes) -> None:
    assert found(content) is not None


@pytest.mark.parametrize(("content", "words"), REFUSED.values(), ids=REFUSED)
def test_is_refused(content: bytes, words: str) -> None:
    if words:
        assert refusal(content) == words
    else:
        assert found(content) is None


def test_more_behind_a_compressed_file_s_end() -> None:
    with zipfile.ZipFile(io.BytesIO(PLAIN)) as archive:
        first = archive.infolist()[0]
    end = first.header_offset + 30 + len(first.filename) + first.compress_size
    longer = spliced(PLAIN, end, member("x.py"))
    size = struct.pack("<L", first.compress_size + len(member("x.py")))
    assert refusal(both(longer, 18, size)) == (
        "'age_handler.py' does not have the size that its header gives"
    )


def test_a_bomb_is_not_unpacked() -> None:
    content = both(packed({"a": bytes(20 << 20)}), 22, struct.pack("<L", 10))
    assert refusal(content) == "'a' does not have the size that its header gives"


@dataclass
class Java:
    """Tells what ZipInputStream finds."""

    process: "subprocess.Popen[str]"
    file: Path

    def found(self, content: bytes) -> dict[str, str] | None:
        """The hash of each file; None where TorchServe would not load the archive."""
        self.file.write_bytes(content)
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(f"{self.file}\n")
        self.process.stdin.flush()
        words = self.process.stdout.readline().split()
        if any(word.startswith("!") for word in words):
            return None
        pairs = [word.split("=") for word in words]
        assert len(dict(pairs)) == len(pairs)
        return {bytes.fromhex(name).decode(): found for name, found in pairs}


@pytest.fixture(scope="module")
def java(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Java]:
    compiler = shutil.which("javac")
    if compiler is None:
        pytest.skip("there is no Java compiler")
    folder = tmp_path_factory.mktemp("java")
    source = Path(__file__).with_name("Unzip.java")
    subprocess.run([compiler, "-d", str(folder), str(source)], check=True)
    command = [str(Path(compiler).with_name("java")), "-cp", str(folder), "Unzip"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield Java(process, folder / "a.zip")
        assert process.stdin
        process.stdin.close()


@pytest.mark.parametrize("content", TAKEN.values(), ids=TAKEN)
def test_java_finds_the_same(content: bytes, java: Java) -> None:
    assert java.found(content) == found(content)


def test_java_finds_what_is_hidden(java: Java) -> None:
    """So that it is the right thing to be compared with."""
    hidden = spliced(PLAIN, end_of_files(PLAIN), member("age_handler2.py"))
    assert (java.found(hidden) or {})["age_handler2.py"] == sha(HIDDEN)


NAMES = st.sampled_from(["age_handler.py", "AGE.pt", "x.py", "handler/x.py", "./age.pt", "x/"])
NUMBERS = st.sampled_from([0, 1, 2, 8, 9, 255, 2048, 65535])
Change = Callable[[bytes], bytes]


@st.composite
def changes(draw: st.DrawFn) -> Change:
    """One thing that somebody may do to an archive."""
    kind = draw(st.sampled_from(["member", "bytes", "header", "both", "cut"]))
    part = draw(st.floats(0, 1))
    more = member(draw(NAMES), flags=draw(st.sampled_from([0, 8, 2048])))
    junk = draw(st.binary(max_size=6))
    field = draw(st.integers(4, 28))
    value = struct.pack("<H", draw(NUMBERS))

    def change(content: bytes) -> bytes:
        at = int(part * len(content))
        try:
            if kind == "member":
                starts = [i for i in range(len(content)) if content[i : i + 4] == b"PK\3\4"]
                places = [*starts, end_of_files(content)]
                return spliced(content, places[int(part * (len(places) - 1))], more)
            if kind == "header":
                return put(content, b"PK\3\4" if part < 0.5 else b"PK\1\2", field, value)
            if kind == "both":
                return both(content, field, value)
        except (IndexError, *ZIP_ERRORS):
            return content  # an earlier change has left nothing of it
        if kind == "bytes":
            return content[:at] + junk + content[at + len(junk) :]
        return content[:at] + content[at + len(junk) :]

    return change


@settings(
    max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.sampled_from(list(TAKEN.values())), st.lists(changes(), max_size=3))
def test_what_is_taken_is_the_same_for_java(
    java: Java, content: bytes, chosen: list[Change]
) -> None:
    for change in chosen:
        content = change(content)
    ours = found(content)
    if ours is not None:
        assert java.found(content) == ours
