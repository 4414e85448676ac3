"""What weights say of their origin, however they were moved, resumed, averaged or made smaller."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import DictConfig, OmegaConf
from safetensors.torch import save_file

from handler.contract import Contract, read_contract
from tests.torchserve import ROOT
from tests.unit.train.conftest import configuration
from train import torchscript
from train.evaluation import origins
from train.fit import fit
from train.modeling.network import AgeNetwork, Architecture
from train.modeling.weights import Weights, save_weights
from train.provenance import provenance
from train.provenance.of_run import chosen, of_run
from train.provenance.provenance import KEY, Provenance, ProvenanceError, Step, carried
from train.provenance.terms import OWN, DataSet, data_set

Make = Callable[..., DictConfig]
SHIPPED = ROOT / "model_store" / "age.safetensors"


def config_of(run: Path, *more: str) -> DictConfig:
    """Of a run on one's own faces, with the network that is shipped."""
    return configuration(["data=own", f"run={run}", "fit.epochs=3", *more])


def trained(config: DictConfig, done: int = 3, name: str = "best") -> Path:
    """A checkpoint as far as it tells of its origin: what `fit` would have kept."""
    path = Path(config.run, f"{name}.ckpt")
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({KEY: of_run(config).after(done).to_json()}, path)
    OmegaConf.save(config, path.with_name("config.yaml"), resolve=True)
    return path


def exported(path: Path, origin: Provenance | None, contract: Contract) -> Path:
    """An age.safetensors of a tiny network."""
    told = replace(contract, provenance=origin and origin.to_json())
    architecture = Architecture("test_resnet", 64)
    torch.manual_seed(0)
    save_weights(Weights(AgeNetwork(architecture).eval(), architecture, told), path)
    return path


def names_all_of_the_shipped_weights(origin: Provenance) -> None:
    said = "\n".join([origins.terms(origin), *origins.materials(origin)])
    assert "non-commercial research only, because they " in said.splitlines()[0]
    for owed in ("UTKFace", "APPA-REAL", "ImageNet", "VGGFace2", "IMDB-WIKI", "Apache 2.0", "BSD"):
        assert owed in said, owed
    assert {"utkface", "appa_real"} <= set(origin.names())


class TestFineTuned:
    """From the shipped weights, on one's own faces, of which nothing is stated."""

    @pytest.fixture
    def best(self, tmp_path: Path) -> Path:
        return trained(config_of(tmp_path / "a", f"fit.start={SHIPPED}"))

    def test_the_reason_is_told_first(self, best: Path) -> None:
        assert origins.terms(carried(best)) == (
            "Terms: these weights are for non-commercial research only, because they began from "
            "the shipped model of face-age 1.0, which was trained on UTKFace and APPA-REAL."
        )
        assert carried(best).names()[0] == "own"
        names_all_of_the_shipped_weights(carried(best))

    def test_moved(self, best: Path, tmp_path: Path) -> None:
        moved = best.parent.rename(tmp_path / "elsewhere") / "best.ckpt"
        assert carried(moved).last.name == "a"
        names_all_of_the_shipped_weights(carried(moved))

    def test_resumed_without_what_it_began_from(self, best: Path, tmp_path: Path) -> None:
        last = trained(config_of(best.parent, f"fit.start={SHIPPED}"), 1, "last")
        moved = last.parent.rename(tmp_path / "elsewhere")
        gone = f"fit.start={tmp_path / 'gone.safetensors'}"
        resumed = of_run(config_of(moved, gone, "fit.resume=true"))
        assert resumed.after(3) == carried(moved / "best.ckpt")

    def test_a_chain_of_runs_whose_folders_are_gone(self, best: Path, tmp_path: Path) -> None:
        for name in ("b", "c", "d"):
            after = trained(config_of(tmp_path / name, f"fit.start={best}"))
            shutil.rmtree(best.parent)
            best = after
        assert [s.name for s in carried(best).steps[-4:]] == ["a", "b", "c", "d"]
        names_all_of_the_shipped_weights(carried(best))

    def test_of_a_teacher(self, best: Path, tmp_path: Path) -> None:
        taught = trained(config_of(tmp_path / "b", f"fit.teachers=[{best}]"))
        assert origins.terms(carried(taught)).endswith(
            "because they learned from the shipped model of face-age 1.0, which was trained on "
            "UTKFace and APPA-REAL."
        )
        names_all_of_the_shipped_weights(carried(taught))
        pupil = trained(config_of(tmp_path / "c", f"fit.teachers=[{SHIPPED}]"))
        names_all_of_the_shipped_weights(carried(pupil))

    def test_of_the_mean_of_several(self, best: Path, tmp_path: Path) -> None:
        free = trained(config_of(tmp_path / "free"))
        both = chosen(config_of(tmp_path / "free", f"export.checkpoints=[{free},{best}]"))
        assert both.last.words == "the mean of these weights"
        assert {s.name for s in both.steps if s.key in both.last.start} == {"free", "a"}
        names_all_of_the_shipped_weights(both)

    def test_exported_and_started_from_again(
        self, best: Path, contract: Contract, tmp_path: Path
    ) -> None:
        weights = exported(tmp_path / "mine.safetensors", carried(best), contract)
        assert carried(weights) == carried(best)
        torchscript.build(weights, tmp_path / "mine.pt")
        told = provenance.of_contract(read_contract(tmp_path / "mine.pt"), "mine.pt")
        assert told == carried(best)
        again = trained(config_of(tmp_path / "b", f"fit.start={weights}"))
        names_all_of_the_shipped_weights(carried(again))


