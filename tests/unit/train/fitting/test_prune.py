"""Pruned channels of the network."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from omegaconf import DictConfig

from handler.predictions import median, std
from train.fitting.prune import pruned, retrained
from train.modeling.network import Architecture, Network

ARCHITECTURE = Architecture("test_resnet", 64, shift=4)


@pytest.fixture
def network() -> Network:
    torch.manual_seed(0)
    return Network(ARCHITECTURE).eval()


def parameters(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def faces(count: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, 3, 72, 72), dtype=torch.uint8, generator=generator)


def test_without_a_part_nothing_changes(network: Network) -> None:
    same = pruned(network, 0.0)
    with torch.no_grad():
        assert torch.equal(network(faces(3)), same(faces(3)))
    assert parameters(same) == parameters(network)


def test_half_of_every_layer_s_channels(network: Network) -> None:
    whole = dict(network.named_modules())
    smaller = pruned(network, 0.5)
    layers = [
        (module, whole[name])
        for name, module in smaller.named_modules()
        if isinstance(module, torch.nn.Conv2d)
    ]
    assert len(layers) > 5
    for left, before in layers:
        assert isinstance(before, torch.nn.Conv2d)
        # half, but for what is kept to make eights
        assert before.out_channels / 2 <= left.out_channels <= before.out_channels / 2 + 7
        assert left.out_channels % 8 == 0
    assert smaller.width == smaller.head.in_features == network.width // 2
    assert smaller.head.out_features == network.head.out_features
    assert 0.2 < parameters(smaller) / parameters(network) < 0.35


def test_a_layer_before_the_years_becomes_narrower_too() -> None:
    network = Network(replace(ARCHITECTURE, hidden=32)).eval()
    smaller = pruned(network, 0.5)
    assert smaller.width == smaller.head.in_features == 16
    assert smaller(faces(2)).shape == (2, 117)


def test_it_gives_what_the_contract_asks_for_and_leaves_the_network_alone(
    network: Network,
) -> None:
    count = parameters(network)
    probabilities = pruned(network, 0.3)(faces(5))
    assert probabilities.shape == (5, 117)
    assert probabilities.dtype == torch.float32
    assert probabilities.sum(dim=1).tolist() == pytest.approx([1] * 5, abs=1e-5)
    age, spread = median(probabilities, 0), std(probabilities)
    assert ((age > 0) & (age < 116) & (spread > 0)).all()
    assert parameters(network) == count


def test_channels_with_the_smallest_weights_go(network: Network) -> None:
    conv, norm, _, following, *_ = network.backbone.conv1
    with torch.no_grad():
        for weights in (conv.weight, norm.weight, following.weight.transpose(0, 1)):
            weights[1::2] *= 1e-3
    left = pruned(network, 0.5).backbone.conv1
    assert torch.equal(left[0].weight, conv.weight[::2])
    assert torch.equal(left[1].weight, norm.weight[::2])


@pytest.mark.parametrize("part", [-0.1, 1.0])
def test_a_part_that_cannot_be_cut_out(network: Network, part: float) -> None:
    with pytest.raises(ValueError, match="of the channels cannot be pruned"):
        pruned(network, part)


def test_a_short_training_changes_the_network_that_is_left(
    network: Network, tiny: Callable[..., DictConfig]
) -> None:
    smaller = pruned(network, 0.5)
    before = {name: value.clone() for name, value in smaller.state_dict().items()}
    assert retrained(smaller, ARCHITECTURE, tiny(), steps=2) is smaller
    after = smaller.state_dict()
    assert not smaller.training
    assert not torch.equal(after["head.weight"], before["head.weight"])
    assert {name: value.shape for name, value in after.items()} == {
        name: value.shape for name, value in before.items()
    }
    counts = [int(value) for name, value in after.items() if name.endswith("num_batches_tracked")]
    assert set(counts) == {2}
