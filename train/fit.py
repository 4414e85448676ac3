"""Fine-tune a timm backbone on prepared crops with Lightning.

    python -m train.fit run=runs/mine fit.epochs=20

Writes `best.ckpt` (lowest validation MAE), `last.ckpt`, TensorBoard logs and the configuration into
the run's folder. `fit.resume=true` goes on from `last.ckpt`: every random number is a function of
seed, epoch and step, so that an interrupted run ends with the numbers of an unbroken one.
"""

import logging
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import hydra
import lightning
import torch
from lightning.pytorch.callbacks import LearningRateMonitor, ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.loggers import TensorBoardLogger
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn
from torch.nn import functional

from train.augment import Augmentation
from train.checkpoint import load_state
from train.configuration import CONFIG, prepared_folders
from train.data import Batch, CropBatches
from train.datasets import warn_of_repeats
from train.model import GENDERS, RACES, AgeNetwork, Architecture, target_distribution

Precision = Literal["bf16-mixed", "32-true"]
log = logging.getLogger(__name__)
# What Lightning warns of and is meant to be so.
EXPECTED_WARNINGS = (
    ".*does not have many workers",  # the crops lie in memory; a worker would only copy them
    "Checkpoint directory .* exists and is not empty",  # the run's configuration is in it
    "The number of training batches .* is smaller than the logging interval",
)


@dataclass(frozen=True)
class Recipe:
    """The numbers of one training run; see `config.yaml`."""

    learning_rate: float
    weight_decay: float
    sigma: float
    expectation_weight: float
    helper_weight: float
    side: int
    seed: int