@pytest.mark.filterwarnings("ignore:.*does not have many workers")
def test_fit_keeps_it_and_how_far_it_came(tiny: Make, tmp_path: Path) -> None:
    fit(tiny("fit.epochs=2"))
    best, last = (carried(tmp_path / "run" / f"{name}.ckpt") for name in ("best", "last"))
    (step,) = last.steps
    assert step.training is not None
    assert (step.name, step.training.done, step.training.batch) == ("run", 2, 4)
    assert best.after(2) == last
    assert last.names() == ("utkface", "appa_real")
    fit(tiny("fit.epochs=2", "fit.resume=true"))
    assert carried(tmp_path / "run" / "last.ckpt") == last


def test_a_moved_run_that_goes_on_for_longer_says_both(tiny: Make, tmp_path: Path) -> None:
    fit(tiny("fit.epochs=1"))
    moved = (tmp_path / "run").rename(tmp_path / "moved")
    fit(tiny(f"run={moved}", "fit.epochs=3", "fit.resume=true"))
    rows = [row[1:3] for row in origins.steps(carried(moved / "last.ckpt")).rows]
    assert rows[0][0].startswith("run: test_resnet, 1 epoch, batch 4, ")
    assert rows[1][0].startswith("moved: test_resnet, epochs 2 to 3 of 3, batch 4, ")
    assert (rows[0][1], rows[1][1]) == ("scratch", "1")


class TestResumed:
    def test_other_settings_are_a_step_of_their_own(self, tmp_path: Path) -> None:
        run = tmp_path / "a"
        trained(config_of(run, f"fit.start={SHIPPED}", "fit.learning_rate=5e-4"), 3, "last")
        longer = of_run(config_of(run, "fit.resume=true", "fit.epochs=13")).after(13)
        rows = [row[1] for row in origins.steps(longer).rows[-2:]]
        assert rows[0].startswith("a: resnet18, 3 epochs, batch 64, AdamW, one cycle up to 0.0005")
        assert rows[1].startswith("a: resnet18, epochs 4 to 13 of 13, batch 64, AdamW, one cycle ")
        names_all_of_the_shipped_weights(longer)

    def test_another_data_set_is_one_too(self, tmp_path: Path) -> None:
        run = tmp_path / "a"
        trained(config_of(run), 1, "last")
        after = of_run(configuration(["data=utkface", f"run={run}", "fit.resume=true"]))
        assert after.names() == ("utkface", "own")

    def test_from_a_checkpoint_of_an_earlier_version(self, tmp_path: Path) -> None:
        torch.save({"state_dict": {}}, tmp_path / "last.ckpt")
        after = of_run(config_of(tmp_path, "fit.resume=true"))
        assert [step.kind for step in after.steps] == ["unknown", "run"]
        assert "not known for" in origins.terms(after)

    def test_how_far_it_came(self, tmp_path: Path) -> None:
        origin = of_run(config_of(tmp_path / "a", "fit.epochs=13"))
        told = [origins.steps(each).rows[0][1] for each in (origin, origin.after(4))]
        assert ["up to 13 epochs" in told[0], "4 of 13 epochs" in told[1]] == [True, True]


