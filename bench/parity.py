"""Checks that BatchedMTCNN finds the faces that facenet-pytorch finds, and compares the times.

    python -m bench.parity IMAGES_FOLDER

Both detect faces in every image of the folder, with the same settings and scale. Only faces with a
confidence of 0.9 or more and a side of 40 px or more count. Exits with 1 unless BatchedMTCNN finds
99 % of facenet-pytorch's faces, with an IoU of 0.9 or more, and at most 1 % others. The rule for
faces that fill the frame does not apply: the report counts images that it would detect again.
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

from commands.image_search import search, shown
from commands.option_types import whole
from handler.errors import Failure
from handler.faces.boxes import iou
from handler.faces.detector import Faces, downscale, needs_border
from handler.faces.mtcnn import BatchedMTCNN
from handler.imaging.crop import RGBImage
from handler.imaging.decode import decode
from handler.malloc import keep_freed_memory
from handler.settings import Settings
from handler.task import DetectorSettings

Boxes = NDArray[np.float32]  # [n, 4] x1, y1, x2, y2

CONFIDENCE, SIDE, IOU = 0.9, 40.0, 0.9
FOUND_AT_LEAST, OTHERS_AT_MOST = 0.99, 0.01
DEVICE: Final = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def counted(boxes: Boxes, confidence: NDArray[np.float32]) -> Boxes:
    """Boxes with enough confidence and size to count."""
    sides = boxes[:, 2:] - boxes[:, :2]
    count = (confidence >= CONFIDENCE) & (sides.max(axis=1, initial=0) >= SIDE)
    kept: Boxes = boxes[count]
    return kept


def matched(boxes: Boxes, others: Boxes) -> int:
    """The number of `boxes` that have an IoU of `IOU` or more with one of `others`."""
    return int((iou(boxes, others).max(axis=1, initial=0) >= IOU).sum())


def facenet(mtcnn: MTCNN, image: RGBImage) -> tuple[Boxes, NDArray[np.float32]]:
    """Boxes and confidence from facenet-pytorch's `detect`."""
    boxes, confidence = mtcnn.detect(image)
    if boxes is None:
        return np.zeros((0, 4), np.float32), np.zeros(0, np.float32)
    return np.asarray(boxes, np.float32), np.asarray(confidence, np.float32)


def images(folder: Path, settings: Settings) -> list[RGBImage]:
    """Decodable images of `folder`, scaled down as for the detector; reports others on stderr."""
    images = []
    found = search([folder])
    found.say_left_out()
    for path in found.images:
        try:
            image = decode(path.read_bytes(), settings.max_pixels)
        except (Failure, OSError) as error:
            print(f"left out: {shown(path)}: {error}", file=sys.stderr)
            continue
        images.append(downscale(image, settings.max_side)[0])
    return images


def main() -> int:
    parser = argparse.ArgumentParser(description="Compare BatchedMTCNN with facenet-pytorch.")
    parser.add_argument("folder", type=Path, help="images")
    parser.add_argument(
        "--min-face-size", type=whole(12), default=Settings.min_face_size, help="pixels"
    )
    arguments = parser.parse_args()
    settings = Settings(min_face_size=arguments.min_face_size)
    keep_freed_memory()  # as in a worker; it speeds up both
    cascade = BatchedMTCNN(DetectorSettings(), settings.min_face_size, DEVICE)
    mtcnn = MTCNN(keep_all=True, min_face_size=settings.min_face_size, device=DEVICE)
    faces = found = others = again = 0
    seconds: dict[str, list[float]] = {"facenet-pytorch": [], "cascade": []}
    for image in tqdm(images(arguments.folder, settings), unit="image", disable=None):
        start = time.perf_counter()
        theirs = counted(*facenet(mtcnn, image))
        middle = time.perf_counter()
        result = cascade.detect([image])
        seconds["facenet-pytorch"].append(middle - start)
        seconds["cascade"].append(time.perf_counter() - middle)
        ours = counted(result.boxes, result.confidence)
        faces += len(theirs)
        found += matched(theirs, result.boxes)
        others += len(ours) - matched(ours, theirs)
        seen = Faces(result.boxes, result.confidence, result.landmarks)
        again += needs_border(image.shape, seen)
    if not faces:
        print(f"error: facenet-pytorch finds no face in {arguments.folder}", file=sys.stderr)
        return 1
    print(f"faces by facenet-pytorch   {faces}")
    print(f"found by BatchedMTCNN      {found} ({found / faces:.1%})")
    print(f"others                     {others} ({others / faces:.1%})")
    print(f"detected again             {again} of {len(seconds['cascade'])} images")
    for name, times in seconds.items():
        print(f"{name:<26} {1e3 * float(np.median(times)):.1f} ms, median of {len(times)}")
    return int(found / faces < FOUND_AT_LEAST or others / faces > OTHERS_AT_MOST)


if __name__ == "__main__":
    sys.exit(main())
