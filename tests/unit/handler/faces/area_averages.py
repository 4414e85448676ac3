"""The averages that handler/faces/area_kernel.py computes, by torch's own operator."""

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from handler.faces.area_kernel import Jobs


def average(pixels: Tensor, starts: Tensor, widths: Tensor, jobs: Jobs, out: Tensor) -> None:
    """Like `area_kernel.average`, one job at a time; the last image ends with `pixels`."""
    ends = [*starts.tolist()[1:], len(pixels)]
    for image, left, top, width, height, *size, place, stride in jobs.table.tolist():
        values = pixels[int(starts[image]) : ends[image]].view(-1, int(widths[image]), 3)
        window = values[top : top + height, left : left + width].permute(2, 0, 1)
        scaled = adaptive_avg_pool2d(window.double(), (size[1], size[0])).float()
        rows = torch.arange(size[1], device=out.device)[:, None] * stride
        places = place + rows + torch.arange(size[0], device=out.device)
        out.view(-1, 4)[places, :3] = scaled.permute(1, 2, 0)
