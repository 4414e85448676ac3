"""Makes server/canned.jpg, the probe image of readiness checks.

    python scripts/canned.py

It shows Eileen Collins, photographed by NASA, public domain. It comes with scikit-image: needs
`pip install -e ./client -e '.[dev]'`.
"""

import argparse

from PIL import Image

from server.readiness import PROBE_IMAGE
from train.extras import exit_if_missing


def crop() -> Image.Image:
    """Head and shoulders, with enough margin for the detector."""
    with exit_if_missing():
        from skimage import data
    return Image.fromarray(data.astronaut()).crop((80, 0, 368, 288))


def main() -> None:
    argparse.ArgumentParser(description="Make server/canned.jpg anew.").parse_args()
    crop().save(PROBE_IMAGE, quality=90)


if __name__ == "__main__":
    main()
