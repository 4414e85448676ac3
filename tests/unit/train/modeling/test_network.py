from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from handler.predictions import median, std
from tests.unit.train.tasks import AGE
from train.modeling.network import (
    LUMA,
    Architecture,
    Network,
    expectation,
    target_distribution,
)


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(0)
    return Network(Architecture("test_resnet", 64)).eval()


def test_moments_of_known_distributions() -> None:
    probabilities = torch.zeros(2, 117)
    probabilities[0, 30] = 1
    probabilities[1, [20, 40]] = 0.5
    assert expectation(probabilities, AGE).tolist() == pytest.approx([30, 30], abs=1e-3)
    assert std(probabilities).tolist() == pytest.approx([0, 10], abs=1e-3)


def test_median_of_known_distributions() -> None:
    probabilities = torch.zeros(5, 117)
    probabilities[0, 30] = 1
    probabilities[1, [20, 41]] = torch.tensor([0.75, 0.25])  # two thirds into the year around 20
    probabilities[2, [20, 21]] = 0.5
    probabilities[3, 0] = probabilities[4, 116] = 1
    assert median(probabilities, AGE.low).tolist() == pytest.approx([30, 20 + 1 / 6, 20.5, 0, 116])


@settings(max_examples=50)
@given(st.lists(st.floats(0, 20), min_size=117, max_size=117))
def test_half_of_any_distribution_lies_below_its_median(logits: list[float]) -> None:
    probabilities = torch.tensor(logits).softmax(dim=0)
    found = float(median(probabilities[None], AGE.low))
    starts = torch.arange(117) - 0.5
    below = float((probabilities * (found - starts).clamp(0, 1)).sum())
    assert below == pytest.approx(0.5, abs=1e-4) or found in (0, 116)


@torch.no_grad()
def test_forward_takes_bytes_and_gives_a_distribution(network: Network) -> None:
    faces = torch.randint(0, 256, (3, 3, 64, 64), dtype=torch.uint8)
    probabilities = network(faces)
    assert probabilities.shape == (3, 117)
    assert probabilities.dtype == torch.float32
    assert (probabilities >= 0).all()
    assert probabilities.sum(dim=1).tolist() == pytest.approx([1, 1, 1], abs=1e-5)
    age, alone = (median(each, AGE.low) for each in (probabilities, network(faces[:1])))
    assert ((age >= 0) & (age <= 116)).all()
    assert float(alone[0]) == pytest.approx(float(age[0]), abs=1e-4)


def test_a_layer_before_the_years() -> None:
    network = Network(Architecture("test_resnet", 64, hidden=24)).eval()
    features = network.features(torch.rand(2, 3, 64, 64) * 255)
    assert features.shape == (2, network.width) == (2, 24)
    assert (features >= 0).all()
    assert network.head.in_features == 24
    earlier = '{"backbone": "test_resnet", "size": 64, "mean": [0, 0, 0], "std": [1, 1, 1]}'
    assert Architecture.from_json(earlier).hidden == 0


