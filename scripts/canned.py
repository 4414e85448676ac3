"""Makes scripts/canned.jpg, the photograph that tells whether the service is ready.

    python scripts/canned.py

It shows Eileen Collins; NASA made it and put it in the public domain. scikit-image ships it.
"""

from PIL import Image
from skimage import data

from ready import PHOTOGRAPH


def crop() -> Image.Image:
    """Head and shoulders, with as much around them as the detector likes to see."""
    return Image.fromarray(data.astronaut()).crop((80, 0, 368, 288))


if __name__ == "__main__":
    crop().save(PHOTOGRAPH, quality=90)
