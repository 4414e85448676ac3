"""Provenance of runs that start, resume or continue."""

from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from tests.unit.train.conftest import configuration
from tests.unit.train.provenance.files import (
    SHIPPED,
    assert_names_the_shipped_weights,
    config_of,
    trained,
)
from train.configuration.runs import load_run_config
from train.evaluation import origins
from train.provenance.runs import run_provenance


class TestResumed:
    def test_other_settings_make_a_new_step(self, tmp_path: Path) -> None:
        run = tmp_path / "a"
        trained(config_of(run, f"fit.start={SHIPPED}", "fit.learning_rate=5e-4"), 3, "last")
        longer = run_provenance(config_of(run, "fit.resume=true", "fit.epochs=13")).after(13)
        rows = [row[1] for row in origins.steps(longer).rows[-2:]]
        assert rows[0].startswith("a: resnet18, 3 epochs, batch 64, AdamW, one cycle up to 0.0005")
        assert rows[1].startswith("a: resnet18, epochs 4 to 13 of 13, batch 64, AdamW, one cycle ")
        assert_names_the_shipped_weights(longer)

    def test_another_data_set_makes_a_new_step(self, tmp_path: Path) -> None:
        run = tmp_path / "a"
        trained(config_of(run), 1, "last")
        after = run_provenance(configuration(["data=utkface", f"run={run}", "fit.resume=true"]))
        assert after.names() == ("utkface", "own")

    def test_from_a_checkpoint_of_an_earlier_version(self, tmp_path: Path) -> None:
        torch.save({"state_dict": {}}, tmp_path / "last.ckpt")
        after = run_provenance(config_of(tmp_path, "fit.resume=true"))
        assert [step.kind for step in after.steps] == ["unknown", "run"]
        assert "not known for" in origins.terms(after)

    def test_the_epoch_of_the_weights(self, tmp_path: Path) -> None:
        origin = run_provenance(config_of(tmp_path / "a", "fit.epochs=13"))
        rows = [origins.steps(each).rows[0][1] for each in (origin, origin.after(4))]
        assert ["up to 13 epochs" in rows[0], "4 of 13 epochs" in rows[1]] == [True, True]


def settings(*overrides: str) -> str:
    training = run_provenance(configuration(["data=own", *overrides])).last.training
    assert training is not None
    return training.settings


class TestSettings:
    """The checksum by which a run that goes on knows its settings."""

    def test_what_came_with_tasks_counts_where_it_changes_something(self) -> None:
        assert settings("fit.loss=dldl_v2") == settings()
        assert settings("task.tolerance=0.5", "task.name=years") == settings()
        known = {settings()}
        for other in (
            "fit.label_smoothing=0.1",
            "fit.class_weight=0.5",
            "fit.balance.target=0.5",
            "+fit.balance.auxiliary.gender=0.5",
            "fit.loss=l1",
            "task.mirror=false",
            "task.grey=true",
            "task.output.high=99",
            "task.input=image",
            "task=emotion",
        ):
            known.add(settings(other))
        assert len(known) == 11

    def test_a_run_of_version_1_keeps_its_own(self, tmp_path: Path) -> None:
        """Its file has other names of keys, and neither tasks nor what came with them."""
        config = configuration(["data=own", f"run={tmp_path}", "fit.balance.target=0.25"])
        earlier = OmegaConf.create(OmegaConf.to_container(config, resolve=True))
        del earlier.task, earlier.fit.label_smoothing, earlier.fit.class_weight
        earlier.fit.loss = "dldl_v2"
        earlier.fit.balance = {"age": 0.25, "source": 0.0}
        OmegaConf.save(earlier, tmp_path / "config.yaml")
        training = run_provenance(load_run_config(tmp_path / "config.yaml")).last.training
        assert training is not None
        assert training.settings == settings("fit.balance.target=0.25")


class TestStart:
    def test_from_scratch_on_own_faces(self, tmp_path: Path) -> None:
        origin = run_provenance(config_of(tmp_path / "a"))
        assert origins.terms(origin) == "Terms: those of own."
        assert origins.steps(origin).rows[0][2:] == ("scratch", "-", "own")
        (line,) = origins.materials(origin)
        assert line == ("own (trained on in step 1): terms: those of own, not stated in training")

    def test_stated_terms_are_kept(self, tmp_path: Path) -> None:
        stated = trained(config_of(tmp_path / "a", "data.terms.own=CC BY-NC 4.0"))
        after = run_provenance(
            configuration([f"fit.start={stated}", "data=own", "data.terms.own=CC BY 4.0"])
        )
        assert (
            "non-commercial research only, because they began from a, which was trained on own"
            in (origins.terms(after))
        )

    @pytest.mark.parametrize(
        ("backbone", "expected"),
        [
            ("resnet18", "Terms: those of own and timm's pre-trained weights."),
            (
                "convnextv2_tiny",
                "Terms: these weights are for non-commercial research only, because they began "
                "from convnextv2_tiny.fcmae_ft_in22k_in1k (cc-by-nc-4.0).",
            ),
        ],
    )
    def test_timm_s_weights_have_their_licence(
        self, backbone: str, expected: str, tmp_path: Path
    ) -> None:
        overrides = ("model.pretrained=true", f"model.backbone={backbone}")
        assert origins.terms(run_provenance(config_of(tmp_path / "a", *overrides))) == expected

    def test_a_teacher_and_its_fraction_of_the_target(self, tmp_path: Path) -> None:
        start = trained(config_of(tmp_path / "a"))
        overrides = (f"fit.start={start}", f"fit.teachers=[{start}]", "fit.mixup=0.25")
        row = origins.steps(
            run_provenance(config_of(tmp_path / "b", *overrides, "fit.feature_weight=1"))
        ).rows[1]
        assert row[2:] == (
            "1",
            "1 (50% of the target), and their features",
            "own",
        )
        assert ", mixup of 25% of faces, with the teachers' ages as targets;" in row[1]
