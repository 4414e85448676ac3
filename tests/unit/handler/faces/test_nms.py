"""What is kept is what torchvision's own `batched_nms` keeps."""

import pytest
import torch
from torchvision.ops import batched_nms

from handler.faces.nms import TOGETHER, nms


def boxes(count: int, groups: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Boxes that overlap a lot, some of them left of the image's border."""
    generator = torch.Generator().manual_seed(count + groups)
    corner = torch.rand(count, 2, generator=generator) * 60 - 20
    size = torch.rand(count, 2, generator=generator) * 40 + 5
    scores = torch.rand(count, generator=generator)
    group = torch.randint(0, groups, (count,), generator=generator) * 3
    return torch.cat([corner, corner + size], dim=1), scores, group


@pytest.mark.parametrize("overlap", [0.3, 0.7])
@pytest.mark.parametrize(("count", "groups"), [(1, 1), (50, 1), (200, 7), (1500, 9)])
@pytest.mark.parametrize("together", [0, 10_000])
def test_keeps_what_torchvision_keeps(
    count: int, groups: int, overlap: float, together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TOGETHER, "cpu", together)
    given = boxes(count, groups)
    kept = nms(*given, overlap)
    assert kept.tolist() == batched_nms(*given, overlap).tolist()
    assert 0 < len(kept) <= count


@pytest.mark.parametrize("together", [0, 10])
def test_nothing_of_nothing(together: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TOGETHER, "cpu", together)
    nothing = torch.zeros(0, dtype=torch.int64)
    kept = nms(torch.zeros(0, 4), torch.zeros(0), nothing, 0.5)
    assert kept.tolist() == []
    assert kept.dtype == torch.int64
