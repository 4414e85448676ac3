from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning
import pytest
import torch
from lightning.pytorch.callbacks import Callback

from tests.unit.train.data.crops import SIZE, colours
from tests.unit.train.tasks import AGE
from train.data.batches import CropBatches
from train.data.dataset import Batch, CropDataset
from train.data.sampling import Balance

AS_IT_IS = Balance()


def batches(
    folders: Sequence[Path],
    balance: Balance = AS_IT_IS,
    ranks: tuple[int, int] = (1, 0),
    batch: int = 4,
) -> CropBatches:
    """The data module of rank ranks[1] out of ranks[0]."""
    module = CropBatches(folders, AGE, SIZE, batch, balance=balance, seed=3)
    world_size, rank = ranks
    strategy = SimpleNamespace(root_device=torch.device("cpu"))
    trainer = SimpleNamespace(world_size=world_size, global_rank=rank, strategy=strategy)
    module.trainer = trainer  # type: ignore[assignment]
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
            loader = batches(folders, Balance(target=age)).train_dataloader()
            return sum(int((batch["target"] == 30).sum()) for batch in loader)

        assert frequent(0.0) >= 14
        assert 2 <= frequent(1.0) <= 8

    def test_balance_looks_more_often_at_the_rare_value_of_a_label(
        self, folders: list[Path]
    ) -> None:
        def rare(strength: float) -> int:
            module = batches(folders, Balance(auxiliary={"gender": strength}))
            genders = torch.zeros(21).long()
            genders[int((module.train.target == 30).nonzero()[0])] = 1
            module.train.auxiliary = {"gender": genders}
            return sum(int(batch["gender"].sum()) for batch in module.train_dataloader())

        assert rare(0.0) <= 1
        assert rare(1.0) >= 5

    def test_validation_is_every_crop_in_order(self, folders: list[Path]) -> None:
        loader = batches(folders, Balance(target=1.0)).val_dataloader()
        seen = list(loader)
        assert [len(batch["target"]) for batch in seen] == [4, 3]
        dataset = CropDataset(folders, "val", AGE, SIZE)
        assert torch.equal(torch.cat([batch["crop"] for batch in seen]), dataset.crops)
        assert torch.equal(torch.cat([batch["target"] for batch in seen]), dataset.target)

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
        crops = CropDataset(folders, "val", AGE, SIZE).crops
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
        trainer.fit(Nothing(), CropBatches(folders, AGE, SIZE, 4, Balance(target=0.5), seed=3))
        return noting.epochs

    epochs = train()
    assert [len(numbers) for numbers in epochs] == [20] * 3
    assert epochs[0] != epochs[1] != epochs[2] != epochs[0]
    assert train() == epochs


def test_crops_whose_label_is_doubtful_are_left_out(
    voted: list[Path], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    module = CropBatches(voted, AGE, SIZE, 4, AS_IT_IS, seed=3, apart=15)
    module.setup("fit")
    assert colours(module.train.__getitems__([0, 1])) == [0, 1]
    assert len(module.train) == 2
    assert "1 training crops are left out: votes differ from the label by over 15" in (caplog.text)
