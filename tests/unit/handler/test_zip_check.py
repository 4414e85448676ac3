"""Archives that are taken, and why the others are refused."""

import io
import struct
import zipfile
import zlib

import pytest

from tests.unit.handler.zips import (
    PLAIN,
    STORED,
    TAKEN,
    both,
    end_of_files,
    found,
    member,
    offset_of,
    packed,
    put,
    refusal,
    spliced,
    streamed,
    with_extra,
)

LAST = "'age.pt' "
REFUSED = {
    "hidden behind the last": (
        spliced(PLAIN, end_of_files(PLAIN), member("torchserve_handler.py")),
        "it holds something between its last file and its directory",
    ),
    "hidden before the first": (
        spliced(PLAIN, 0, member("torchserve_handler.py")),
        "'torchserve_handler.py' does not begin where what precedes it ends",
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
        "'torchserve_handler.py' does not begin where what precedes it ends",
    ),
    "a member as a prefix": (
        member("torchserve_handler.py") + PLAIN,
        "'torchserve_handler.py' does not begin where what precedes it ends",
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
        "'torchserve_handler.py' has another name in its local header than in the directory",
    ),
    "another check sum": (
        put(PLAIN, b"PK\3\4", 14, b"xxxx"),
        "'torchserve_handler.py' has other values in its local header than in the directory",
    ),
    "another size": (
        put(STORED, b"PK\3\4", 22, b"\1\0\0\0"),
        "'torchserve_handler.py' has other values in its local header than in the directory",
    ),
    "another method": (
        put(PLAIN, b"PK\3\4", 8, b"\0\0"),
        "'torchserve_handler.py' has other values in its local header than in the directory",
    ),
    "two sizes": (
        both(STORED, 22, struct.pack("<L", 35)),
        "'torchserve_handler.py' has two sizes",
    ),
    "a size that is wrong": (
        both(PLAIN, 22, struct.pack("<L", 35)),
        "'torchserve_handler.py' does not have the size that its header gives",
    ),
    "encrypted": (both(PLAIN, 6, b"\1\0"), "'torchserve_handler.py' is encrypted"),
    "patched data": (
        both(PLAIN, 6, b"\x20\0"),
        "'torchserve_handler.py' has flags that are not supported",
    ),
    "sizes behind": (streamed(), "'a' has its size after its data and not before"),
    "bzip2": (
        packed(kind=zipfile.ZIP_BZIP2),
        "'torchserve_handler.py' is compressed by bzip2, which TorchServe cannot read",
    ),
    "lzma": (
        packed(kind=zipfile.ZIP_LZMA),
        "'torchserve_handler.py' is compressed by lzma, which TorchServe cannot read",
    ),
    "no method": (
        both(PLAIN, 8, b"\x63\0"),
        "'torchserve_handler.py' is compressed by method 99, which TorchServe cannot read",
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
        "'torchserve_handler.py' does not have the size that its header gives"
    )


def test_a_bomb_is_not_unpacked() -> None:
    content = both(packed({"a": bytes(20 << 20)}), 22, struct.pack("<L", 10))
    assert refusal(content) == "'a' does not have the size that its header gives"
