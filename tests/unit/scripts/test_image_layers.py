"""scripts/image_layers.py, with archives as docker save and podman save write them."""

import io
import json
import tarfile

import pytest

from scripts.image_layers import ImageError, read, table

PACKAGES = "app/.venv/lib/python3.11/site-packages"


def tar(files: dict[str, bytes], links: dict[str, str] | None = None) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        for name, target in (links or {}).items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            archive.addfile(member)
    return stream.getvalue()


def image() -> io.BytesIO:
    """Two layers, the second of which is there twice; one step that has none."""
    packages = {f"{PACKAGES}/torch/a": b"a" * 60_000_000, f"{PACKAGES}/six.py": b"s"}
    history = [
        {"created_by": "/bin/sh -c #(nop) ADD file:1 in /"},
        {"created_by": "/bin/sh -c #(nop) USER 1", "empty_layer": True},
        {"created_by": "|1 TORCH_INDEX= /bin/sh -c pip install x | y # buildkit"},
        {"created_by": "COPY a b"},
    ]
    layers = ["1.tar", "2.tar", "3/layer.tar"]
    return io.BytesIO(
        tar(
            {
                "1.tar": tar({"usr/bin/x": b"x" * 100, "./etc/y": b"y"}),
                "2.tar": tar(packages),
                "config.json": json.dumps({"history": history}).encode(),
                "manifest.json": json.dumps([{"Config": "config.json", "Layers": layers}]).encode(),
            },
            {"3/layer.tar": "../1.tar"},
        )
    )


def test_each_layer_has_its_instruction_and_its_files() -> None:
    layers = read(image())
    assert [instruction for instruction, _ in layers] == [
        "ADD file:1 in /",
        "RUN pip install x | y",
        "COPY a b",
    ]
    assert [layer.size for _, layer in layers] == [101, 60_000_001, 101]
    assert layers[0][1].packages == {"usr": 100, "etc": 1}
    assert layers[1][1].packages == {"torch": 60_000_000, "six.py": 1}


def test_the_table_names_large_packages_alone() -> None:
    assert table(read(image())).splitlines() == [
        "| layer | MB | of which |",
        "| --- | --- | --- |",
        "| ADD file:1 in / | 0.0 |  |",
        "| RUN pip install x \\| y | 60.0 | torch 60 |",
        "| COPY a b | 0.0 |  |",
        "| all | 60.0 | |",
    ]


@pytest.mark.parametrize("content", [b"", b"no archive", tar({"manifest.json": b"[]"}), tar({})])
def test_what_is_no_image_is_refused(content: bytes) -> None:
    with pytest.raises(ImageError, match="no archive of docker save"):
        read(io.BytesIO(content))
