"""Runs that are taught."""

from collections.abc import Callable
from pathlib import Path

import torch
from omegaconf import DictConfig

from train.fit import fit
from train.fitting.build import learner
from train.modeling.distill import load_teacher

Make = Callable[..., DictConfig]


class TestLoading:
    def test_a_checkpoint_knows_the_side_of_its_faces(self, tiny: Make, tmp_path: Path) -> None:
        fit(tiny("fit.epochs=1", "fit.side=48"))
        assert load_teacher(tmp_path / "run" / "best.ckpt").side == 48


class TestFit:
    def test_the_teachers_part_of_the_target(self, tiny: Make, tmp_path: Path) -> None:
        """With none of it, it does not matter who teaches; otherwise it does."""
        teachers = [tmp_path / "one" / "last.ckpt", tmp_path / "other" / "last.ckpt"]
        for seed, path in enumerate(teachers):
            fit(tiny(f"run={path.parent}", f"seed={seed}", "fit.epochs=1"))

        def errors(weight: int) -> list[float]:
            overrides = ["seed=2", "fit.epochs=1", f"fit.teacher_weight={weight}"]
            return [
                fit(tiny(f"run={tmp_path / f'{weight}-{i}'}", f"fit.teachers=[{path}]", *overrides))
                for i, path in enumerate(teachers)
            ]

        first, second = errors(0)
        assert first == second
        first, second = errors(1)
        assert first != second

    def test_they_are_neither_trained_nor_kept(self, tiny: Make, tmp_path: Path) -> None:
        """A teacher of smaller faces, with mixup."""
        fit(tiny(f"run={tmp_path / 'teacher'}", "fit.epochs=1", "fit.side=48"))
        path = tmp_path / "teacher" / "last.ckpt"
        before = path.read_bytes()
        config = tiny(f"run={tmp_path / 'taught'}", f"fit.teachers=[{path}]", "fit.mixup=0.5")
        module = learner(config)
        assert module.teachers is not None
        assert {name.partition(".")[0] for name in module.state_dict()} == {
            "network",
            "auxiliary_heads",
        }
        fit(config)
        assert path.read_bytes() == before
        kept = torch.load(tmp_path / "taught" / "last.ckpt", weights_only=True)["state_dict"]
        assert kept.keys() == module.state_dict().keys()

    def test_feature_heads_are_trained_and_not_used_by_the_next_run(
        self, tiny: Make, tmp_path: Path
    ) -> None:
        teacher, taught = (tmp_path / name / "last.ckpt" for name in ("teacher", "taught"))
        fit(tiny(f"run={teacher.parent}", "fit.epochs=1"))
        overrides = [f"fit.teachers=[{teacher}]", "fit.feature_weight=1.0"]
        config = tiny(f"run={taught.parent}", "fit.epochs=1", *overrides)
        torch.manual_seed(config.seed)
        before = learner(config).feature_heads[0].state_dict()["weight"]
        fit(config)
        kept = torch.load(taught, weights_only=True)["state_dict"]
        assert not torch.equal(kept["feature_heads.0.weight"], before)
        # a run that starts from it has teachers of its own, or none
        both = learner(
            tiny(f"fit.start={taught}", *overrides, f"fit.teachers=[{teacher},{taught}]")
        )
        assert [not torch.equal(head.weight, before) for head in both.feature_heads] == [True, True]
        assert not learner(tiny(f"fit.start={taught}")).feature_heads
