"""Post-training quantization of the backbone to int8.

Static quantization in torch's FX graph mode: a scale per channel for weights, a scale per tensor
for activations, calibrated on real crops with the histogram observer, which minimises the squared
error of rounding. Everything before and after the backbone stays in floating point.
"""

import copy
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.ao.quantization import QConfig, QConfigMapping
from torch.ao.quantization.observer import (
    FixedQParamsObserver,
    HistogramObserver,
    ObserverBase,
    default_per_channel_weight_observer,
)
from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx
from torch.fx import GraphModule
from torch.jit._trace import TracerWarning

from train.modeling.network import Network

# Scale and zero point of an activation, by the name of its observer.
Ranges = Mapping[str, tuple[float, int]]

# The full range of 8 bits: processors with VNNI cannot overflow with it.
_ACTIVATIONS = {"dtype": torch.quint8, "quant_min": 0, "quant_max": 255}
_LAYERS = QConfigMapping().set_global(
    QConfig(HistogramObserver.with_args(**_ACTIVATIONS), default_per_channel_weight_observer)
)
_EXAMPLE = torch.zeros(1, 3, 64, 64)  # input of a backbone, of any size


def activation_ranges(network: Network, crops: Tensor) -> Ranges:
    """Calibrate the activations of `network` on representative crops, uint8 [N, 3, S, S].

    Some hundred crops are enough.
    """
    observed = copy.deepcopy(network).eval()
    with _quiet():
        observed.backbone = _observed(observed.backbone)
        with torch.inference_mode():
            for part in crops.split(64):
                observed(part)
        steps = {
            name: observer.calculate_qparams() for name, observer in _observers(observed.backbone)
        }
    return {name: (float(scale), int(zero)) for name, (scale, zero) in steps.items()}


def quantized(network: Network, ranges: Ranges) -> Network:
    """`network` with an int8 backbone, for the CPU; same inputs and outputs.

    Raises ValueError where `ranges` are of a network with other layers.
    """
    lower = copy.deepcopy(network).eval()
    with _quiet():
        backbone = _observed(lower.backbone)
        observers = dict(_observers(backbone))
        if observers.keys() != ranges.keys():
            raise ValueError("the int8 ranges are not this network's: export it again")
        for name, (scale, zero) in ranges.items():
            setattr(backbone, name, FixedQParamsObserver(scale, zero, **_ACTIVATIONS))
        lower.backbone = torch.jit.trace(convert_fx(backbone), _EXAMPLE)
    return lower


def _observed(backbone: nn.Module) -> GraphModule:
    """`backbone` with folded norms and an observer on each activation."""
    return prepare_fx(backbone, _LAYERS, (_EXAMPLE,))


def _observers(backbone: nn.Module) -> Iterator[tuple[str, ObserverBase]]:
    # an observer of two activations has two names
    for name, module in backbone.named_modules(remove_duplicate=False):
        if isinstance(module, ObserverBase):
            yield name, module


@contextmanager
def _quiet() -> Iterator[None]:
    """Ignore torch's warnings of its quantization, which is deprecated like TorchScript."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        warnings.filterwarnings("ignore", "(?s).*reduce_range", UserWarning)
        # tracing could miss a branch; the graph that FX makes has none
        warnings.filterwarnings("ignore", category=TracerWarning)
        yield