class AgeFit(lightning.LightningModule):
    """Age distribution, with gender and race as helper tasks that are not exported."""

    def __init__(
        self,
        architecture: Architecture,
        recipe: Recipe,
        augmentation: Augmentation,
        **timm_options: Any,
    ) -> None:
        super().__init__()
        self.architecture = architecture
        self.recipe = recipe
        self.augmentation = augmentation
        self.network = AgeNetwork(architecture, **timm_options)
        self.helpers = nn.ModuleDict(
            {
                "gender": nn.Linear(self.network.width, GENDERS),
                "race": nn.Linear(self.network.width, RACES),
            }
        )
        self.to(memory_format=torch.channels_last)

    def training_step(self, batch: Batch, index: int) -> Tensor:
        """The loss of one batch."""
        # Seeding every step makes augmentation and drop path independent of how often the run
        # was interrupted before.
        step_seed = (self.recipe.seed * 1_000_003 + self.global_step) * 4099 + self.global_rank
        torch.manual_seed(step_seed)
        faces = self.augmentation(batch["crop"], self.architecture.size, self.recipe.side)
        features = self.network.features(faces.contiguous(memory_format=torch.channels_last))
        logits = self.network.head(features).float()
        target = target_distribution(batch["age"], self.recipe.sigma)
        loss = functional.cross_entropy(logits, target)
        mean, _ = self.network.moments(logits.softmax(dim=1))
        loss = loss + self.recipe.expectation_weight * functional.l1_loss(mean, batch["age"])
        for name, head in self.helpers.items():
            # an unknown label is -1; the sum over none of them is 0, where a mean would be NaN
            known = (batch[name] >= 0).sum().clamp(min=1)
            error = functional.cross_entropy(
                head(features).float(), batch[name], ignore_index=-1, reduction="sum"
            )
            loss = loss + self.recipe.helper_weight * error / known
        self.log("train/loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: Batch, index: int) -> None:
        """Log the mean absolute error in years."""
        age, _ = self.network(batch["crop"])
        error = (age - batch["age"]).abs().mean()
        self.log("val/mae", error, prog_bar=True, batch_size=len(age), sync_dist=True)

    def configure_optimizers(self) -> Any:
        """AdamW with one cycle of the learning rate; no decay of norms and biases."""
        decayed = [p for p in self.parameters() if p.ndim > 1]
        others = [p for p in self.parameters() if p.ndim <= 1]
        optimizer = torch.optim.AdamW(
            [
                {"params": decayed, "weight_decay": self.recipe.weight_decay},
                {"params": others, "weight_decay": 0.0},
            ],
            lr=self.recipe.learning_rate,
        )
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer,
            self.recipe.learning_rate,
            total_steps=int(self.trainer.estimated_stepping_batches),
        )
        return [optimizer], [{"scheduler": schedule, "interval": "step"}]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep what `export` needs to build the network again."""
        checkpoint["architecture"] = asdict(self.architecture)


def fastest_precision() -> Precision:
    """bf16 where GPU or CPU computes in it natively, else full precision."""
    if torch.cuda.is_available():
        return "bf16-mixed" if torch.cuda.is_bf16_supported() else "32-true"
    return "bf16-mixed" if torch.ops.mkldnn._is_mkldnn_bf16_supported() else "32-true"


def fit(config: DictConfig) -> float:
    """Train as `config` says and return the best validation MAE in years.

    Raises FileExistsError where a run lies in the folder already and `fit.resume` is not set, and
    FileNotFoundError where there is nothing to resume.
    """
    run = Path(config.run)
    last = run / "last.ckpt"
    if last.exists() and not config.fit.resume:
        raise FileExistsError(f"{run} holds a run: set fit.resume=true, or run=ANOTHER_FOLDER")
    if config.fit.resume and not last.exists():
        raise FileNotFoundError(f"{last} is missing: there is nothing to resume")
    warn_of_repeats(config.data.sources)
    lightning.seed_everything(config.seed)
    run.mkdir(parents=True, exist_ok=True)
    OmegaConf.save(config, run / "config.yaml", resolve=True)

    recipe = Recipe(
        learning_rate=config.fit.learning_rate,
        weight_decay=config.fit.weight_decay,
        sigma=config.fit.sigma,
        expectation_weight=config.fit.expectation_weight,
        helper_weight=config.fit.helper_weight,
        side=config.fit.side,
        seed=config.seed,
    )
    module = AgeFit(
        Architecture(config.model.backbone, config.crop.size),
        recipe,
        Augmentation(**config.augment),
        pretrained=config.model.pretrained,
        drop_path_rate=config.model.drop_path,
    )
    if config.fit.start is not None:
        module.load_state_dict(load_state(Path(config.fit.start)))
    batches = CropBatches(
        prepared_folders(config),
        config.crop.size,
        config.fit.batch_size,
        config.fit.balance,
        config.seed,
    )
    best = ModelCheckpoint(
        run,
        filename="best",
        monitor="val/mae",
        save_last=True,
        enable_version_counter=False,  # a resumed run overwrites the file of the epoch it repeats
    )
    precision: Precision = (
        fastest_precision() if config.fit.precision == "auto" else config.fit.precision
    )
    log.info("precision %s", precision)
    trainer = lightning.Trainer(
        max_epochs=config.fit.epochs,
        precision=precision,
        gradient_clip_val=config.fit.clip,
        limit_train_batches=config.fit.limit_train_batches,
        use_distributed_sampler=False,  # the data module's sampler knows the ranks
        logger=TensorBoardLogger(run, name="", version="tensorboard"),
        callbacks=[best, LearningRateMonitor("step"), TQDMProgressBar(refresh_rate=20)],
        num_sanity_val_steps=0,
    )
    with warnings.catch_warnings():
        for message in EXPECTED_WARNINGS:
            warnings.filterwarnings("ignore", message)
        trainer.fit(module, batches, ckpt_path=last if config.fit.resume else None)
    assert best.best_model_score is not None
    return float(best.best_model_score)


@hydra.main(**CONFIG)
def main(config: DictConfig) -> None:
    """Train, and say where the best checkpoint is."""
    score = fit(config)
    print(f"best validation MAE {score:.2f} years: {Path(config.run) / 'best.ckpt'}")


if __name__ == "__main__":
    main()
