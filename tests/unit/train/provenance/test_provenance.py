"""Provenance stays with weights that are moved, averaged, exported or pruned."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from handler.contract import Contract
from handler.exported_model import read_contract
from tests.torchserve import ROOT
from tests.unit.train.conftest import configuration
from tests.unit.train.provenance.files import (
    SHIPPED,
    assert_names_the_shipped_weights,
    config_of,
    exported,
    trained,
)
from train import torchscript
from train.evaluation import origins
from train.provenance import provenance
from train.provenance.provenance import KEY, Provenance, ProvenanceError, Step, read_provenance
from train.provenance.runs import exported_provenance, run_provenance
from train.provenance.terms import OWN, DataSet, data_set


class TestFineTuned:
    """Started from the shipped weights, on data of one's own without stated terms."""

    @pytest.fixture
    def best(self, tmp_path: Path) -> Path:
        return trained(config_of(tmp_path / "a", f"fit.start={SHIPPED}"))

    def test_the_reason_comes_first(self, best: Path) -> None:
        assert origins.terms(read_provenance(best)) == (
            "Terms: these weights are for non-commercial research only, because they began from "
            "age-refined, which was trained on UTKFace and APPA-REAL."
        )
        assert read_provenance(best).names()[0] == "own"
        assert_names_the_shipped_weights(read_provenance(best))

    def test_moved(self, best: Path, tmp_path: Path) -> None:
        moved = best.parent.rename(tmp_path / "elsewhere") / "best.ckpt"
        assert read_provenance(moved).last.name == "a"
        assert_names_the_shipped_weights(read_provenance(moved))

    def test_resumed_without_what_it_began_from(self, best: Path, tmp_path: Path) -> None:
        last = trained(config_of(best.parent, f"fit.start={SHIPPED}"), 1, "last")
        moved = last.parent.rename(tmp_path / "elsewhere")
        gone = f"fit.start={tmp_path / 'gone.safetensors'}"
        resumed = run_provenance(config_of(moved, gone, "fit.resume=true"))
        assert resumed.after(3) == read_provenance(moved / "best.ckpt")

    def test_a_chain_of_runs_whose_folders_are_gone(self, best: Path, tmp_path: Path) -> None:
        for name in ("b", "c", "d"):
            after = trained(config_of(tmp_path / name, f"fit.start={best}"))
            shutil.rmtree(best.parent)
            best = after
        assert [s.name for s in read_provenance(best).steps[-4:]] == ["a", "b", "c", "d"]
        assert_names_the_shipped_weights(read_provenance(best))

    def test_of_a_teacher(self, best: Path, tmp_path: Path) -> None:
        taught = trained(config_of(tmp_path / "b", f"fit.teachers=[{best}]"))
        assert origins.terms(read_provenance(taught)).endswith(
            "because they learned from age-refined, which was trained on UTKFace and APPA-REAL."
        )
        assert_names_the_shipped_weights(read_provenance(taught))
        pupil = trained(config_of(tmp_path / "c", f"fit.teachers=[{SHIPPED}]"))
        assert_names_the_shipped_weights(read_provenance(pupil))

    def test_of_the_mean_of_several(self, best: Path, tmp_path: Path) -> None:
        free = trained(config_of(tmp_path / "free"))
        both = exported_provenance(
            config_of(tmp_path / "free", f"export.checkpoints=[{free},{best}]")
        )
        assert both.last.words == "the mean of these weights"
        assert {s.name for s in both.steps if s.key in both.last.start} == {"free", "a"}
        assert_names_the_shipped_weights(both)

    def test_exported_and_started_from_again(
        self, best: Path, contract: Contract, tmp_path: Path
    ) -> None:
        weights = exported(tmp_path / "mine.safetensors", read_provenance(best), contract)
        assert read_provenance(weights) == read_provenance(best)
        torchscript.build(weights, tmp_path / "mine.pt")
        found = provenance.contract_provenance(read_contract(tmp_path / "mine.pt"), "mine.pt")
        assert found == read_provenance(best)
        again = trained(config_of(tmp_path / "b", f"fit.start={weights}"))
        assert_names_the_shipped_weights(read_provenance(again))


