"""The int8 network of a whole backbone, beside that in float32."""

import pytest
import torch

from handler.predictions import median, std
from train.modeling.network import Architecture, Network
from train.modeling.quantize import Ranges, activation_ranges, quantized


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(0)
    network = Network(Architecture("resnet18", 64, shift=4)).eval()
    # an untrained head gives the same age for every face
    torch.nn.init.normal_(network.head.weight, std=0.5)
    return network


def crops(count: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    low = torch.rand(count, 3, 8, 8, generator=generator) * 255
    return torch.nn.functional.interpolate(low, size=72, mode="bicubic").clamp(0, 255).byte()


@pytest.fixture(scope="module")
def ranges(network: Network) -> Ranges:
    return activation_ranges(network, crops(64, seed=0))


@pytest.fixture(scope="module")
def lower(network: Network, ranges: Ranges) -> Network:
    return quantized(network, ranges)


def test_ages_stay_nearly_the_same(network: Network, lower: Network) -> None:
    with torch.inference_mode():
        exact, rounded = network(crops(32, seed=1)), lower(crops(32, seed=1))
    age, rounded_age = median(exact, 0), median(rounded, 0)
    assert age.std() > 1
    difference = (rounded_age - age).abs()
    assert 0 < difference.mean() < 0.1 * age.std()
    spread = std(exact)
    assert (std(rounded) - spread).abs().mean() < 0.1 * spread.mean()
    assert rounded.dtype == torch.float32


def test_the_backbone_is_int8(lower: Network) -> None:
    operators = [node.kind() for node in lower.backbone.inlined_graph.nodes()]
    convolutions = [kind for kind in operators if "conv" in kind]
    assert len(convolutions) == 20
    assert set(convolutions) == {"quantized::conv2d", "quantized::conv2d_relu"}
    assert "aten::batch_norm" not in operators
    assert lower.head.weight.dtype == torch.float32


def test_ranges_are_what_the_crops_need(ranges: Ranges) -> None:
    step, zero = ranges["activation_post_process_0"]  # the normalised pixels
    low, high = -zero * step, (255 - zero) * step
    # black and white after ImageNet's normalisation; what is rare is cut off a little
    assert low == pytest.approx(-0.485 / 0.229, abs=0.2)
    assert high == pytest.approx((1 - 0.406) / 0.225, abs=0.2)