class TestUnknown:
    @pytest.mark.parametrize("suffix", ["ckpt", "safetensors", "pth"])
    def test_a_bare_file(self, suffix: str, tmp_path: Path) -> None:
        path = tmp_path / f"bare.{suffix}"
        state = {"a": torch.zeros(2)}
        if suffix == "safetensors":
            save_file(state, path)
        else:
            torch.save(state, path)
        key = "model.weights" if suffix == "pth" else "fit.start"
        origin = of_run(config_of(tmp_path / "a", f"{key}={path}"))
        name = f"{tmp_path.name}/bare.{suffix}"
        assert origins.terms(origin) == f"Terms: not known for {name}; ask its authors."
        assert "Any use, before the unknown terms" in origins.forbidden(origin)

    def test_is_told_beside_what_is_known(self, tmp_path: Path) -> None:
        torch.save({}, tmp_path / "old.ckpt")
        told = ["data=[own,utkface]", f"run={tmp_path / 'a'}", f"fit.start={tmp_path / 'old.ckpt'}"]
        assert origins.terms(of_run(configuration(told))) == (
            "Terms: these weights are for non-commercial research only, because they were trained "
            f"on UTKFace. Beyond that, terms: not known for {tmp_path.name}/old.ckpt; ask its "
            "authors."
        )

    def test_the_data_of_an_old_run_and_of_an_old_export_are_known(
        self, contract: Contract, tmp_path: Path
    ) -> None:
        torch.save({}, tmp_path / "best.ckpt")
        old = chosen(configuration(["data=utkface", f"run={tmp_path}"]))
        told = replace(contract, data=("appa_real",))
        export = carried(exported(tmp_path / "age.safetensors", None, told))
        for origin, title in ((old, "UTKFace"), (export, "APPA-REAL")):
            assert f"trained on {title}. Beyond that, terms: not known" in origins.terms(origin)

    def test_what_cannot_be_read_is_refused_with_the_file_s_name(self, tmp_path: Path) -> None:
        path = tmp_path / "newer.ckpt"
        torch.save({KEY: {"steps": [], "more": 1}}, path)
        with pytest.raises(
            ProvenanceError, match=r"newer\.ckpt: the provenance .* another version"
        ):
            carried(path)

    def test_what_somebody_else_wrote_beside_weights_is_refused_too(self, tmp_path: Path) -> None:
        path = tmp_path / "theirs.safetensors"
        save_file({"a": torch.zeros(2)}, path, {KEY: "a friend"})
        with pytest.raises(ProvenanceError, match=r"theirs\.safetensors: the .* is not JSON"):
            carried(path)