def test_normalisation_lives_inside(network: Network) -> None:
    colour = (torch.tensor([0.485, 0.456, 0.406]) * 255).view(1, 3, 1, 1)
    zero = network.backbone(torch.zeros(1, 3, 64, 64))
    assert torch.allclose(network.features(colour.expand(1, 3, 64, 64)), zero, atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize(
    ("backbone", "width"),
    [
        ("mobilenetv3_small_050", 1024),  # one more layer after its features
        ("test_vit", 64),
        ("vit_tiny_patch16_224", 192),  # made for 224 px
    ],
)
def test_backbones_of_other_kinds(backbone: str, width: int) -> None:
    network = Network(Architecture.of_timm(backbone, 64)).eval()
    probabilities = network(torch.zeros(2, 3, 64, 64, dtype=torch.uint8))
    assert network.width == width
    assert probabilities.shape == (2, 117)


def test_normalisation_is_that_of_timm_s_weights() -> None:
    assert Architecture.of_timm("resnet18", 128) == Architecture("resnet18", 128)
    assert Architecture.of_timm("test_vit", 64).std == (0.5, 0.5, 0.5)
    with pytest.raises(ValueError, match="timm has no backbone resnet19"):
        Architecture.of_timm("resnet19", 128)


def test_target_distribution_is_a_gaussian_around_the_age() -> None:
    target = target_distribution(torch.tensor([30.0, 50.5]), 2.0, AGE)
    assert target.sum(dim=1).tolist() == pytest.approx([1, 1], abs=1e-5)
    years = torch.arange(117.0)
    assert (target * years).sum(dim=1).tolist() == pytest.approx([30, 50.5], abs=1e-3)
    assert float(target[0, 32] / target[0, 30]) == pytest.approx(0.6065, abs=1e-3)  # exp(-1/2)


def moved(network: Network, shift: int) -> Network:
    """The same weights, with two views."""
    two = Network(Architecture("test_resnet", 64, shift=shift)).eval()
    two.load_state_dict(network.state_dict())
    return two


@torch.no_grad()
def test_two_views_are_averaged_before_the_median(network: Network) -> None:
    faces = torch.randint(0, 256, (3, 3, 70, 70), dtype=torch.uint8)
    higher, lower = faces[:, :, 0:64, 3:67], faces[:, :, 6:70, 3:67].flip(3)
    one, other = (network.probabilities(network.features(view.float())) for view in (higher, lower))
    found = moved(network, 3)(faces)
    assert torch.allclose(found, (one + other) / 2, atol=1e-6)
    age = median(found, AGE.low)
    assert torch.allclose(age, median((one + other) / 2, AGE.low), atol=1e-3)
    assert torch.allclose(std(found), std((one + other) / 2), atol=1e-3)
    assert not torch.allclose(age, median(one, AGE.low), atol=1e-3)


@torch.no_grad()
def test_both_views_go_through_the_backbone_together(network: Network) -> None:
    two = moved(network, 3)
    shapes = []
    two.backbone.register_forward_pre_hook(lambda _, inputs: shapes.append(inputs[0].shape))
    two(torch.zeros(3, 3, 70, 70, dtype=torch.uint8))
    assert shapes == [(6, 3, 64, 64)]


@torch.no_grad()
@pytest.mark.parametrize("shift", [0, 2])
def test_computes_in_the_precision_of_its_weights(network: Network, shift: int) -> None:
    lower = moved(network, shift)
    side = 64 + 2 * shift
    faces = torch.randint(0, 256, (3, 3, side, side), dtype=torch.uint8)
    exact = lower(faces)
    for part in (lower.backbone, lower.head):
        part.to(torch.bfloat16)
    found = lower(faces)
    assert found.dtype == torch.float32
    for figure in (lambda each: median(each, AGE.low), std):  # in years
        assert torch.allclose(figure(found), figure(exact), atol=0.1)


@torch.no_grad()
def test_without_mirroring_the_second_view_is_lower_alone(network: Network) -> None:
    """For labels that a mirror changes, such as hand signs."""
    plain = Network(Architecture("test_resnet", 64, shift=3, mirror=False)).eval()
    plain.load_state_dict(network.state_dict())
    images = torch.randint(0, 256, (2, 3, 70, 70), dtype=torch.uint8)
    views = (images[:, :, 0:64, 3:67], images[:, :, 6:70, 3:67])
    each = [network.probabilities(network.features(view.float())) for view in views]
    assert torch.allclose(plain(images), (each[0] + each[1]) / 2, atol=1e-6)
    assert not torch.allclose(plain(images), moved(network, 3)(images), atol=1e-6)


@torch.no_grad()
def test_a_grey_network_sees_brightness_alone(network: Network) -> None:
    grey = Network(Architecture("test_resnet", 64, grey=True)).eval()
    grey.load_state_dict(network.state_dict())
    colour = torch.randint(0, 256, (2, 3, 64, 64), generator=torch.Generator().manual_seed(1))
    weights = torch.tensor(LUMA).view(1, 3, 1, 1)
    brightness = (colour * weights).sum(dim=1, keepdim=True).expand(-1, 3, -1, -1)
    features = grey.features(colour.float())
    assert torch.allclose(features, grey.features(brightness), atol=1e-3)
    assert torch.allclose(features, network.features(brightness), atol=1e-3)
    assert not torch.allclose(features, network.features(colour.float()), atol=1e-2)
    assert sum(LUMA) == pytest.approx(1)  # so that what is grey already stays as it is


def test_the_head_has_the_classes_of_the_task() -> None:
    network = Network(Architecture("test_resnet", 64, classes=3)).eval()
    assert network.head.out_features == 3
    assert network(torch.zeros(2, 3, 64, 64, dtype=torch.uint8)).shape == (2, 3)


@pytest.mark.parametrize("classes", [1, 10_001, "3"])
def test_a_number_of_classes_that_is_none(classes: Any) -> None:
    with pytest.raises(ValueError, match="classes must be a whole number from 2 to 10000"):
        Architecture("test_resnet", 64, classes=classes)


def test_only_a_grey_network_holds_the_weights_of_luma() -> None:
    """The identity of a file's weights counts every tensor in it."""
    colour, grey = (Architecture("test_resnet", 64, grey=value) for value in (False, True))
    assert "luma" not in dict(Network(colour).named_buffers())
    assert "luma" in dict(Network(grey).named_buffers())
