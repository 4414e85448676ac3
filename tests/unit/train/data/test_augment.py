import pytest
import torch
from torch.nn.functional import interpolate

from train.data.augment import Augmentation, mixup

NOTHING = {
    "rotation": 0.0, "scale": (1.0, 1.0), "shift": 0.0, "brightness": 0.0, "contrast": 0.0,
    "saturation": 0.0, "gamma": 0.0, "grey": 0.0, "soften": 0.0, "sharpen": 0.0, "erase": 0.0,
}  # fmt: skip


def crops(n: int = 8) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (n, 3, 40, 40), dtype=torch.uint8, generator=generator)


def test_no_change_gives_the_served_crop_or_its_mirror_image() -> None:
    torch.manual_seed(0)
    stored = crops()
    seen = Augmentation(**NOTHING)(stored, 32, 32)
    served = stored[..., 4:36, 4:36].float()
    mirrored = served.flip(3)
    same = (seen - served).abs().amax(dim=(1, 2, 3)) < 0.01
    flipped = (seen - mirrored).abs().amax(dim=(1, 2, 3)) < 0.01
    assert (same ^ flipped).all()
    assert 0 < same.sum() < 8


@pytest.mark.parametrize("mirror", [0.0, 1.0])
def test_none_or_all_are_mirrored(mirror: float) -> None:
    seen = Augmentation(**NOTHING, mirror=mirror)(crops(), 32, 32)
    served = crops()[..., 4:36, 4:36].float()
    assert torch.allclose(seen, served.flip(3) if mirror else served, atol=0.01)


@pytest.mark.parametrize("side", [16, 24, 48])
def test_no_change_to_another_side_is_the_served_crop_scaled(side: int) -> None:
    torch.manual_seed(0)
    stored = crops()
    seen = Augmentation(**NOTHING)(stored, 32, side)
    assert seen.shape == (8, 3, side, side)
    assert seen.dtype == torch.float32
    served = interpolate(stored[..., 4:36, 4:36].float(), size=side, mode="bilinear")
    inner = slice(2, -2)  # at the border there are real pixels beyond the served crop
    same, flipped = (
        (seen - view)[..., inner, inner].abs().amax(dim=(1, 2, 3)) < 0.01
        for view in (served, served.flip(3))
    )
    assert (same ^ flipped).all()


@pytest.mark.parametrize("side", [32, 20])
@pytest.mark.parametrize(
    "change",
    [
        {"rotation": 20.0}, {"scale": (0.8, 0.9)}, {"shift": 0.1}, {"brightness": 0.5},
        {"contrast": 0.5}, {"saturation": 0.9}, {"gamma": 0.5}, {"grey": 1.0}, {"soften": 1.0},
        {"sharpen": 1.0}, {"erase": 1.0}, {"compress": 1.0},
        {"backdrop": 1.0},
    ],
)  # fmt: skip
def test_each_change_changes_pixels_and_keeps_them_in_range(
    change: dict[str, float], side: int
) -> None:
    torch.manual_seed(1)
    plain = Augmentation(**NOTHING)(crops(), 32, side)
    torch.manual_seed(1)
    seen = Augmentation(**{**NOTHING, **change})(crops(), 32, side)
    assert seen.shape == (8, 3, side, side)
    assert seen.min() >= 0
    assert seen.max() <= 255
    assert (seen - plain).abs().mean() > 0.5


def test_grey_makes_the_channels_equal() -> None:
    seen = Augmentation(**{**NOTHING, "grey": 1.0})(crops(), 32, 32)
    assert torch.allclose(seen[:, 0], seen[:, 1], atol=1e-3)


def test_a_new_backdrop_keeps_the_face_and_changes_the_corners() -> None:
    torch.manual_seed(0)
    grey = 10 + 4 * torch.arange(60, dtype=torch.uint8)  # each crop is of one level
    stored = grey.view(60, 1, 1, 1).expand(60, 3, 40, 40)
    seen = Augmentation(**{**NOTHING, "backdrop": 1.0})(stored, 32, 32)
    assert torch.allclose(seen[:, :, 8:24, 8:24], stored[..., :16, :16].float(), atol=0.01)
    corner = seen[:, :, 0, 0]
    ended = (corner == 0).all(dim=1)
    others = ((corner - grey.float().roll(1)[:, None]).abs() < 0.01).all(dim=1)
    coloured = corner.std(dim=1) > 1
    assert min(int(ended.sum()), int(others.sum()), int(coloured.sum())) > 10
    whole = ~(ended | others | coloured)  # the image ends past the crop
    assert torch.allclose(corner[whole], grey.float()[whole, None], atol=0.01)
    assert int(whole.sum()) < 10


def test_the_seed_decides() -> None:
    augment = Augmentation(15, (0.85, 1.12), 0.05, 0.25, 0.25, 0.3, 0.3, 0.1, 0.3, 0.25, 0.25)
    views = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        views.append(augment(crops(), 32, 32))
    assert torch.equal(views[0], views[1])
    assert not torch.equal(views[0], views[2])


@pytest.mark.parametrize("part", [0.0, 0.5, 1.0])
def test_blended_faces_lie_between_two(part: float) -> None:
    torch.manual_seed(0)
    faces = crops(400).float()
    before = faces.clone()
    found, chosen = mixup(faces, part)
    assert torch.equal(faces, before)
    assert float(chosen.float().mean()) == pytest.approx(part, abs=0.07)
    assert torch.equal(found[~chosen], faces[~chosen])
    other = faces.roll(1, 0)
    low, high = torch.minimum(faces, other), torch.maximum(faces, other)
    assert bool(((found >= low - 1e-3) & (found <= high + 1e-3)).all())
    moved = (found - faces).abs().mean(dim=(1, 2, 3)) / (other - faces).abs().mean(dim=(1, 2, 3))
    if part:  # from none to all of the other
        assert moved[chosen].min() < 0.1
        assert moved[chosen].max() > 0.9
