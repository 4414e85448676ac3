"""Checks that a zip archive has the same content for streaming readers and for directory readers.

TorchServe unpacks with Java's ZipInputStream, which reads the members' local headers one after
another and ignores the central directory at the end; Python's zipfile reads the central directory.
Only archives in which both agree are accepted: members without gaps from the first byte on, local
headers equal to the directory's entries, and the directory after them up to the last byte. Offsets
and names are those of PKWARE's APPNOTE 6.3.10.
"""

import lzma
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import IO

# The exceptions of zipfile and its decompressors on invalid bytes.
ZIP_ERRORS = (
    OSError, EOFError, RuntimeError, ValueError, OverflowError, struct.error,
    zipfile.BadZipFile, zlib.error, lzma.LZMAError,
)  # fmt: skip

_LOCAL = struct.Struct("<4s5H3L2H")  # local header; name and extra fields follow
_END = struct.Struct("<4s4H2LH")  # end of central directory
_DIRECTORY_ENTRY = 46  # bytes, without name, extra fields and comment
_ENCRYPTED, _SIZES_BEHIND, _UTF8, _LEVEL = 0x1, 0x8, 0x800, 0x6  # general purpose flags
# Extra fields of times and owners, which no reader here uses. Others may give another name (0x7075)
# or other sizes (0x0001).
_HARMLESS = {0x000A, 0x5455, 0x5855, 0x7855, 0x7875, 0xCAFE}
_CHUNK = 1 << 20


class InconsistentZip(Exception):
    """Readers may disagree about the archive; the message says why, in one line."""


def check_zip(file: IO[bytes], packed: zipfile.ZipFile) -> None:
    """Compare the members in `file` with the central directory that `packed` read from it.

    Raises InconsistentZip, or one of `ZIP_ERRORS`.
    """
    members = sorted(packed.infolist(), key=lambda member: member.header_offset)
    check_names(members)
    end = 0
    for member in members:
        if member.header_offset != end:
            raise InconsistentZip(f"{member.filename!r} does not begin where what precedes it ends")
        end = _end_of(file, member)
    start: int = packed.start_dir
    if end != start:
        raise InconsistentZip("it holds something between its last file and its directory")
    size = sum(_DIRECTORY_ENTRY + len(_raw_name(m)) + len(m.extra) for m in members)
    file.seek(0, 2)
    whole = start + size + _END.size == file.tell()
    file.seek(-_END.size, 2)
    count = len(members)
    if not whole or _END.unpack(file.read(_END.size)) != (
        b"PK\5\6", 0, 0, count, count, size, start, 0
    ):  # fmt: skip
        raise InconsistentZip("its directory is not all that follows its files")


def check_names(members: Sequence[zipfile.ZipInfo]) -> None:
    """Raise InconsistentZip if a path leads out of the archive, or is ambiguous."""
    files, folders = set[str](), set[str]()
    for member in members:
        path = member.orig_filename
        parts = path.removesuffix("/").split("/")
        if "\\" in path or ":" in path or path.startswith("/") or ".." in parts:
            raise InconsistentZip(f"the path {path!r} leads out of it")
        if not path.isprintable() or {"", "."} & set(parts):
            raise InconsistentZip(f"the path {path!r} can be read in several ways")
        if not path.isascii() and not member.flag_bits & _UTF8:
            raise InconsistentZip(f"the path {path!r} is not in UTF-8")
        if stat.S_ISLNK(member.external_attr >> 16):
            raise InconsistentZip(f"{path!r} is a link")
        # file systems may ignore case and Unicode normalization
        same = unicodedata.normalize("NFC", "/".join(parts)).casefold()
        if same in files | folders:
            raise InconsistentZip(f"it holds a path twice: {path!r}")
        (folders if path.endswith("/") else files).add(same)
    above = {str(parent) for name in files for parent in PurePosixPath(name).parents}
    for name in sorted(files & above):
        raise InconsistentZip(f"it holds a path twice: {name!r} is a file and a folder")
    for name in sorted(folders - above):
        raise InconsistentZip(f"its folder {name!r} holds nothing")


def _raw_name(member: zipfile.ZipInfo) -> bytes:
    """The name's bytes in the directory; the inverse of zipfile's decoding."""
    return member.orig_filename.encode("utf-8" if member.flag_bits & _UTF8 else "cp437")


def _end_of(file: IO[bytes], member: zipfile.ZipInfo) -> int:
    """End of a member by its local header, which must agree with the directory."""
    name = member.filename
    expected = (member.flag_bits, member.compress_type, member.CRC)
    sizes = member.compress_size, member.file_size
    file.seek(member.header_offset)
    signature, _, flags, method, _, _, crc, compressed, size, length, extras = _LOCAL.unpack(
        file.read(_LOCAL.size)
    )
    own_name, own_extra = file.read(length), file.read(extras)
    if signature != b"PK\3\4" or own_name != _raw_name(member):
        raise InconsistentZip(
            f"{name!r} has another name in its local header than in the directory"
        )
    _check_kind(member)
    if (flags, method, crc) != expected or (compressed, size) != sizes:
        raise InconsistentZip(
            f"{name!r} has other values in its local header than in the directory"
        )
    for extra in (own_extra, member.extra):
        _check_extra(name, extra)
    if method == zipfile.ZIP_STORED and compressed != size:
        raise InconsistentZip(f"{name!r} has two sizes")
    if method == zipfile.ZIP_DEFLATED and _inflated(file, compressed, size) != size:
        raise InconsistentZip(f"{name!r} does not have the size that its header gives")
    return member.header_offset + _LOCAL.size + len(own_name + own_extra) + member.compress_size


def _check_kind(member: zipfile.ZipInfo) -> None:
    """Raise InconsistentZip if Java cannot read a member, or reads it differently."""
    name, flags, method = member.filename, member.flag_bits, member.compress_type
    if flags & _ENCRYPTED:
        raise InconsistentZip(f"{name!r} is encrypted")
    if method not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        called = zipfile.compressor_names.get(method, f"method {method}")  # type: ignore[attr-defined]
        raise InconsistentZip(f"{name!r} is compressed by {called}, which TorchServe cannot read")
    if flags & _SIZES_BEHIND:
        raise InconsistentZip(f"{name!r} has its size after its data and not before")
    allowed = _UTF8 | (_LEVEL if method == zipfile.ZIP_DEFLATED else 0)
    if flags & ~allowed or member.volume:
        raise InconsistentZip(f"{name!r} has flags that are not supported")
    if member.comment:
        raise InconsistentZip(f"{name!r} has a comment")
    if member.is_dir() and (method, member.file_size, member.CRC) != (zipfile.ZIP_STORED, 0, 0):
        raise InconsistentZip(f"the folder {name!r} has a content")


def _check_extra(name: str, extra: bytes) -> None:
    while extra:
        kind, length = struct.unpack_from("<2H", extra)
        if kind not in _HARMLESS or 4 + length > len(extra):
            raise InconsistentZip(f"{name!r} has extra fields that may change its meaning")
        extra = extra[4 + length :]


def _inflated(file: IO[bytes], compressed: int, size: int) -> int:
    """Inflated size of the next `compressed` bytes of `file`; -1 if they are no whole stream.

    Stops soon after `size` bytes.
    """
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    made, rest = 0, b""
    while not inflater.eof and made <= size:
        if not rest:
            rest = file.read(min(_CHUNK, compressed))
            compressed -= len(rest)
        some = inflater.decompress(rest, _CHUNK)
        if not (rest or some):
            return -1
        made += len(some)
        rest = inflater.unconsumed_tail
    return made if inflater.eof and not compressed and not inflater.unused_data else -1