class TestStart:
    def test_from_scratch_on_own_faces(self, tmp_path: Path) -> None:
        origin = of_run(config_of(tmp_path / "a"))
        assert origins.terms(origin) == "Terms: those of own."
        assert origins.steps(origin).rows[0][2:] == ("scratch", "-", "own")
        (line,) = origins.materials(origin)
        assert line == ("own (trained on in step 1): terms: those of own, not stated in training")

    def test_stated_terms_travel(self, tmp_path: Path) -> None:
        stated = trained(config_of(tmp_path / "a", "data.terms.own=CC BY-NC 4.0"))
        after = of_run(
            configuration([f"fit.start={stated}", "data=own", "data.terms.own=CC BY 4.0"])
        )
        assert (
            "non-commercial research only, because they began from a, which was trained on own"
            in (origins.terms(after))
        )

    @pytest.mark.parametrize(
        ("backbone", "said"),
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
        self, backbone: str, said: str, tmp_path: Path
    ) -> None:
        told = ("model.pretrained=true", f"model.backbone={backbone}")
        assert origins.terms(of_run(config_of(tmp_path / "a", *told))) == said

    def test_a_teacher_and_its_part_of_the_target(self, tmp_path: Path) -> None:
        start = trained(config_of(tmp_path / "a"))
        told = (f"fit.start={start}", f"fit.teachers=[{start}]", "fit.mixup=0.25")
        row = origins.steps(of_run(config_of(tmp_path / "b", *told, "fit.feature_weight=1"))).rows[
            1
        ]
        assert row[2:] == (
            "1",
            "1 (50% of the target), and their features",
            "own",
        )
        assert ", mixup of 25% of faces, with the teachers' ages as targets;" in row[1]


class TestValue:
    def test_a_long_chain_of_students_that_teach_does_not_grow_without_bound(self) -> None:
        """Each starts from the one before and learns from it, and from the first."""
        origin = first = Provenance((Step("run", "0", data=(DataSet("own", "own", OWN),)),))
        for number in range(1, 30):
            step = Step("run", str(number))
            origin = provenance.joined(step, [origin], [origin, first])
        assert len(origin.steps) == 30
        assert Provenance.from_json(json.loads(json.dumps(origin.to_json()))) == origin

    def test_a_key_is_kept_whatever_is_told_of_a_step_later(self) -> None:
        first = Provenance((Step("run", "a"),))
        values = provenance.joined(Step("run", "b"), [first]).to_json()
        for step in values["steps"]:
            step["words"] = "as another version has them"
        read = Provenance.from_json(values)
        assert read.last.start == (first.last.key,) == (read.steps[0].key,)

    @pytest.mark.parametrize(
        "spoil",
        [
            lambda values: values["steps"][0].update(more=1),
            lambda values: values["steps"][0].pop("name"),
            lambda values: values["steps"][0].update(kind="guess"),
            lambda values: values["steps"][0].update(start=["not there"]),
            lambda values: values["steps"][0].update(data=[{"name": "a"}]),
            lambda values: values["steps"][0].update(training={"epochs": 1}),
            lambda values: values.update(steps=[]),
            lambda values: values.update(steps=None),
            lambda values: values.update(other=1),
        ],
    )
    def test_what_is_not_known_is_refused(self, spoil: Callable[[Any], None]) -> None:
        values = Provenance((Step("run", "a"),)).to_json()
        assert Provenance.from_json(values).last.name == "a"
        spoil(values)
        with pytest.raises(ProvenanceError, match="the provenance of the weights cannot be read"):
            Provenance.from_json(values)

    def test_a_derived_step_is_the_training_of_what_it_changed(self) -> None:
        known = Provenance((Step("run", "a", data=(data_set("utkface"),)),))
        prior = provenance.joined(Step("derived", "a", "fitted"), [known])
        assert "because they were trained on UTKFace." in origins.terms(prior)


def test_the_shipped_weights_say_how_they_came_to_be() -> None:
    origin = carried(SHIPPED)
    names_all_of_the_shipped_weights(origin)
    assert origin.names() == ("utkface", "appa_real")
    runs = [step.name for step in origin.steps if step.kind == "run"]
    told = (ROOT / "docs" / "recipe.md").read_text()
    assert all(f"`{name}`" in told for name in runs)
    assert {"age-teacher", "age-coarse", "age-faces", "age-hinted"} <= set(runs)
    assert "unknown" not in {step.kind for step in origin.steps}
