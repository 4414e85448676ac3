"""What `trainer.` on the command line may say, and what other keys say."""

from collections.abc import Callable

import pytest
from omegaconf import DictConfig

from train.fitting.trainer import callbacks, further_arguments, make_trainer

Make = Callable[..., DictConfig]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("max_epochs=3", r"^trainer\.max_epochs: omit it, and set fit\.epochs$"),
        ("max_steps=3", r"omit it, and set fit\.epochs$"),
        ("max_time=00:01:00:00", r"omit it, and set fit\.epochs$"),
        ("precision=32-true", r"omit it, and set fit\.precision$"),
        ("gradient_clip_val=1", r"omit it, and set fit\.clip$"),
        ("accumulate_grad_batches=2", r"omit it, and set fit\.accumulate$"),
        ("limit_train_batches=2", r"omit it, and set fit\.limit_train_batches$"),
        ("overfit_batches=2", r"and set fit\.limit_train_batches and fit\.epochs$"),
        ("fast_dev_run=true", r"and set fit\.limit_train_batches and fit\.epochs$"),
        ("barebones=true", r"and set fit\.limit_train_batches and fit\.epochs$"),
        ("logger=false", r"and set logger=tensorboard, wandb or mlflow; ~logger is none$"),
        ("profiler=simple", r"and set profiler=simple, advanced or pytorch$"),
        ("callbacks=[]", r"and set fit\.ema and fit\.patience$"),
        ("use_distributed_sampler=true", r"and set fit\.balance$"),
        (
            "enable_checkpointing=false",
            r"^trainer\.enable_checkpointing=false: omit it; a run",
        ),
        ("limit_val_batches=0", r"^trainer\.limit_val_batches=0: omit it; best\.ckpt is"),
        ("check_val_every_n_epoch=4", r"check_val_every_n_epoch=4: must be 1 to fit\.epo"),
        ("check_val_every_n_epoch=0", r"check_val_every_n_epoch=0: must be 1 to fit\.epo"),
        ("nonsense=1", r"^trainer\.nonsense: lightning\.Trainer has no such argument$"),
    ],
)
def test_what_another_key_says_or_nobody_is_refused(tiny: Make, given: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        further_arguments(tiny(f"+trainer.{given}"))


@pytest.mark.parametrize("given", ["accelerator=abacus", "devices=0", "strategy=hope"])
def test_what_lightning_cannot_do_is_one_line(tiny: Make, given: str) -> None:
    config = tiny(f"+trainer.{given}")
    with pytest.raises(ValueError, match=r"^[^\n]+$"):
        make_trainer(config, callbacks(config))


@pytest.mark.parametrize(
    "given",
    [
        "enable_progress_bar=false",
        "enable_progress_bar=true",
        "enable_checkpointing=true",
        "num_sanity_val_steps=1",
        "devices=1",
        "log_every_n_steps=1",
        "min_epochs=1",
        "deterministic=true",
        "gradient_clip_algorithm=value",
    ],
)
def test_the_others_are_taken(tiny: Make, given: str) -> None:
    name, _, _ = given.partition("=")
    config = tiny(f"+trainer.{given}", "+trainer.accelerator=cpu")
    assert set(further_arguments(config)) == {name, "accelerator"}
    make_trainer(config, callbacks(config))


def test_lists_are_lists(tiny: Make) -> None:
    assert further_arguments(tiny("+trainer.devices=[0,1]")) == {"devices": [0, 1]}
