"""Tells whether the cascade finds the faces that facenet-pytorch itself finds, and how fast.

    python -m bench.same_faces PHOTOGRAPHS_FOLDER

Both look at every photograph of the folder with the same settings, scaled down alike. Of
facenet-pytorch's faces with a confidence of 0.9 or more and a side of 40 px or more, 99 % must be
found with an IoU of 0.9 or more, and no more than 1 % others: it exits with 1 otherwise. What the
rule for faces that fill the frame makes of a photograph is not part of it: it is told of how many
photographs the detector would look at again.
"""

import argparse
import sys
import time
from pathlib import Path
from typing import Final

import numpy as np
import torch
from facenet_pytorch import MTCNN
from numpy.typing import NDArray
from tqdm import tqdm

from commands.folders import search, shown
from commands.option_types import whole
from handler.contract import DetectorSettings
from handler.errors import Failure
from handler.faces.detector import Faces, downscale, needs_border
from handler.faces.mtcnn import BatchedMTCNN
from handler.imaging.crop import RGBImage
from handler.imaging.decode import decode
from handler.malloc import keep_freed_memory
from handler.settings import Settings

Boxes = NDArray[np.float32]  # [n, 4]
CONFIDENCE, SIDE, IOU = 0.9, 40.0, 0.9
FOUND_AT_LEAST, OTHERS_AT_MOST = 0.99, 0.01
DEVICE: Final = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def counted(boxes: Boxes, confidence: NDArray[np.float32]) -> Boxes:
    """The faces that are sure and large enough to count."""
    sides = boxes[:, 2:] - boxes[:, :2]
    count = (confidence >= CONFIDENCE) & (sides.max(axis=1, initial=0) >= SIDE)
    kept: Boxes = boxes[count]
    return kept


def matched(boxes: Boxes, others: Boxes) -> int:
    """How many of `boxes` have one of `others` at the same place."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    shared = np.maximum(high - low, 0).prod(axis=2)
    area, other = ((b[:, 2:] - b[:, :2]).prod(axis=1) for b in (boxes, others))
    overlap = shared / (area[:, None] + other[None] - shared)
    return int((overlap.max(axis=1, initial=0) >= IOU).sum())


def facenet(mtcnn: MTCNN, picture: RGBImage) -> tuple[Boxes, NDArray[np.float32]]:
    """Boxes and confidence by facenet-pytorch's own `detect`."""
    boxes, confidence = mtcnn.detect(picture)
    if boxes is None:
        return np.zeros((0, 4), np.float32), np.zeros(0, np.float32)
    return np.asarray(boxes, np.float32), np.asarray(confidence, np.float32)


def photographs(folder: Path, settings: Settings) -> list[RGBImage]:
    """Every photograph of `folder` that can be decoded, as the detector looks at it.

    What is left out goes to stderr.
    """
    pictures = []
    found = search([folder])
    found.say_left_out()
    for path in found.photographs:
        try:
            picture = decode(path.read_bytes(), settings.max_pixels)
        except (Failure, OSError) as error:
            print(f"left out: {shown(path)}: {error}", file=sys.stderr)
            continue
        pictures.append(downscale(picture, settings.max_side)[0])
    return pictures


def main() -> int:
    parser = argparse.ArgumentParser(description="Compare the cascade with facenet-pytorch's.")
    parser.add_argument("folder", type=Path, help="photographs")
    parser.add_argument(
        "--min-face-size", type=whole(12), default=Settings.min_face_size, help="pixels"
    )
    arguments = parser.parse_args()
    settings = Settings(min_face_size=arguments.min_face_size)
    keep_freed_memory()  # as a worker does; here both gain by it
    cascade = BatchedMTCNN(DetectorSettings(), settings.min_face_size, DEVICE)
    mtcnn = MTCNN(keep_all=True, min_face_size=settings.min_face_size, device=DEVICE)
    faces = found = others = again = 0
    seconds: dict[str, list[float]] = {"facenet-pytorch": [], "cascade": []}
    for picture in tqdm(photographs(arguments.folder, settings), unit="photograph", disable=None):
        start = time.perf_counter()
        theirs = counted(*facenet(mtcnn, picture))
        middle = time.perf_counter()
        result = cascade.detect([picture])
        seconds["facenet-pytorch"].append(middle - start)
        seconds["cascade"].append(time.perf_counter() - middle)
        ours = counted(result.boxes, result.confidence)
        faces += len(theirs)
        found += matched(theirs, result.boxes)
        others += len(ours) - matched(ours, theirs)
        seen = Faces(result.boxes, result.confidence, result.landmarks)
        again += needs_border(picture.shape, seen)
    if not faces:
        print(f"error: facenet-pytorch finds no face in {arguments.folder}", file=sys.stderr)
        return 1
    print(f"faces by facenet-pytorch   {faces}")
    print(f"found by the cascade       {found} ({found / faces:.1%})")
    print(f"others                     {others} ({others / faces:.1%})")
    print(f"looked at again            {again} of {len(seconds['cascade'])} photographs")
    for name, times in seconds.items():
        print(f"{name:<26} {1e3 * float(np.median(times)):.1f} ms, median of {len(times)}")
    return int(found / faces < FOUND_AT_LEAST or others / faces > OTHERS_AT_MOST)


if __name__ == "__main__":
    sys.exit(main())
