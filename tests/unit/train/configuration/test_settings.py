"""Values that several commands read from the configuration."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from tests.unit.train.conftest import configuration
from train.configuration.settings import prepared_folders


@pytest.mark.parametrize(("rank", "expected"), [(None, "log"), ("0", "log"), ("1", None)])
def test_the_first_process_alone_gets_a_value(
    rank: str | None, expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RANK", raising=False)
    if rank is not None:
        monkeypatch.setenv("RANK", rank)
    assert OmegaConf.create({"file": "${first_process:log}"}).file == expected


def test_prepared_folders_are_finished_and_usable(tmp_path: Path) -> None:
    config = configuration(["data=own", f"data.prepared={tmp_path}", "data.max_bad=0.1"])
    with pytest.raises(ValueError, match="own is not prepared: run python -m train"):
        prepared_folders(config)
    (tmp_path / "own").mkdir()
    summary = tmp_path / "own" / "summary.json"
    summary.write_text('{"crops": 8, "unusable": 2}')
    with pytest.raises(ValueError, match=r"own: 20\.0% of the images cannot be used"):
        prepared_folders(config)
    summary.write_text('{"crops": 9, "unusable": 1}')
    assert prepared_folders(config) == [tmp_path / "own"]
