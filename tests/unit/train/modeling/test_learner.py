"""The losses of one batch, by hand."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.nn import functional

from tests.unit.train.tasks import AGE
from train.data.augment import Augmentation
from train.modeling.distill import Teacher, Teachers, feature_loss
from train.modeling.learner import Learner, Recipe
from train.modeling.losses import OrdinalLoss, TeacherTarget
from train.modeling.network import Architecture, Network

ARCHITECTURE = Architecture("test_resnet", 32)
FACES = torch.randint(
    0, 256, (4, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
)
BATCH: Any = {
    "crop": FACES,
    "target": torch.tensor([5.0, 20.0, 40.0, 70.0]),
    "gender": torch.tensor([0, 1, -1, 1]),  # one is unknown
    "race": torch.tensor([-1, -1, -1, -1]),
}
LOSS = OrdinalLoss(AGE, "dldl_v2", 2.0, 0.1)
AUXILIARY = {"gender": 2, "race": 5}


def module(teachers: Teachers | None = None, **weights: float) -> Learner:
    """A module in evaluation mode, without augmentation, and its logged values in `logged`."""
    torch.manual_seed(0)
    fixed: dict[str, Any] = {
        "learning_rate": 1e-3, "warmup": 0.3, "weight_decay": 0.05, "auxiliary_weight": 0.0,
        "feature_weight": 0.0, "side": 32, "first_side": 16, "first_epochs": 0, "mixup": 0.0,
        "seed": 0,
    }  # fmt: skip
    still = Augmentation(0, (1, 1), 0, 0, 0, 0, 0, 0, 0, 0, 0, mirror=0)
    network = Network(ARCHITECTURE)
    recipe = Recipe(**fixed | weights)
    made = Learner(network, ARCHITECTURE, recipe, LOSS, still, False, teachers, AUXILIARY)
    made._trainer = SimpleNamespace(  # type: ignore[assignment]
        num_training_batches=1,
        current_epoch=0,
        global_rank=0,
        world_size=1,
        strategy=SimpleNamespace(reduce=lambda value, reduce_op: value),
    )
    made.log = lambda *_, **__: None  # type: ignore[method-assign]
    return made.eval()


def outputs(fit: Learner) -> tuple[torch.Tensor, torch.Tensor]:
    """Features and logits of the batch."""
    features = fit.network.features(fit.augmentation(FACES, 32, 32))
    return features, fit.network.head(features)


@torch.no_grad()
def test_the_age_alone() -> None:
    fit = module()
    _, logits = outputs(fit)
    expected = LOSS(logits, BATCH)
    assert float(fit.training_step(BATCH, 0)) == pytest.approx(float(expected), rel=1e-5)


@torch.no_grad()
def test_auxiliary_tasks_count_by_their_known_labels() -> None:
    fit = module(auxiliary_weight=0.5)
    features, logits = outputs(fit)
    known = [0, 1, 3]
    gender = functional.cross_entropy(
        fit.auxiliary_heads["gender"](features)[known], BATCH["gender"][known]
    )
    expected = LOSS(logits, BATCH) + 0.5 * gender  # no race is known
    assert float(fit.training_step(BATCH, 0)) == pytest.approx(float(expected), rel=1e-5)


@torch.no_grad()
def test_feature_distillation_is_the_mean_over_teachers() -> None:
    torch.manual_seed(1)
    teachers = Teachers([Teacher(Network(ARCHITECTURE).eval(), 32) for _ in range(2)])
    fit = module(teachers, feature_weight=2.0)
    features, logits = outputs(fit)
    output = teachers(fit.augmentation(FACES, 32, 32))
    target = TeacherTarget(output.probabilities, torch.zeros(4, dtype=torch.bool))
    errors = [
        feature_loss(head(features), each)
        for head, each in zip(fit.feature_heads, output.features, strict=True)
    ]
    expected = LOSS(logits, BATCH, target) + 2.0 * sum(errors) / 2
    assert len(errors) == 2
    assert float(fit.training_step(BATCH, 0)) == pytest.approx(float(expected), rel=1e-4)


@torch.no_grad()
def test_mixed_faces_have_neither_age_nor_gender_of_their_own() -> None:
    torch.manual_seed(1)
    teachers = Teachers([Teacher(Network(ARCHITECTURE).eval(), 32)])
    fit = module(teachers, mixup=1.0, auxiliary_weight=0.5)
    other: Any = BATCH | {
        "target": BATCH["target"] + 10,
        "gender": 1 - BATCH["gender"].clamp(min=0),
    }
    assert float(fit.training_step(BATCH, 0)) == float(fit.training_step(other, 0))


@pytest.mark.parametrize(("first_epochs", "side"), [(0, 32), (1, 16)])
def test_the_first_epochs_may_have_smaller_faces(first_epochs: int, side: int) -> None:
    fit = module(first_epochs=first_epochs)
    seen = []
    features = fit.network.features
    fit.network.features = lambda faces: seen.append(faces.shape) or features(faces)  # type: ignore
    fit.training_step(BATCH, 0)
    assert seen == [(4, 3, side, side)]


def test_norms_and_biases_have_no_weight_decay() -> None:
    fit = module()
    fit.trainer.estimated_stepping_batches = 10  # type: ignore[misc]
    ([optimizer], [schedule]) = fit.configure_optimizers()
    decayed, others = optimizer.param_groups
    assert (decayed["weight_decay"], others["weight_decay"]) == (0.05, 0.0)
    assert all(p.ndim > 1 for p in decayed["params"])
    assert all(p.ndim <= 1 for p in others["params"])
    assert len(decayed["params"]) + len(others["params"]) == len(list(fit.parameters()))
    assert (schedule["interval"], schedule["scheduler"].total_steps) == ("step", 10)


def test_a_checkpoint_keeps_what_rebuilds_the_network() -> None:
    fit = module()
    checkpoint: dict[str, Any] = {}
    fit.on_save_checkpoint(checkpoint)
    assert Architecture(**checkpoint["architecture"]) == ARCHITECTURE
    assert (checkpoint["side"], checkpoint["teachers"]) == (32, [])
