"""Real training of a tiny network: what a run writes, and what it refuses."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import DictConfig

from tests.unit.train.conftest import configuration
from train.fit import fit

Make = Callable[..., DictConfig]


def test_a_run_is_not_overwritten_and_none_is_resumed_from_nothing(
    tiny: Make, tmp_path: Path
) -> None:
    with pytest.raises(FileNotFoundError, match="there is nothing to resume"):
        fit(tiny("fit.resume=true"))
    (tmp_path / "run").mkdir(exist_ok=True)
    (tmp_path / "run" / "last.ckpt").write_bytes(b"precious")
    with pytest.raises(FileExistsError, match=r"set fit\.resume=true, or run=ANOTHER_FOLDER"):
        fit(tiny())
    assert (tmp_path / "run" / "last.ckpt").read_bytes() == b"precious"
    (tmp_path / "run" / "last.ckpt").rename(tmp_path / "run" / "best.ckpt")
    with pytest.raises(FileExistsError, match=r"holds best\.ckpt and no last\.ckpt to resume from"):
        fit(tiny())
    assert (tmp_path / "run" / "best.ckpt").read_bytes() == b"precious"


def test_without_crops_it_says_what_to_run(tiny: Make, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"utkface is not prepared: run python -m train\.prepare"):
        fit(tiny(f"data.prepared={tmp_path}"))


def test_too_many_bad_images_refuse_a_run_unless_allowed(
    tiny: Make, prepared: list[str], tmp_path: Path
) -> None:
    folder = tmp_path / "prepared"
    shutil.copytree(configuration(prepared).data.prepared, folder)
    summary = folder / "appa_real" / "summary.json"
    summary.write_text(json.dumps(json.loads(summary.read_text()) | {"unusable": 1}))
    here = f"data.prepared={folder}"
    with pytest.raises(
        ValueError, match=r"appa_real: 5\.9% .*, more than 1\.0%: look at .*max_bad"
    ):
        fit(tiny(here))
    assert fit(tiny(here, "data.max_bad=0.06", "fit.epochs=1")) > 0


def test_the_same_images_in_two_data_sets_give_a_warning(
    tiny: Make, prepared: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "prepared"
    shutil.copytree(configuration(prepared).data.prepared, folder)
    shutil.copytree(folder / "utkface", folder / "facial_age")
    config = tiny(f"data.prepared={folder}", "+data.sources.facial_age=chips", "fit.epochs=1")
    fit(config)
    assert "facial_age and utkface contain the same images" in caplog.text
