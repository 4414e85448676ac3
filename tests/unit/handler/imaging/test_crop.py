from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from handler.imaging import crop
from handler.imaging.crop import crop_faces, padding, square
from handler.task import CropGeometry
from tests.images import FACE_BOX, astronaut, bordered, scaled, scene

PLAIN = CropGeometry(size=32, margin=0.0, fill=0)


def boxes(*values: tuple[float, ...]) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.array(values, np.float32).reshape(-1, 4)


class TestSquare:
    def test_shares_the_centre_and_has_the_mean_side(self) -> None:
        assert square(boxes((10, 20, 30, 60))[0], 0.0) == (5, 25, 30)

    @pytest.mark.parametrize(("margin", "side"), [(0.5, 60), (-0.25, 30), (0, 40)])
    def test_margin(self, margin: float, side: float) -> None:
        left, top, found = square(boxes((0, 0, 40, 40))[0], margin)
        assert (found, left, top) == (side, 20 - side / 2, 20 - side / 2)

    def test_in_steps(self) -> None:
        found = square(boxes((10.03, 20.04, 30.1, 40.2))[0], 0.0)
        assert found == (10, 20.0625, 20.125)

    def test_is_never_empty(self) -> None:
        assert square(boxes((5, 5, 5, 5))[0], 0.0) == (4.5, 4.5, 1)


class TestPadding:
    @pytest.mark.parametrize(
        ("box", "part"),
        [
            ((10, 10, 20, 20), 0),
            ((-10, 10, 10, 30), 0.5),
            ((-10, -10, 10, 10), 0.75),
            ((90, 10, 110, 30), 0.5),
            ((0, 0, 100, 100), 0),
            ((-100, -100, 200, 200), 8 / 9),
            ((200, 200, 210, 210), 1),
        ],
    )
    def test_part_past_the_border(self, box: tuple[float, ...], part: float) -> None:
        assert padding((100, 100, 3), boxes(box)[0], 0.0) == pytest.approx(part)

    def test_of_a_image_that_is_not_square(self) -> None:
        assert padding((50, 100), boxes((40, 40, 60, 60))[0], 0.0) == pytest.approx(0.5)


