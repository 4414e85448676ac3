"""The Lightning module: network, losses and learning-rate schedule."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from typing import Any, Self, cast

import lightning
import torch
from torch import Tensor, nn
from torch.nn import functional

from train.data.augment import Augmentation, mixup
from train.data.dataset import Batch
from train.modeling.distill import Teachers, feature_loss
from train.modeling.losses import CategoryLoss, OrdinalLoss, TeacherTarget
from train.modeling.metric import metric_of
from train.modeling.network import Architecture, Network, resized
from train.modeling.schedule import OneCycle
from train.modeling.weight_gradients import ByMatrixProduct
from train.provenance.provenance import KEY, Provenance

_NO_AUXILIARY: Mapping[str, int] = {}


@dataclass(frozen=True)
class Recipe:
    """Hyperparameters of one training run; see `config.yaml`."""

    learning_rate: float
    warmup: float
    weight_decay: float
    auxiliary_weight: float
    feature_weight: float
    side: int
    first_side: int  # in the first epochs
    first_epochs: int
    mixup: float
    seed: int


class Learner(lightning.LightningModule):
    """Trains the distribution over a task's classes, with heads for auxiliary labels.

    The auxiliary heads, and those of feature distillation, are not exported.
    """

    def __init__(
        self,
        network: Network,
        architecture: Architecture,
        recipe: Recipe,
        loss: OrdinalLoss | CategoryLoss,
        augmentation: Augmentation,
        frozen: bool | Sequence[str],
        teachers: Teachers | None = None,
        auxiliary: Mapping[str, int] = _NO_AUXILIARY,
    ) -> None:
        """Raises ValueError where the backbone has no part that `frozen` names.

        Args:
            architecture: of `network`; kept in checkpoints.
            frozen: parts of the backbone that are not trained, by timm's names; True: all of it.
            teachers: for distillation; neither trained nor kept in checkpoints.
            auxiliary: number of classes of each auxiliary label.
        """
        super().__init__()
        self.architecture = architecture
        self.recipe = recipe
        self.loss = loss
        self.augmentation = augmentation
        self.network = network
        self.provenance: Provenance | None = None  # kept in checkpoints
        self.teachers = teachers  # a dataclass, so that torch does not register their weights
        self.auxiliary_heads = nn.ModuleDict(
            {name: nn.Linear(self.network.width, count) for name, count in auxiliary.items()}
        )
        distilled = self.teachers.members if self.teachers and recipe.feature_weight else []
        self.feature_heads = nn.ModuleList(
            nn.Linear(self.network.width, teacher.network.width) for teacher in distilled
        )
        self.frozen = _parts(self.network.backbone, frozen)
        for part in self.frozen:
            part.requires_grad_(False)
        self.train()
        self.to(memory_format=torch.channels_last)

    def train(self, mode: bool = True) -> Self:
        """Set the mode; frozen parts stay in evaluation mode, for their batch-norm statistics."""
        super().train(mode)
        for part in self.frozen:
            part.eval()
        return self

    def on_fit_start(self) -> None:
        """Move the teachers to the device; Lightning has moved the module."""
        if self.teachers:
            self.teachers.to(self.device)

    def training_step(self, batch: Batch, index: int) -> Tensor:
        """The loss of one batch."""
        # Seeding every step makes augmentation and drop path independent of how often the run
        # was interrupted before.
        step = self.current_epoch * int(self.trainer.num_training_batches) + index
        torch.manual_seed((self.recipe.seed * 1_000_003 + step) * 4099 + self.global_rank)
        is_first = self.current_epoch < self.recipe.first_epochs
        side = self.recipe.first_side if is_first else self.recipe.side
        largest = max(side, self.teachers.side) if self.teachers else side
        faces = self.augmentation(batch["crop"], self.architecture.size, largest)
        output = target = None
        if self.teachers:
            faces, mixed = mixup(faces, self.recipe.mixup)
            output = self.teachers(faces)
            target = TeacherTarget(output.probabilities, mixed)
            # a mixed face has the auxiliary labels of neither
            batch = batch | {
                name: batch[name].masked_fill(mixed, -1) for name in self.auxiliary_heads
            }
        faces = resized(faces, side).contiguous(memory_format=torch.channels_last)
        features = self.network.features(faces)
        logits = self.network.head(features).float()
        loss = self.loss(logits, batch, target)
        counts = self._label_counts(batch)
        for (name, head), count in zip(self.auxiliary_heads.items(), counts, strict=True):
            # an unknown label is -1; without any label the sum is 0, and a mean would be NaN
            error = functional.cross_entropy(
                head(features).float(), batch[name], ignore_index=-1, reduction="sum"
            )
            loss = loss + self.recipe.auxiliary_weight * error / count
        if output and self.feature_heads:
            pairs = zip(self.feature_heads, output.features, strict=True)
            errors = torch.stack([feature_loss(head(features), each) for head, each in pairs])
            loss = loss + self.recipe.feature_weight * errors.mean()
            # dashboards and searches know the metric by this name
            self.log("train/hint", errors.mean(), sync_dist=True)
        self.log("train/loss", loss, prog_bar=True, sync_dist=True)
        return loss

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Add to the gradients of the parameters."""
        # on a GPU it gains nothing, and its calls from Python would delay the kernels
        with ByMatrixProduct() if loss.device.type == "cpu" else nullcontext():
            super().backward(loss, *args, **kwargs)

    def _label_counts(self, batch: Batch) -> Tensor:
        """Known labels of each auxiliary task, averaged over processes.

        With it as each process's divisor, the mean over processes equals that of a single process.
        """
        if not self.auxiliary_heads:
            return torch.zeros(0)
        counts = torch.stack([(batch[name] >= 0).sum() for name in self.auxiliary_heads]).float()
        shared = self.trainer.strategy.reduce(counts, reduce_op="mean")
        return cast("Tensor", shared).clamp(min=1 / self.trainer.world_size)

    def validation_step(self, batch: Batch, index: int) -> Tensor:
        """Log the metric of the task's output; gives the probabilities, [N, K], to callbacks."""
        probabilities: Tensor = self.network(batch["crop"])
        metric = metric_of(self.loss.output)
        value = metric.of(probabilities, batch["target"], self.loss.output)
        self.log(metric.key, value, prog_bar=True, batch_size=len(probabilities), sync_dist=True)
        return probabilities

    def configure_optimizers(self) -> Any:
        """AdamW with a one-cycle schedule; no weight decay of norms and biases."""
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
        """Keep the architecture, the input side, the provenance and the teachers' fingerprints."""
        checkpoint["architecture"] = asdict(self.architecture)
        checkpoint["side"] = self.recipe.side
        if self.provenance is not None:
            checkpoint[KEY] = self.provenance.after(self.current_epoch + 1).to_json()
        checkpoint["teachers"] = self.teacher_fingerprints

    @property
    def teacher_fingerprints(self) -> list[str]:
        """Checksums of the teachers' weights."""
        return [teacher.fingerprint for teacher in self.teachers.members] if self.teachers else []


def _parts(backbone: nn.Module, frozen: bool | Sequence[str]) -> list[nn.Module]:
    if isinstance(frozen, bool):
        return [backbone] if frozen else []
    try:
        return [backbone.get_submodule(name) for name in frozen]
    except AttributeError as error:
        known = ", ".join(name for name, _ in backbone.named_children())
        raise ValueError(f"model.frozen: {error}; parts are {known}, and theirs") from error
