"""Prints what each layer of a container image costs, and the largest packages in it.

    docker save face-age | python scripts/image_layers.py

Reads an archive of docker save, or of podman save --format docker-archive, from standard input, and
needs the standard library alone. Sizes are those of the files, without compression.
"""

import argparse
import io
import json
import re
import sys
import tarfile
from collections import Counter
from dataclasses import dataclass
from typing import IO, Any, Final

PACKAGES: Final = 10  # of a layer, at most
LEAST: Final = 50e6  # bytes of a package that is named
_PACKAGE: Final = re.compile(r".*/site-packages/([^/]+)")


@dataclass(frozen=True)
class Layer:
    """The files of a layer."""

    size: int  # bytes
    packages: Counter[str]  # bytes of each Python package, and of each other folder of the root


class ImageError(Exception):
    """The input is no image; the message is one line."""


def read(stream: IO[bytes]) -> list[tuple[str, Layer]]:
    """The instruction and the files of each layer. Raises ImageError."""
    layers: dict[str, Layer] = {}
    documents: dict[str, Any] = {}
    try:
        with tarfile.open(fileobj=stream, mode="r|") as archive:
            for member in archive:
                file = archive.extractfile(member) if member.isfile() else None
                if file is None:
                    if member.issym():  # a layer that is there already
                        documents[member.name] = member.linkname
                    continue
                if member.name.endswith(".json") or member.size < 1 << 20:
                    content = file.read()
                    try:
                        documents[member.name] = json.loads(content)
                        continue
                    except ValueError:
                        layers[member.name] = _layer(io.BytesIO(content))
                else:
                    layers[member.name] = _layer(file)
        (image,) = documents["manifest.json"]
        steps = [s for s in documents[image["Config"]]["history"] if not s.get("empty_layer")]
        found = [layers[_target(name, documents)] for name in image["Layers"]]
        named = [_instruction(step.get("created_by", "")) for step in steps]
        return list(zip(named, found, strict=True))
    except (tarfile.TarError, KeyError, TypeError, ValueError) as error:
        raise ImageError("this is no archive of docker save with one image") from error


def _target(name: str, documents: dict[str, Any]) -> str:
    link = documents.get(name)
    return link.removeprefix("../") if isinstance(link, str) else name


def _layer(file: IO[bytes]) -> Layer:
    packages: Counter[str] = Counter()
    with tarfile.open(fileobj=file, mode="r|*") as layer:
        for member in layer:
            name = member.name.removeprefix("./")
            package = _PACKAGE.match(name)
            packages[package[1] if package else name.split("/")[0]] += member.size
    return Layer(packages.total(), packages)


def _instruction(created_by: str) -> str:
    """`RUN pip install ...` of what a builder wrote of it."""
    text = re.sub(r"^/bin/sh -c (#\(nop\) )?", "", " ".join(created_by.split()))
    text = re.sub(r"^\|\d+ (\S+=\S* )*/bin/sh -c ", "RUN ", text).split(" # buildkit")[0]
    return text[:60] + ("..." if len(text) > 60 else "")


def table(layers: list[tuple[str, Layer]]) -> str:
    """Markdown: a row for each layer that is not empty."""
    lines = ["| layer | MB | of which |", "| --- | --- | --- |"]
    for instruction, layer in layers:
        largest = [
            f"{name} {size / 1e6:,.0f}"
            for name, size in layer.packages.most_common(PACKAGES)
            if size >= LEAST
        ]
        row = (instruction.replace("|", "\\|"), f"{layer.size / 1e6:,.1f}", ", ".join(largest))
        lines.append(f"| {' | '.join(row)} |")
    total = sum(layer.size for _, layer in layers)
    lines.append(f"| all | {total / 1e6:,.1f} | |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(
        description="Print what each layer of an image costs: docker save IMAGE | this"
    )
    parser.parse_args()
    try:
        print(table(read(sys.stdin.buffer)))
    except ImageError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
