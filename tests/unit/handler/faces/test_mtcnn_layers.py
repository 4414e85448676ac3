"""The networks say what facenet-pytorch's say."""

from collections.abc import Callable

import pytest
import torch
from facenet_pytorch import MTCNN
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from handler.faces.integral_image import CHANNELS
from handler.faces.mtcnn_layers import Networks, _MaxPool

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def ours() -> Networks:
    return Networks.load(CPU)


@pytest.fixture(scope="module")
def theirs() -> MTCNN:
    return MTCNN(device=CPU)


def pixels(count: int, height: int, width: int) -> Tensor:
    """Float32 [count, 4, height, width], laid out as `handler.faces.integral_image` does."""
    generator = torch.Generator().manual_seed(count * height * width)
    colours = torch.rand(count, 3, height, width, generator=generator) * 255
    nothing = torch.zeros(count, CHANNELS - 3, height, width)
    return torch.cat([colours, nothing], dim=1).contiguous(memory_format=torch.channels_last)


def normalised(faces: Tensor) -> Tensor:
    """As facenet-pytorch gives pixels to its networks."""
    return (faces[:, :3] - 127.5) / 128


@torch.inference_mode()
@pytest.mark.parametrize(
    "size", [(12, 12), (13, 12), (12, 13), (13, 13), (14, 21), (27, 16), (64, 91), (101, 50)]
)
def test_proposal_net(ours: Networks, theirs: MTCNN, size: tuple[int, int]) -> None:
    image = pixels(1, *size)
    offsets, shares = theirs.pnet(normalised(image))
    score, features = ours.propose(image[0])
    height, width = shares.shape[2:]
    assert score.shape == (height, width)
    assert features.shape == (height, width, 32)
    assert torch.allclose(score, shares[0, 1], atol=1e-5)
    found = ours.propose.offsets(features.reshape(-1, 32))
    assert torch.allclose(found, offsets[0].flatten(1).T, atol=1e-5)


@torch.inference_mode()
@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_refinement_net(ours: Networks, theirs: MTCNN, count: int) -> None:
    faces = pixels(count, 24, 24)
    score, offsets = ours.refine(faces)
    assert score.shape == (count,)
    assert offsets.shape == (count, 4)
    if count:  # theirs cannot do with none
        expected_offsets, shares = theirs.rnet(normalised(faces))
        assert torch.allclose(score, shares[:, 1], atol=1e-5)
        assert torch.allclose(offsets, expected_offsets, atol=1e-5)


@torch.inference_mode()
@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_output_net(ours: Networks, theirs: MTCNN, count: int) -> None:
    faces = pixels(count, 48, 48)
    score, offsets, landmarks = ours.decide(faces)
    assert score.shape == (count,)
    assert offsets.shape == (count, 4)
    assert landmarks.shape == (count, 5, 2)
    if count:
        expected_offsets, points, shares = theirs.onet(normalised(faces))
        assert torch.allclose(score, shares[:, 1], atol=1e-5)
        assert torch.allclose(offsets, expected_offsets, atol=1e-5)
        # theirs are five x and then five y
        assert torch.allclose(landmarks[..., 0], points[:, :5], atol=1e-5)
        assert torch.allclose(landmarks[..., 1], points[:, 5:], atol=1e-5)


@torch.inference_mode()
def test_one_face_does_not_change_another(ours: Networks) -> None:
    faces = pixels(5, 48, 48)
    together = ours.decide(faces)
    for i in range(5):
        for parts, alone in zip(together, ours.decide(faces[i : i + 1]), strict=True):
            assert torch.allclose(parts[i], alone[0], atol=1e-5)


@torch.inference_mode()
@pytest.mark.parametrize(
    "run",
    [
        lambda networks: networks.propose(pixels(1, 31, 45)[0]),
        lambda networks: networks.refine(pixels(3, 24, 24)),
        lambda networks: networks.decide(pixels(3, 48, 48)),
    ],
    ids=["P", "R", "O"],
)
def test_the_same_again(ours: Networks, run: Callable[[Networks], tuple[Tensor, ...]]) -> None:
    for one, other in zip(run(ours), run(ours), strict=True):
        assert torch.equal(one, other)


@torch.inference_mode()
def test_pixels_are_left_as_they_were(ours: Networks) -> None:
    """The input may be a view of a tensor that is used again."""
    for network, faces in (
        (ours.propose, pixels(1, 33, 34)[0]),
        (ours.refine, pixels(2, 24, 24)),
        (ours.decide, pixels(2, 48, 48)),
    ):
        before = faces.clone()
        network(faces)
        assert torch.equal(faces, before)


def test_nothing_is_learned(ours: Networks) -> None:
    for network in (ours.propose, ours.refine, ours.decide):
        assert not network.training
        assert not any(p.requires_grad for p in network.parameters())


@settings(max_examples=100)
@given(
    size=st.sampled_from([2, 3]),
    count=st.integers(0, 3),
    channels=st.integers(1, 5),
    height=st.integers(2, 23),
    width=st.integers(2, 23),
    channels_last=st.booleans(),
)
def test_max_pool(
    size: int, count: int, channels: int, height: int, width: int, channels_last: bool
) -> None:
    generator = torch.Generator().manual_seed(height * width)
    x = torch.randn(count, channels, height, width, generator=generator)
    if channels_last:
        x = x.contiguous(memory_format=torch.channels_last)
    expected = nn.MaxPool2d(size, 2, ceil_mode=True)(x) if count else None
    pooled = _MaxPool(size)(x.clone())  # which may be overwritten
    if expected is not None:
        assert torch.equal(pooled, expected)
    else:
        assert pooled.shape[0] == 0