class TestCropFaces:
    def test_no_boxes(self) -> None:
        faces = crop_faces(scene(50, 50), boxes(), PLAIN)
        assert faces.shape == (0, 3, 32, 32)
        assert faces.dtype == np.uint8

    def test_at_the_models_own_scale_pixels_are_copied(self) -> None:
        picture = scene(80, 100)
        (face,) = crop_faces(picture, boxes((20, 10, 52, 42)), PLAIN)
        assert np.array_equal(face, picture[10:42, 20:52].transpose(2, 0, 1))

    def test_in_order(self) -> None:
        picture = scene(80, 100)
        one, two = (20, 10, 52, 42), (3, 4, 60, 50)
        both = crop_faces(picture, boxes(one, two), PLAIN)
        assert np.array_equal(both[::-1], crop_faces(picture, boxes(two, one), PLAIN))

    @pytest.mark.parametrize("fill", [0, 128, 255])
    def test_fill_past_the_border(self, fill: int) -> None:
        picture = np.full((40, 40, 3), 77, np.uint8)
        geometry = CropGeometry(size=32, margin=0.0, fill=fill)
        (face,) = crop_faces(picture, boxes((-16, 0, 16, 32)), geometry)
        assert (face[:, :, :16] == fill).all()
        assert (face[:, :, 16:] == 77).all()

    @pytest.mark.parametrize("box", [(100, 100, 150, 150), (-90, -90, -40, -40), (5, 200, 9, 204)])
    def test_wholly_outside(self, box: tuple[float, ...]) -> None:
        geometry = CropGeometry(size=16, margin=0.3, fill=9)
        assert (crop_faces(scene(40, 40), boxes(box), geometry) == 9).all()

    @pytest.mark.parametrize("side", [500.0, 333.3125, 61.6875, 12.375])
    def test_is_the_resize_of_the_whole_image(self, side: float) -> None:
        """That only a patch is copied out of the image must not be seen."""
        picture = bordered(astronaut(), 100)
        box = (103.3125, 105.6875, 103.3125 + side, 105.6875 + side)
        (face,) = crop_faces(picture, boxes(box), PLAIN)
        exact = Image.fromarray(picture).resize((32, 32), Image.Resampling.BILINEAR, box)
        assert np.abs(face.transpose(1, 2, 0).astype(int) - np.asarray(exact)).max() <= 1

    def test_a_border_around_the_image_makes_no_difference(self) -> None:
        picture = astronaut()[60:180, 180:270]
        box = np.array(FACE_BOX) - (180, 60, 180, 60)
        geometry = CropGeometry(size=64, margin=0.4, fill=50)
        inside = crop_faces(bordered(picture, 100, 50), boxes(tuple(box + 100)), geometry)
        assert np.array_equal(crop_faces(picture, boxes(tuple(box)), geometry), inside)

    def test_what_arithmetic_adds_to_a_box_makes_no_difference(self) -> None:
        geometry = CropGeometry(size=48, margin=0.1, fill=0)
        box = np.array([(101.27, 43.91, 187.62, 166.18)], np.float32)
        (face,) = crop_faces(astronaut(), box, geometry)
        for added in np.random.default_rng(0).normal(0, 1e-4, (20, 4)).astype(np.float32):
            assert np.array_equal(crop_faces(astronaut(), box + added, geometry)[0], face)

    @pytest.mark.parametrize("factor", [0.5, 2.0])
    def test_same_face_at_another_size(self, factor: float) -> None:
        geometry = CropGeometry(size=48, margin=0.1, fill=0)
        (face,) = crop_faces(astronaut(), boxes(FACE_BOX), geometry)
        box = tuple(v * factor for v in FACE_BOX)
        (other,) = crop_faces(scaled(astronaut(), factor), boxes(box), geometry)
        assert np.abs(face.astype(int) - other).mean() < 4

    @given(
        st.lists(st.floats(-1000, 1000, width=32), min_size=4, max_size=4),
        st.sampled_from([-0.5, 0.0, 0.7]),
    )
    def test_any_box(self, corners: list[float], margin: float) -> None:
        x1, x2, y1, y2 = *sorted(corners[:2]), *sorted(corners[2:])
        geometry = CropGeometry(size=8, margin=margin, fill=0)
        faces = crop_faces(np.full((30, 20, 3), 200, np.uint8), boxes((x1, y1, x2, y2)), geometry)
        assert faces.shape == (1, 3, 8, 8)
        assert faces.max() <= 200


class TestStrips:
    """A face that fills 50 megapixels took 7 bytes for each of 98 million pixels around it."""

    box = boxes((-21.5, -40, 130.25, 150))
    geometry = CropGeometry(size=32, margin=0.4, fill=110)

    @pytest.mark.parametrize("strip", [1, 1000, 9_999])
    def test_come_to_the_same(self, strip: int, monkeypatch: pytest.MonkeyPatch) -> None:
        picture = scaled(astronaut(), 0.25)
        whole = crop_faces(picture, self.box, self.geometry)
        monkeypatch.setattr(crop, "_STRIP", strip)
        assert np.array_equal(crop_faces(picture, self.box, self.geometry), whole)

    def test_are_what_is_resampled_at_once(self) -> None:
        """By Pillow itself, in one call."""
        picture = scaled(astronaut(), 0.25)
        left, top, side = square(self.box[0], 0.4)
        padded = np.full((600, 600, 3), 110, np.uint8)
        padded[200:328, 200:328] = picture
        area = (200 + left, 200 + top, 200 + left + side, 200 + top + side)
        image = Image.fromarray(padded).resize((32, 32), Image.Resampling.BILINEAR, area)
        (face,) = crop_faces(picture, self.box, self.geometry)
        assert np.array_equal(face.transpose(1, 2, 0), np.asarray(image))

    def test_of_a_large_face_are_small(self, monkeypatch: pytest.MonkeyPatch) -> None:
        taken = []
        patch = crop._patch

        def noted(*arguments: Any) -> crop.RGBImage:
            found = patch(*arguments)
            taken.append(found.shape[:2])
            return found

        monkeypatch.setattr(crop, "_patch", noted)
        picture = np.zeros((3000, 3000, 3), np.uint8)
        crop_faces(picture, boxes((0, 0, 3000, 3000)), self.geometry)
        assert max(height * width for height, width in taken) <= 2**20
        assert sum(height for height, _ in taken) >= 4200
