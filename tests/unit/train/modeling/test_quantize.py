"""The int8 network."""

import pytest
import torch

from train.modeling.network import Architecture, Network
from train.modeling.quantize import Ranges, activation_ranges, quantized


def crops(count: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    low = torch.rand(count, 3, 8, 8, generator=generator) * 255
    return torch.nn.functional.interpolate(low, size=64, mode="bicubic").clamp(0, 255).byte()


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(0)
    return Network(Architecture("test_resnet", 64)).eval()


@pytest.fixture(scope="module")
def ranges(network: Network) -> Ranges:
    return activation_ranges(network, crops(8, seed=0))


def test_the_network_itself_stays_the_same(network: Network, ranges: Ranges) -> None:
    before = {name: value.clone() for name, value in network.state_dict().items()}
    quantized(network, ranges)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_the_same_ranges_twice(network: Network, ranges: Ranges) -> None:
    assert activation_ranges(network, crops(8, seed=0)) == ranges


def test_ranges_of_another_network(ranges: Ranges) -> None:
    network = Network(Architecture("resnet18", 64)).eval()
    with pytest.raises(ValueError, match="are not this network's: export it again"):
        quantized(network, ranges)
