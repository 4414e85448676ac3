from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from train.fitting.confusion import KEY, ConfusionMatrix


def trainer(*loggers: Any, sanity: bool = False) -> Any:
    """A trainer of one process, as far as the callback needs one."""
    strategy = SimpleNamespace(reduce=lambda counts, reduce_op: counts)
    return SimpleNamespace(
        strategy=strategy,
        is_global_zero=True,
        sanity_checking=sanity,
        loggers=loggers,
        current_epoch=3,
    )


MODULE: Any = SimpleNamespace(device="cpu")


def counted(callback: ConfusionMatrix, targets: list[float], chosen: list[int]) -> None:
    probabilities = torch.eye(len(callback.names))[chosen]
    batch = {"target": torch.tensor(targets)}
    callback.on_validation_batch_end(trainer(), MODULE, probabilities, batch, 0)


def test_counts_all_batches_of_an_epoch() -> None:
    callback = ConfusionMatrix(("a", "b", "c"))
    for _ in range(2):  # the second epoch counts anew
        callback.on_validation_epoch_start(trainer(), MODULE)
        counted(callback, [0, 0, 2], [0, 1, 2])
        counted(callback, [1], [2])
    assert callback.counts.tolist() == [[1, 1, 0], [0, 0, 1], [0, 0, 1]]


def test_tensorboard_gets_an_image_of_each_epoch(tmp_path: Path) -> None:
    callback = ConfusionMatrix(("a", "b"))
    callback.on_validation_epoch_start(trainer(), MODULE)
    counted(callback, [0, 1], [0, 0])
    logger = TensorBoardLogger(tmp_path)
    callback.on_validation_epoch_end(trainer(logger, sanity=True), MODULE)  # is not logged
    callback.on_validation_epoch_end(trainer(logger), MODULE)
    logger.experiment.flush()
    events = EventAccumulator(logger.log_dir)
    events.Reload()
    (image,) = events.Images(KEY)
    assert image.step == 3
    assert image.encoded_image_string.startswith(b"\x89PNG")
    logger.finalize("success")