@pytest.mark.filterwarnings("ignore:.*does not have many workers")
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
        origin = run_provenance(config_of(tmp_path / "a", f"{key}={path}"))
        name = f"{tmp_path.name}/bare.{suffix}"
        assert origins.terms(origin) == f"Terms: not known for {name}; ask its authors."
        assert "Any use, before the unknown terms" in origins.forbidden(origin)

    def test_it_is_named_beside_known_terms(self, tmp_path: Path) -> None:
        torch.save({}, tmp_path / "old.ckpt")
        overrides = [
            "data=[own,utkface]",
            f"run={tmp_path / 'a'}",
            f"fit.start={tmp_path / 'old.ckpt'}",
        ]
        assert origins.terms(run_provenance(configuration(overrides))) == (
            "Terms: these weights are for non-commercial research only, because they were trained "
            f"on UTKFace. Beyond that, terms: not known for {tmp_path.name}/old.ckpt; ask its "
            "authors."
        )

    def test_the_data_of_an_old_run_and_of_an_old_export_are_known(
        self, contract: Contract, tmp_path: Path
    ) -> None:
        torch.save({}, tmp_path / "best.ckpt")
        old = exported_provenance(configuration(["data=utkface", f"run={tmp_path}"]))
        contract = replace(contract, data=("appa_real",))
        export = read_provenance(exported(tmp_path / "age.safetensors", None, contract))
        for origin, title in ((old, "UTKFace"), (export, "APPA-REAL")):
            assert f"trained on {title}. Beyond that, terms: not known" in origins.terms(origin)

    def test_an_invalid_one_is_refused_with_the_file_s_name(self, tmp_path: Path) -> None:
        path = tmp_path / "newer.ckpt"
        torch.save({KEY: {"steps": [], "more": 1}}, path)
        with pytest.raises(
            ProvenanceError, match=r"newer\.ckpt: the provenance .* another version"
        ):
            read_provenance(path)

    def test_foreign_metadata_is_refused_too(self, tmp_path: Path) -> None:
        path = tmp_path / "theirs.safetensors"
        save_file({"a": torch.zeros(2)}, path, {KEY: "a friend"})
        with pytest.raises(ProvenanceError, match=r"theirs\.safetensors: the .* is not JSON"):
            read_provenance(path)


class TestValue:
    def test_a_long_chain_of_students_stays_small(self) -> None:
        """Each starts from the one before and learns from it, and from the first."""
        origin = first = Provenance((Step("run", "0", data=(DataSet("own", "own", OWN),)),))
        for number in range(1, 30):
            step = Step("run", str(number))
            origin = provenance.join(step, [origin], [origin, first])
        assert len(origin.steps) == 30
        assert Provenance.from_json(json.loads(json.dumps(origin.to_json()))) == origin

    def test_a_key_is_stable_if_later_versions_add_to_a_step(self) -> None:
        first = Provenance((Step("run", "a"),))
        values = provenance.join(Step("run", "b"), [first]).to_json()
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
    def test_an_invalid_one_is_refused(self, spoil: Callable[[Any], None]) -> None:
        values = Provenance((Step("run", "a"),)).to_json()
        assert Provenance.from_json(values).last.name == "a"
        spoil(values)
        with pytest.raises(ProvenanceError, match="the provenance of the weights is invalid"):
            Provenance.from_json(values)

    def test_a_derived_step_has_the_terms_of_its_source(self) -> None:
        known = Provenance((Step("run", "a", data=(data_set("utkface"),)),))
        mean = provenance.join(Step("derived", "a", "the mean of these weights"), [known])
        assert "because they were trained on UTKFace." in origins.terms(mean)


def test_the_shipped_weights_have_their_provenance() -> None:
    origin = read_provenance(SHIPPED)
    assert_names_the_shipped_weights(origin)
    parliaments = ("euro_parliament", "uk_parliament", "lok_sabha_2014")
    assert origin.names() == ("utkface", "appa_real", *parliaments)
    runs = [step.name for step in origin.steps if step.kind == "run"]
    recipe = (ROOT / "docs" / "recipe.md").read_text()
    assert all(f"`{name}`" in recipe for name in runs)
    assert runs == ["age-teacher", "age", "age-refined"]
    assert "unknown" not in {step.kind for step in origin.steps}
