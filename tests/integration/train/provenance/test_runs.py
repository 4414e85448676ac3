"""Provenance that trainings store."""

from collections.abc import Callable
from pathlib import Path

from omegaconf import DictConfig

from train.evaluation import origins
from train.fit import fit
from train.provenance.provenance import read_provenance

Make = Callable[..., DictConfig]


def test_fit_stores_it_with_the_epoch(tiny: Make, tmp_path: Path) -> None:
    fit(tiny("fit.epochs=2"))
    best, last = (read_provenance(tmp_path / "run" / f"{name}.ckpt") for name in ("best", "last"))
    (step,) = last.steps
    assert step.training is not None
    assert (step.name, step.training.done, step.training.batch) == ("run", 2, 4)
    assert best.after(2) == last
    assert last.names() == ("utkface", "appa_real")
    fit(tiny("fit.epochs=2", "fit.resume=true"))
    assert read_provenance(tmp_path / "run" / "last.ckpt") == last


def test_a_moved_run_that_continues_has_both_steps(tiny: Make, tmp_path: Path) -> None:
    fit(tiny("fit.epochs=1"))
    moved = (tmp_path / "run").rename(tmp_path / "moved")
    fit(tiny(f"run={moved}", "fit.epochs=3", "fit.resume=true"))
    rows = [row[1:3] for row in origins.steps(read_provenance(moved / "last.ckpt")).rows]
    assert rows[0][0].startswith("run: test_resnet, 1 epoch, batch 4, ")
    assert rows[1][0].startswith("moved: test_resnet, epochs 2 to 3 of 3, batch 4, ")
    assert (rows[0][1], rows[1][1]) == ("scratch", "1")
