"""Where annotated pictures go, and how they get there."""

import io
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from PIL import Image

from commands import kinds
from commands.folders import shown
from train.atomic_write import atomic_write

writing: Final = threading.Lock()  # who holds it knows that no file is half written


def places(photographs: Sequence[Path], annotate: str, *, several: bool) -> list[Path]:
    """The picture of each photograph: `annotate` itself, or files in it where it is a folder.

    Raises ValueError when a picture would have no format, when two would be one file, or when one
    would overwrite a photograph.
    """
    given = Path(annotate)
    if given.is_dir() or several or annotate.endswith("/"):
        _refuse_file(given)
        absolute = [Path(os.path.abspath(photograph)) for photograph in photographs]
        common = os.path.commonpath([path.parent for path in absolute]) if absolute else ""
        # the old suffix stays, so that a.jpg and a.png do not end in one file
        pictures = [given / f"{path.relative_to(common)}.png" for path in absolute]
    else:
        _refuse_format(given)
        pictures = [given] * len(photographs)
    _refuse_clash(photographs, pictures)
    return pictures


def save(image: Image.Image, picture: Path) -> None:
    """Write one, whole or not at all; raises OSError, or ValueError where its format says no."""
    encoded = io.BytesIO()
    image.save(encoded, Image.registered_extensions()[picture.suffix.lower()])
    with writing, atomic_write(picture) as partial:
        partial.write_bytes(encoded.getbuffer())


def _refuse_file(folder: Path) -> None:
    """Where a folder is wanted: a file is none, nor is what would be called like one."""
    if folder.is_dir():
        return
    kind = kinds.of_suffix(folder.suffix)
    names_a_file = folder.suffix.lower() in Image.registered_extensions() or (kind and kind.advice)
    if folder.exists() or names_a_file:
        raise ValueError(
            f"--annotate {shown(folder)}: give a folder, such as {shown(folder.with_suffix(''))}, "
            "for several photographs"
            if names_a_file
            else f"--annotate {shown(folder)}: that is a file; give a folder"
        )


def _refuse_format(picture: Path) -> None:
    name = Image.registered_extensions().get(picture.suffix.lower(), "")
    try:
        Image.new("RGB", (16, 16)).save(io.BytesIO(), name)
    except (OSError, ValueError, KeyError):
        raise ValueError(
            f"--annotate {shown(picture)}: give it a name such as {shown(picture.stem)}.png, "
            "or a folder that is there"
        ) from None


def _refuse_clash(photographs: Sequence[Path], pictures: Sequence[Path]) -> None:
    originals = {os.path.realpath(photograph) for photograph in photographs}
    taken: dict[Path, str] = {}
    for photograph, picture in zip(photographs, pictures, strict=True):
        if os.path.realpath(picture) in originals:
            raise ValueError(f"--annotate {shown(picture)}: that would overwrite a photograph")
        original = os.path.realpath(photograph)
        if taken.setdefault(picture, original) != original:
            raise ValueError(f"--annotate {shown(picture)}: two photographs would end in it")
    for picture in pictures:
        if any(parent in taken for parent in picture.parents):
            raise ValueError(f"--annotate {shown(picture)}: its folder would be a picture")
