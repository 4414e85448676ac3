"""Training with very few images and steps."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from omegaconf import DictConfig

from tests.unit.train.conftest import configuration
from train.data.cache import Shard, read_shards, write_shard
from train.fit import fit
from train.modeling.checkpoint import read_checkpoint

Make = Callable[..., DictConfig]
Few = Callable[..., str]


@pytest.fixture
def few(prepared: Sequence[str], tmp_path: Path) -> Few:
    """Leaves so many crops of each split in a data set of its own; gives the override."""

    def keep(**counts: int) -> str:
        (whole,) = read_shards(Path(configuration(list(prepared)).data.prepared, "utkface"))
        chosen: list[int] = []
        for split, count in counts.items():
            of_split = [i for i, label in enumerate(whole.labels) if label.split == split]
            chosen += of_split[:count]
        folder = tmp_path / "few" / "utkface"
        labels = [whole.labels[i] for i in chosen]
        write_shard(folder, 0, Shard(whole.crops[chosen], labels, {}))
        summary = {"crops": len(chosen), "unusable": 0}
        (folder / "summary.json").write_text(json.dumps(summary))
        return f"data.prepared={folder.parent}"

    return keep


ALONE = "~data.sources.appa_real"


@pytest.mark.parametrize(
    ("crops", "more", "steps"),
    [
        (1, ["fit.batch_size=64"], 3),
        (3, ["fit.batch_size=64", "fit.accumulate=10", "fit.epochs=1"], 1),
        (3, ["fit.batch_size=64", "fit.mixup=0.5", "fit.feature_weight=1", "TEACHER"], 3),
        (3, ["fit.batch_size=2", "fit.limit_train_batches=1", "fit.ema=0.9"], 3),
    ],
)
def test_fewer_images_than_a_batch_are_trained_on(
    tiny: Make, few: Few, tmp_path: Path, crops: int, more: list[str], steps: int
) -> None:
    data = [few(train=crops, val=1), ALONE]
    if "TEACHER" in more:
        fit(tiny(*data, f"run={tmp_path / 'teacher'}"))
        more = [*more[:-1], f"fit.teachers=[{tmp_path / 'teacher' / 'best.ckpt'}]"]
    assert 0 < fit(tiny(*data, *more)) < 117
    assert read_checkpoint(tmp_path / "run" / "last.ckpt")["global_step"] == steps


@pytest.mark.parametrize("warmup", [0, 0.2, 1])
def test_a_rise_of_no_step_of_one_and_of_all(tiny: Make, tmp_path: Path, warmup: float) -> None:
    fit(tiny("fit.epochs=1", f"fit.warmup={warmup}"))
    assert read_checkpoint(tmp_path / "run" / "last.ckpt")["global_step"] == 5


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        (
            {"train": 3, "test": 1},
            r"utkface holds 3 train and 1 test and no val crops: write val in",
        ),
        ({"val": 3}, r"utkface holds 3 val and no train crops: write train into the split column"),
    ],
)
def test_a_missing_split_is_named_beside_the_others(
    tiny: Make, few: Few, counts: dict[str, int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        fit(tiny(few(**counts), ALONE))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("fit.limit_train_batches=0", r"^fit\.limit_train_batches=0 of 5 batches is none: raise"),
        ("fit.limit_train_batches=0.1", r"^fit\.limit_train_batches=0\.1 of 5 batches is none"),
    ],
)
def test_no_steps_are_refused_before_anything_is_written(
    tiny: Make, tmp_path: Path, given: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        fit(tiny(given))
    assert not (tmp_path / "run" / "config.yaml").exists()
