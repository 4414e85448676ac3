import dataclasses
import logging
from pathlib import Path

import pytest
import torch

from handler.contract import EXTRA_FILE, Contract
from tests.unit.train.conftest import CONFIGS, configuration
from tests.unit.train.tasks import AGE, AGE_LABELS
from train.data.dataset import CropDataset
from train.data.readers import READERS, read, warn_of_repeats
from train.evaluation.predict import file_predictions

FOLDERS = ("asl_alphabet", "birds", "fer2013")  # data sets that are a folder per class
PARLIAMENTS = ["euro_parliament", "uk_parliament", "lok_sabha_2014"]


def test_every_reader_has_a_configuration_and_they_can_be_mixed() -> None:
    names = sorted(path.stem for path in (CONFIGS / "data").glob("*.yaml"))
    assert names == sorted([*READERS, *FOLDERS, "official_portraits", "own"])
    for name in names:
        config = configuration([f"data={name}"])
        assert list(config.data.sources) == (PARLIAMENTS if "portraits" in name else [name])
        assert config.data.max_bad == 0.01
    mixed = configuration(["data=[appa_real,own]", "+data.sources.more=more.csv"])
    assert list(mixed.data.sources) == ["appa_real", "own", "more"]


def test_read_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^imdb: .* has no image in the folder of a class: put"):
        read("imdb", tmp_path, AGE_LABELS)
    with pytest.raises(ValueError, match=r"^imdb: .*away is missing; set data\.sources\.imdb$"):
        read("imdb", tmp_path / "away", AGE_LABELS)
    with pytest.raises(ValueError, match=r"utkface: no labelled image in .*data\.sources\.utkface"):
        read("utkface", tmp_path, AGE_LABELS)
    (tmp_path / "readme.txt").touch()
    with pytest.raises(ValueError, match=r"\(readme\.txt: the name does not hold age_gender"):
        read("utkface", tmp_path, AGE_LABELS)
    (tmp_path / "ages.csv").write_text("path,age\na.jpg,50-59\nb.jpg,9-Mar\nc.jpg,20-29\n")
    with pytest.raises(
        ValueError, match=r"\(a\.jpg: age '50-59' is a range.*; b\.jpg: .*Excel.*; \.\.\.\)"
    ):
        read("mine", tmp_path / "ages.csv", AGE_LABELS)
    with pytest.raises(ValueError, match=r"mine: .*faces\.csv is missing; set data\.sources\.mine"):
        read("mine", tmp_path / "faces.csv", AGE_LABELS)


@pytest.mark.parametrize(
    ("sources", "warned"),
    [
        (["utkface", "appa_real", "own"], None),
        (["utkface", "utkface"], None),
        (["utkface", "appa_real", "facial_age"], "facial_age and utkface contain the same images"),
        (["utkface_wild", "utkface"], "utkface and utkface_wild contain the same images"),
    ],
)
def test_the_same_images_twice_are_warned_of(
    sources: list[str], warned: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        warn_of_repeats(sources)
    assert len(caplog.messages) == (warned is not None)
    assert all(message.startswith(str(warned)) for message in caplog.messages)


def test_a_model_measured_on_what_it_was_trained_on_is_warned_of(
    model_file: Path,
    contract: Contract,
    prepared: list[str],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    folder = Path(configuration(prepared).data.prepared) / "utkface"
    test = CropDataset([folder], "test", AGE, contract.task.input.size)
    file_predictions(model_file, test, batch_size=8)
    assert not caplog.messages
    text = dataclasses.replace(contract, data=("facial_age",)).to_json()
    again = tmp_path / "age.pt"
    torch.jit.save(torch.jit.load(model_file), str(again), _extra_files={EXTRA_FILE: text})
    file_predictions(again, test, batch_size=8)
    assert "facial_age and utkface contain the same images" in caplog.text
