"""Makes server/canned.jpg, the photograph that tells whether the service is ready.

    python scripts/canned.py

It shows Eileen Collins; NASA made it and put it in the public domain. scikit-image ships it, so
this needs `pip install -e ./client -e '.[dev]'`.
"""

import argparse

from PIL import Image

from server.readiness import PHOTOGRAPH
from train.extras import exit_if_missing


def crop() -> Image.Image:
    """Head and shoulders, with as much around them as the detector likes to see."""
    with exit_if_missing():
        from skimage import data
    return Image.fromarray(data.astronaut()).crop((80, 0, 368, 288))


def main() -> None:
    argparse.ArgumentParser(description="Make server/canned.jpg anew.").parse_args()
    crop().save(PHOTOGRAPH, quality=90)


if __name__ == "__main__":
    main()
