"""Runs with arguments of the trainer."""

from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import DictConfig

from train.fit import fit
from train.modeling.checkpoint import read_checkpoint

Make = Callable[..., DictConfig]


@pytest.mark.parametrize(
    ("given", "best"),
    [
        (["+trainer.enable_progress_bar=false", "~logger"], None),
        (["+trainer.check_val_every_n_epoch=2"], 1),
        (["+trainer.val_check_interval=0.5", "+trainer.limit_val_batches=1"], None),
    ],
)
def test_a_run_with_them_ends_with_both_checkpoints(
    tiny: Make, tmp_path: Path, given: list[str], best: int | None
) -> None:
    assert fit(tiny(*given)) > 0
    kept = {n: read_checkpoint(tmp_path / "run" / f"{n}.ckpt")["epoch"] for n in ("best", "last")}
    assert kept["last"] == 2
    assert kept["best"] in ([0, 1, 2] if best is None else [best])
