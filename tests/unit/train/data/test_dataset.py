from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning
import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import Callback

from train.data.cache import CropLabel, Shard, write_shard
from train.data.dataset import Batch, CropBatches, CropDataset
from train.data.sampling import Balance

SIZE, STORED = 8, 10
COUNTS = {"train": 21, "val": 7}
AS_IT_IS = Balance()


def crop(number: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """A crop of one colour with a border of another."""
    image = np.full((3, STORED, STORED), 255 - number, np.uint8)
    image[:, 1:-1, 1:-1] = number
    return image


def label(number: int, split: str) -> CropLabel:
    age = 30.0 if number < 15 else 4.0 * number  # one is more frequent
    gender, race = number % 2, number % 3 - 1
    return CropLabel(f"{number}.jpg", age, split, "made", gender, race, found=True, padding=0.0)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two data sets, the first in two shards: crops of the colours 0 to 27."""
    splits = [split for split, count in COUNTS.items() for _ in range(count)]
    order = np.random.default_rng(0).permutation(len(splits))
    labels = [label(int(number), splits[number]) for number in order]
    crops = np.stack([crop(int(number)) for number in order])
    root = tmp_path_factory.mktemp("crops")
    parts = [("one", 0, slice(0, 10)), ("one", 1, slice(10, 15)), ("other", 0, slice(15, None))]
    for name, index, part in parts:
        (root / name).mkdir(exist_ok=True)
        write_shard(root / name, index, Shard(crops[part], labels[part], {}))
    return [root / "one", root / "other"]


def colours(batch: Batch) -> list[int]:
    """Which crops a batch holds."""
    middle: list[int] = batch["crop"][:, 0, STORED // 2, STORED // 2].tolist()
    return middle


class TestCropDataset:
    @pytest.mark.parametrize(("split", "numbers"), [("train", range(21)), ("val", range(21, 28))])
    def test_one_split_of_all_folders(
        self, folders: list[Path], split: str, numbers: range
    ) -> None:
        dataset = CropDataset(folders, split)
        assert len(dataset) == len(numbers)
        batch = dataset.__getitems__(list(range(len(dataset))))
        assert batch["crop"].shape == (len(numbers), 3, STORED, STORED)
        assert batch["crop"].dtype == torch.uint8
        assert batch["age"].dtype == torch.float32
        assert batch["gender"].dtype == batch["race"].dtype == torch.int64
        assert sorted(colours(batch)) == list(numbers)
        for number, *labels in zip(
            colours(batch), batch["age"], batch["gender"], batch["race"], strict=True
        ):
            expected = label(number, split)
            assert labels == [expected.age, expected.gender, expected.race]

    def test_served_part_only(self, folders: list[Path]) -> None:
        dataset = CropDataset(folders, "val", SIZE)
        assert dataset.crops.shape == (7, 3, SIZE, SIZE)
        assert [len(c.unique()) for c in dataset.crops] == [1] * 7  # nothing of the frame

    def test_an_item_is_a_batch_of_one(self, folders: list[Path]) -> None:
        dataset = CropDataset(folders, "train")
        one, several = dataset[3], dataset.__getitems__([2, 3])
        for name, value in one.items():
            assert torch.equal(value, several[name][1:])

    def test_a_folder_without_crops_of_the_split(self, folders: list[Path], tmp_path: Path) -> None:
        with pytest.raises(ValueError, match=rf"{tmp_path} holds no val crops: run python -m"):
            CropDataset([*folders, tmp_path], "val")
        with pytest.raises(
            ValueError,
            match=r"one holds \d+ train and \d+ val and no test crops: write test ",
        ):
            CropDataset(folders, "test")

    @pytest.mark.parametrize("age", [float("nan"), -1.0, 117.0])
    def test_an_age_that_is_none(self, tmp_path: Path, age: float) -> None:
        labels = [label(20, "train"), replace(label(21, "train"), age=age)]
        write_shard(tmp_path, 0, Shard(np.stack([crop(20), crop(21)]), labels, {}))
        with pytest.raises(
            ValueError, match=rf"1 train crops have no .* 21\.jpg of made is {age}:"
        ):
            CropDataset([tmp_path], "train")


def batches(
    folders: Sequence[Path],
    balance: Balance = AS_IT_IS,
    ranks: tuple[int, int] = (1, 0),
    batch: int = 4,
) -> CropBatches:
    """The data module of rank ranks[1] out of ranks[0]."""
    module = CropBatches(folders, SIZE, batch, balance=balance, seed=3)
    world_size, rank = ranks
    module.trainer = SimpleNamespace(world_size=world_size, global_rank=rank)  # type: ignore[assignment]
    module.setup("fit")
    return module


class TestCropBatches:
    def test_each_training_crop_once_an_epoch(self, folders: list[Path]) -> None:
        loader = batches(folders).train_dataloader()
        seen = [colours(batch) for batch in loader]
        assert [len(part) for part in seen] == [4] * 5  # what is left of 21 is left out
        numbers = [number for part in seen for number in part]
        assert len(set(numbers)) == 20
        assert set(numbers) <= set(range(21))

    def test_fewer_crops_than_a_batch_are_one(
        self, folders: list[Path], caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("INFO")
        module = batches(folders, batch=64)
        seen = [colours(batch) for batch in module.train_dataloader()]
        assert [sorted(part) for part in seen] == [list(range(21))]
        assert "21 training crops are fewer than fit.batch_size=64 per process" in caplog.text
        assert [module.batches(1), module.batches(2), module.batch(2)] == [1, 1, 10]
        with pytest.raises(ValueError, match="21 training crops are too few for 22 processes"):
            module.batch(22)

    def test_balance_looks_less_often_at_the_frequent_age(self, folders: list[Path]) -> None:
        def frequent(age: float) -> int:
            loader = batches(folders, Balance(age=age)).train_dataloader()
            return sum(int((batch["age"] == 30).sum()) for batch in loader)

        assert frequent(0.0) >= 14
        assert 2 <= frequent(1.0) <= 8

    def test_validation_is_every_crop_in_order(self, folders: list[Path]) -> None:
        loader = batches(folders, Balance(age=1.0)).val_dataloader()
        seen = list(loader)
        assert [len(batch["age"]) for batch in seen] == [4, 3]
        dataset = CropDataset(folders, "val", SIZE)
        assert torch.equal(torch.cat([batch["crop"] for batch in seen]), dataset.crops)
        assert torch.equal(torch.cat([batch["age"] for batch in seen]), dataset.age)

    def test_ranks_share_an_epoch(self, folders: list[Path]) -> None:
        parts = [
            [n for b in batches(folders, ranks=(2, rank)).train_dataloader() for n in colours(b)]
            for rank in range(2)
        ]
        assert [len(part) for part in parts] == [8, 8]
        assert not set(parts[0]) & set(parts[1])

    def test_ranks_share_the_validation_and_repeat_none(self, folders: list[Path]) -> None:
        parts = [
            torch.cat([b["crop"] for b in batches(folders, ranks=(2, rank)).val_dataloader()])
            for rank in range(2)
        ]
        crops = CropDataset(folders, "val", SIZE).crops
        assert [len(part) for part in parts] == [4, 3]
        assert torch.equal(parts[0], crops[0::2])
        assert torch.equal(parts[1], crops[1::2])


class Noting(Callback):
    """Records the crops of each epoch."""

    def __init__(self) -> None:
        self.epochs: list[list[int]] = []

    def on_train_epoch_start(self, *_: Any) -> None:
        self.epochs.append([])

    def on_train_batch_end(
        self, trainer: Any, module: Any, outputs: Any, batch: Any, index: int
    ) -> None:
        self.epochs[-1] += colours(batch)


class Nothing(lightning.LightningModule):
    """Learns nothing from a batch."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def training_step(self, batch: Batch, index: int) -> torch.Tensor:
        return self.weight.sum()

    def validation_step(self, batch: Batch, index: int) -> None:
        pass

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.mark.filterwarnings("ignore:.*does not have many workers")
def test_lightning_shuffles_each_epoch_again(folders: list[Path], tmp_path: Path) -> None:
    def train() -> list[list[int]]:
        noting = Noting()
        trainer = lightning.Trainer(
            max_epochs=3,
            accelerator="cpu",
            use_distributed_sampler=False,
            limit_val_batches=0,
            callbacks=[noting],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=tmp_path,
        )
        trainer.fit(Nothing(), CropBatches(folders, SIZE, 4, Balance(age=0.5), seed=3))
        return noting.epochs

    epochs = train()
    assert [len(numbers) for numbers in epochs] == [20] * 3
    assert epochs[0] != epochs[1] != epochs[2] != epochs[0]
    assert train() == epochs
