"""Faster gradients of convolutions' weights on a CPU, in bfloat16."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

_BACKWARD = torch.ops.aten.convolution_backward.default


class ByMatrixProduct(TorchDispatchMode):
    """Computes the gradients of convolutions over small maps as one product of matrices.

    oneDNN's convolutions take some two to eight times as long for the last blocks of a ResNet whose
    input has 96 to 144 pixels: there are few positions to share the work among, and many weights.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func is not _BACKWARD or not _is_faster(*args):
            return func(*args, **(kwargs or {}))
        gradient, given, weight, *between, (of_input, of_weight, of_bias) = args
        found = func(gradient, given, weight, *between, (of_input, False, of_bias))
        if not of_weight:
            return found
        _, stride, padding, *_ = between
        return found[0], weight_gradient(gradient, given, weight, stride, padding), found[2]


def weight_gradient(
    gradient: Tensor, given: Tensor, weight: Tensor, stride: Sequence[int], padding: Sequence[int]
) -> Tensor:
    """The gradient of a convolution's weight, [O, C, H, W], which has one group and no dilation.

    Args:
        gradient: of the output, [N, O, Y, X].
        given: the input, [N, C, ., .].
    """
    out, channels, height, width = weight.shape
    down, right = padding
    # channels last, so that what is copied into the windows lies side by side
    padded = functional.pad(given, (right, right, down, down)).permute(0, 2, 3, 1).contiguous()
    windows = padded.unfold(1, height, stride[0]).unfold(2, width, stride[1])
    columns = windows.permute(0, 1, 2, 4, 5, 3).reshape(-1, height * width * channels)
    rows = gradient.permute(0, 2, 3, 1).reshape(-1, out)
    return (rows.T @ columns).view(out, height, width, channels).permute(0, 3, 1, 2)


def _is_faster(
    gradient: Tensor,
    given: Tensor,
    weight: Tensor,
    bias_sizes: Any,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    output_padding: Sequence[int],
    groups: int,
    output_mask: Sequence[bool],
) -> bool:
    """Whether the input has more channels than the output has positions, in bfloat16."""
    return (
        given.dtype == weight.dtype == torch.bfloat16
        and given.ndim == 4
        and groups == 1
        and not transposed
        and all(each == 1 for each in dilation)
        and given.shape[1] > gradient.shape[2] * gradient.shape[3]
    )
