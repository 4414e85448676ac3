"""What Lightning trains: the network, its losses and its schedule."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self, cast

import lightning
import torch
from torch import Tensor, nn
from torch.nn import functional

from train.data.augment import Augmentation, blended
from train.data.dataset import Batch
from train.modeling.distill import Teachers, hint_loss
from train.modeling.losses import AgeLoss, Taught
from train.modeling.network import GENDERS, RACES, AgeNetwork, Architecture, resized
from train.modeling.schedule import OneCycle
from train.provenance.provenance import KEY, Provenance


@dataclass(frozen=True)
class Recipe:
    """The numbers of one training run; see `config.yaml`."""

    learning_rate: float
    warmup: float
    weight_decay: float
    helper_weight: float
    hint_weight: float
    side: int
    blend: float
    seed: int


class AgeFit(lightning.LightningModule):
    """Age distribution, with gender and race as helper tasks that are not exported."""

    def __init__(
        self,
        network: AgeNetwork,
        architecture: Architecture,
        recipe: Recipe,
        loss: AgeLoss,
        augmentation: Augmentation,
        frozen: bool | Sequence[str],
        teachers: Teachers | None = None,
    ) -> None:
        """`network` is of that `architecture`.

        `frozen`: the parts of its backbone, by timm's names, that stay as they are; or whether all
        of it does. Raises ValueError where it has no such part.
        """
        super().__init__()
        self.architecture = architecture
        self.recipe = recipe
        self.loss = loss
        self.augmentation = augmentation
        self.network = network
        self.provenance: Provenance | None = None  # kept with the weights where it is known
        self.teachers = teachers  # no part of this module: neither trained nor kept
        self.helpers = nn.ModuleDict(
            {
                "gender": nn.Linear(self.network.width, GENDERS),
                "race": nn.Linear(self.network.width, RACES),
            }
        )
        taught = self.teachers.several if self.teachers and recipe.hint_weight else []
        self.hints = nn.ModuleList(
            nn.Linear(self.network.width, teacher.network.width) for teacher in taught
        )
        self.frozen = _parts(self.network.backbone, frozen)
        for part in self.frozen:
            part.requires_grad_(False)
        self.train()
        self.to(memory_format=torch.channels_last)

    def train(self, mode: bool = True) -> Self:
        """As a module's; what is frozen stays in evaluation, batch-norm statistics included."""
        super().train(mode)
        for part in self.frozen:
            part.eval()
        return self

    def on_fit_start(self) -> None:
        """Take the teachers to the device, where Lightning has taken the rest."""
        if self.teachers:
            self.teachers.to(self.device)

    def training_step(self, batch: Batch, index: int) -> Tensor:
        """The loss of one batch."""
        # Seeding every step makes augmentation and drop path independent of how often the run
        # was interrupted before.
        step = self.current_epoch * int(self.trainer.num_training_batches) + index
        torch.manual_seed((self.recipe.seed * 1_000_003 + step) * 4099 + self.global_rank)
        side = self.recipe.side
        largest = max(side, self.teachers.side) if self.teachers else side
        faces = self.augmentation(batch["crop"], self.architecture.size, largest)
        lesson = taught = None
        if self.teachers:
            faces, alone = blended(faces, self.recipe.blend)
            lesson = self.teachers.lesson(faces)
            taught = Taught(lesson.shares, alone)
            # a face made of two has the gender and race of neither
            batch = batch | {name: batch[name].masked_fill(alone, -1) for name in self.helpers}
        faces = resized(faces, side).contiguous(memory_format=torch.channels_last)
        features = self.network.features(faces)
        logits = self.network.head(features).float()
        mean, _ = self.network.moments(logits.softmax(dim=1))
        loss = self.loss(logits, mean, batch["age"], taught)
        for (name, head), known in zip(self.helpers.items(), self._known(batch), strict=True):
            # an unknown label is -1; the sum over none of them is 0, where a mean would be NaN
            error = functional.cross_entropy(
                head(features).float(), batch[name], ignore_index=-1, reduction="sum"
            )
            loss = loss + self.recipe.helper_weight * error / known
        if lesson and self.hints:
            told = zip(self.hints, lesson.features, strict=True)
            errors = torch.stack([hint_loss(hint(features), theirs) for hint, theirs in told])
            loss = loss + self.recipe.hint_weight * errors.mean()
            self.log("train/hint", errors.mean(), sync_dist=True)
        self.log("train/loss", loss, prog_bar=True, sync_dist=True)
        return loss

    def _known(self, batch: Batch) -> Tensor:
        """How many labels of each helper task are known, on average over the processes.

        Dividing each process's sum by it makes the mean over them that of one process alone.
        """
        counts = torch.stack([(batch[name] >= 0).sum() for name in self.helpers]).float()
        shared = self.trainer.strategy.reduce(counts, reduce_op="mean")
        return cast("Tensor", shared).clamp(min=1 / self.trainer.world_size)

    def validation_step(self, batch: Batch, index: int) -> None:
        """Log the mean absolute error in years."""
        age, _ = self.network(batch["crop"])
        error = (age - batch["age"]).abs().mean()
        self.log("val/mae", error, prog_bar=True, batch_size=len(age), sync_dist=True)

    def configure_optimizers(self) -> Any:
        """AdamW with one cycle of the learning rate; no decay of norms and biases."""
        trained = [p for p in self.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(
            [
                {
                    "params": [p for p in trained if p.ndim > 1],
                    "weight_decay": self.recipe.weight_decay,
                },
                {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
            ],
            lr=self.recipe.learning_rate,
        )
        schedule = OneCycle(
            optimizer,
            self.recipe.learning_rate,
            int(self.trainer.estimated_stepping_batches),
            self.recipe.warmup,
        )
        return [optimizer], [{"scheduler": schedule, "interval": "step"}]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep what builds the network again, the side of the faces it knows, and its teachers."""
        checkpoint["architecture"] = asdict(self.architecture)
        checkpoint["side"] = self.recipe.side
        if self.provenance is not None:
            checkpoint[KEY] = self.provenance.after(self.current_epoch + 1).to_json()
        checkpoint["teachers"] = self.taught_by

    @property
    def taught_by(self) -> list[str]:
        """The fingerprints of the teachers' weights."""
        return [teacher.fingerprint for teacher in self.teachers.several] if self.teachers else []


def _parts(backbone: nn.Module, frozen: bool | Sequence[str]) -> list[nn.Module]:
    if isinstance(frozen, bool):
        return [backbone] if frozen else []
    try:
        return [backbone.get_submodule(name) for name in frozen]
    except AttributeError as error:
        known = ", ".join(name for name, _ in backbone.named_children())
        raise ValueError(f"model.frozen: {error}; its parts are {known}, and theirs") from error
