"""Fuzzes decoding: fuzz/README.md says how. An input is an image file."""

import struct
import sys
import zlib

import atheris

with atheris.instrument_imports(include=["PIL", "handler"]):
    from fuzz.checks import check_decoding

PNG = b"\x89PNG\r\n\x1a\n"


def mutated(data: bytes, max_size: int, seed: int) -> bytes:
    """One of libFuzzer's mutations; a PNG's checksums are made right again, three times of four.

    Without them nearly nothing would get past the first check of a chunk.
    """
    changed: bytes = atheris.Mutate(data, max_size)
    return checksummed(changed) if seed % 4 and changed.startswith(PNG) else changed


def checksummed(png: bytes) -> bytes:
    """The PNG with the checksum of every whole chunk."""
    fixed, at = bytearray(png), len(PNG)
    while at + 12 <= len(png):
        end = at + 8 + struct.unpack_from(">I", png, at)[0]
        if end + 4 > len(png):
            break
        struct.pack_into(">I", fixed, end, zlib.crc32(png[at + 4 : end]))
        at = end + 4
    return bytes(fixed)


if __name__ == "__main__":
    atheris.Setup(sys.argv, check_decoding, custom_mutator=mutated)
    atheris.Fuzz()
