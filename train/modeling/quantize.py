"""The backbone in whole numbers of 8 bits, after training.

Static quantization of torch's FX graph mode: kernels have a scale for each channel, activations one
each, found on real crops by the observer that keeps the squared error of rounding small. What comes
before and after the backbone stays in floating point.
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

from train.modeling.network import AgeNetwork

# An activation's step and the whole number that stands for 0, by the name of its observer.
Ranges = Mapping[str, tuple[float, int]]

# All 8 bits: processors that add up four products at once (VNNI) cannot overflow with them.
_ACTIVATIONS = {"dtype": torch.quint8, "quant_min": 0, "quant_max": 255}
_LAYERS = QConfigMapping().set_global(
    QConfig(HistogramObserver.with_args(**_ACTIVATIONS), default_per_channel_weight_observer)
)
_EXAMPLE = torch.zeros(1, 3, 64, 64)  # of a backbone's input; its size does not matter


def activation_ranges(network: AgeNetwork, crops: Tensor) -> Ranges:
    """What `quantized` needs to know of `network`, from crops like those to come.

    `crops`: uint8 [N, 3, S, S]; some hundred are enough.
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


def quantized(network: AgeNetwork, ranges: Ranges) -> AgeNetwork:
    """`network` with a backbone of 8 bits, for the CPU; it takes and gives what `network` does.

    Raises ValueError where `ranges` were found on a network of other layers.
    """
    lower = copy.deepcopy(network).eval()
    with _quiet():
        backbone = _observed(lower.backbone)
        observers = dict(_observers(backbone))
        if observers.keys() != ranges.keys():
            raise ValueError("the ranges in 8 bits are not this network's: export it again")
        for name, (scale, zero) in ranges.items():
            setattr(backbone, name, FixedQParamsObserver(scale, zero, **_ACTIVATIONS))
        lower.backbone = torch.jit.trace(convert_fx(backbone), _EXAMPLE)
    return lower


def _observed(backbone: nn.Module) -> GraphModule:
    """`backbone` with its norms folded and its activations watched."""
    return prepare_fx(backbone, _LAYERS, (_EXAMPLE,))


def _observers(backbone: nn.Module) -> Iterator[tuple[str, ObserverBase]]:
    # one that watches two places has two names
    for name, module in backbone.named_modules(remove_duplicate=False):
        if isinstance(module, ObserverBase):
            yield name, module


@contextmanager
def _quiet() -> Iterator[None]:
    """torch deprecates what makes quantized TorchScript, as it does TorchScript, and keeps both."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        warnings.filterwarnings("ignore", "(?s).*reduce_range", UserWarning)
        # that tracing could miss a branch, where torch prints tensors to choose an operator: what
        # FX made has no branches
        warnings.filterwarnings("ignore", category=TracerWarning)
        yield
