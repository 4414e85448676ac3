"""Names of annotated images, and writing them."""

import io
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from PIL import Image

from commands import file_kinds
from commands.image_search import shown
from train.atomic_write import atomic_write

writing: Final = threading.Lock()  # held while a file is written


def output_files(images: Sequence[Path], annotate: str, *, several: bool) -> list[Path]:
    """The annotated file of each image: `annotate` itself, or a file in it if it is a folder.

    Raises ValueError if a suffix has no format, if two images have the same output, or if an
    output would overwrite an image.
    """
    given = Path(annotate)
    if given.is_dir() or several or annotate.endswith("/"):
        _refuse_file(given)
        absolute = [Path(os.path.abspath(image)) for image in images]
        common = os.path.commonpath([path.parent for path in absolute]) if absolute else ""
        # the old suffix stays: a.jpg and a.png need different outputs
        outputs = [given / f"{path.relative_to(common)}.png" for path in absolute]
    else:
        _refuse_format(given)
        outputs = [given] * len(images)
    _refuse_clash(images, outputs)
    return outputs


def save(pil_image: Image.Image, output: Path) -> None:
    """Write an image atomically. Raises OSError, or ValueError if the format cannot hold it."""
    encoded = io.BytesIO()
    pil_image.save(encoded, Image.registered_extensions()[output.suffix.lower()])
    with writing, atomic_write(output) as partial:
        partial.write_bytes(encoded.getbuffer())


def _refuse_file(folder: Path) -> None:
    """Raise ValueError unless `folder` is, or can become, a folder and is not named as a file."""
    if folder.is_dir():
        return
    kind = file_kinds.of_suffix(folder.suffix)
    names_a_file = folder.suffix.lower() in Image.registered_extensions() or (kind and kind.advice)
    if folder.exists() or names_a_file:
        raise ValueError(
            f"--annotate {shown(folder)}: give a folder, such as {shown(folder.with_suffix(''))}, "
            "for several photos"
            if names_a_file
            else f"--annotate {shown(folder)}: that is a file; give a folder"
        )


def _refuse_format(output: Path) -> None:
    name = Image.registered_extensions().get(output.suffix.lower(), "")
    try:
        Image.new("RGB", (16, 16)).save(io.BytesIO(), name)
    except (OSError, ValueError, KeyError):
        raise ValueError(
            f"--annotate {shown(output)}: give it a name such as {shown(output.stem)}.png, "
            "or an existing folder"
        ) from None


def _refuse_clash(images: Sequence[Path], outputs: Sequence[Path]) -> None:
    originals = {os.path.realpath(image) for image in images}
    taken: dict[Path, str] = {}
    for image, output in zip(images, outputs, strict=True):
        if os.path.realpath(output) in originals:
            raise ValueError(f"--annotate {shown(output)}: that would overwrite a photo")
        original = os.path.realpath(image)
        if taken.setdefault(output, original) != original:
            raise ValueError(f"--annotate {shown(output)}: two photos would end in it")
    for output in outputs:
        if any(parent in taken for parent in output.parents):
            raise ValueError(f"--annotate {shown(output)}: its folder would be an image")
