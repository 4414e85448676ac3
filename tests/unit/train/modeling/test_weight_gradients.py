from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.unit.train.modeling.test_learner import module
from train.modeling import weight_gradients
from train.modeling.weight_gradients import ByMatrixProduct, weight_gradient


def gradients(layer: nn.Conv2d, given: Tensor) -> list[Tensor]:
    """Of the layer's weight, if it is trained, of the input and of any bias."""
    given = given.clone().requires_grad_()
    trained = (layer.weight, given, layer.bias)
    wanted = [each for each in trained if each is not None and each.requires_grad]
    return list(torch.autograd.grad(layer(given).square().sum(), wanted))


@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((2, 16, 3, 3), {"padding": 1}),
        ((2, 16, 5, 4), {"padding": (1, 0), "stride": 2}),
        ((3, 40, 7, 5), {"kernel_size": (3, 2), "stride": (2, 1)}),
        ((2, 8, 4, 4), {"kernel_size": 1, "stride": 2, "bias": False}),
        ((2, 30, 1, 1), {"padding": 2}),
    ],
)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_equals_the_convolutions(
    shape: tuple[int, ...], options: dict[str, Any], layout: torch.memory_format
) -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(shape[1], 6, **{"kernel_size": 3, **options})
    given = torch.randn(shape).to(memory_format=layout)
    expected = gradients(layer, given)
    # in full precision to many digits
    out = layer(given)
    stride, padding = layer.stride, layer.padding
    assert not isinstance(padding, str)
    found = weight_gradient(2 * out, given, layer.weight, stride, padding)
    torch.testing.assert_close(found, expected[0])
    # in bfloat16 to its few
    half = layer.bfloat16()
    with ByMatrixProduct():
        rounded = gradients(half, given.bfloat16())
    for ours, full in zip(rounded, expected, strict=True):
        assert ours.dtype == torch.bfloat16
        assert (ours.float() - full).norm() < 0.03 * full.norm()


class Counting:
    """How often the product is computed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        monkeypatch.setattr(weight_gradients, "weight_gradient", self)

    def __call__(self, *args: Any) -> Tensor:
        self.count += 1
        return weight_gradient(*args)


@pytest.mark.parametrize(
    ("dtype", "channels", "options", "count"),
    [
        (torch.bfloat16, 10, {}, 1),
        (torch.bfloat16, 9, {}, 0),  # as many positions
        (torch.float32, 10, {}, 0),
        (torch.bfloat16, 10, {"groups": 2}, 0),
        (torch.bfloat16, 10, {"dilation": 2, "padding": 2}, 0),
    ],
)
def test_only_where_it_is_faster(
    monkeypatch: pytest.MonkeyPatch,
    dtype: torch.dtype,
    channels: int,
    options: dict[str, Any],
    count: int,
) -> None:
    counting = Counting(monkeypatch)
    layer = nn.Conv2d(channels, 4, 3, **{"padding": 1, **options}).to(dtype)
    given = torch.randn(2, channels, 3, 3, dtype=dtype)
    with ByMatrixProduct():
        gradients(layer, given)
    assert counting.count == count


def test_training_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    counting = Counting(monkeypatch)
    learner = module()
    with torch.autocast("cpu", torch.bfloat16):
        features = learner.network.features(torch.randn(2, 3, 32, 32))
    learner.backward(features.float().sum())
    assert counting.count > 0


def test_a_frozen_weight_gets_no_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    counting = Counting(monkeypatch)
    layer = nn.Conv2d(10, 4, 3, padding=1).bfloat16()
    layer.weight.requires_grad_(False)
    with ByMatrixProduct():
        of_input, of_bias = gradients(layer, torch.randn(2, 10, 3, 3).bfloat16())
    assert of_input.abs().sum() > 0
    assert of_bias.abs().sum() > 0
    assert counting.count == 0
