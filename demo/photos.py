"""The photos of open pages, in memory alone."""

import shutil
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

MOST_PAGES: Final = 20  # whose photos are remembered; the oldest are forgotten
_ABANDONED: Final = 300  # seconds, after which nobody comes for an upload


@dataclass(frozen=True)
class Photo:
    """A file as it was uploaded."""

    name: str
    content: bytes = field(repr=False)


class Photos:
    """What each page asked last, to ask it again with other options."""

    def __init__(self) -> None:
        self._pages: OrderedDict[str, tuple[Photo, ...]] = OrderedDict()
        self._lock = threading.Lock()

    def put(self, page: str, photos: Iterable[Photo]) -> None:
        """Remember these alone of a page."""
        with self._lock:
            self._pages[page] = tuple(photos)
            self._pages.move_to_end(page)
            while len(self._pages) > MOST_PAGES:
                self._pages.popitem(last=False)

    def get(self, page: str) -> tuple[Photo, ...]:
        """What is remembered of a page, () if nothing."""
        with self._lock:
            return self._pages.get(page, ())

    def forget(self, page: str) -> None:
        """Forget a page."""
        with self._lock:
            self._pages.pop(page, None)


def take(uploads: Iterable[str], folder: Path) -> list[Photo]:
    """Read uploaded files and delete them, with what abandoned uploads left in `folder`.

    Gradio keeps each upload in a folder of its own. An upload that another page, which sent the
    same file, has taken first is missing from the result. Raises ValueError for a file elsewhere.
    """
    photos = []
    for upload in map(Path, uploads):
        inside = upload.relative_to(folder)  # raises ValueError: nothing else may be deleted
        try:
            photos.append(Photo(upload.name, upload.read_bytes()))
        except FileNotFoundError:
            continue
        finally:
            _delete(folder / inside.parts[0])
    sweep(folder)
    return photos


def sweep(folder: Path) -> None:
    """Delete what is empty, or older than uploads that somebody may still come for."""
    for path in folder.iterdir():
        try:
            status = path.stat()
        except FileNotFoundError:
            continue
        abandoned = time.time() - status.st_mtime > _ABANDONED
        if abandoned or (path.is_file() and not status.st_size):
            _delete(path)


def _delete(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
