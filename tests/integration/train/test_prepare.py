import csv
import dataclasses
import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from handler.faces.detector import FaceDetector
from handler.task import CropGeometry, DetectorSettings, FaceInput
from tests.images import scene, side_by_side, turned
from tests.unit.train.conftest import CHIPS, WILD, configuration, face_of_age, save
from tests.unit.train.tasks import AGE_LABELS
from train import prepare as command
from train.data import crop_maker
from train.data.cache import read_shards, refuse_unfinished, served_part
from train.data.crop_maker import CropMaker
from train.data.readers import read
from train.data.samples import Problem, Sample
from train.prepare import prepare

GEOMETRY = CropGeometry(size=64, margin=-0.02, fill=0)
MAKER = CropMaker(FaceInput(DetectorSettings(), GEOMETRY), min_face_size=20, max_side=1280)


@pytest.fixture(scope="module")
def detector() -> FaceDetector:
    detector = MAKER.build_detector()
    assert detector is not None
    return detector


def folder_of(prepared: list[str], name: str) -> Path:
    return Path(configuration(prepared).data.prepared) / name


def test_every_image_of_the_made_data_sets_gives_a_crop(prepared: list[str]) -> None:
    for name, count in (("utkface", CHIPS), ("appa_real", WILD)):
        summary = json.loads((folder_of(prepared, name) / "summary.json").read_text())
        assert summary["crops"] == count
        assert summary["unusable"] == summary["not_found"] == 0
        (shard,) = read_shards(folder_of(prepared, name))
        assert shard.crops.shape == (count, 3, 80, 80)
        assert all(label.found for label in shard.labels)


def test_tight_and_loose_images_of_a_face_give_the_same_framing(
    tmp_path: Path, detector: FaceDetector
) -> None:
    crops = []
    for margin, tight in ((5, True), (60, False)):
        path = tmp_path / f"{margin}.jpg"
        save(face_of_age(1, margin), path)
        crop, _ = MAKER.make(Sample(path, path.name, "1", "train", "made", tight), detector)
        inner = served_part(crop, 64)[:, 12:52, 12:52]  # the chip has no more around the face
        crops.append(inner.reshape(3, 10, 4, 10, 4).mean(axis=(2, 4)))  # a box may be 2 % off
    assert np.corrcoef(crops[0].ravel(), crops[1].ravel())[0, 1] > 0.9


def test_a_tight_image_without_a_face_is_taken_whole(
    tmp_path: Path, detector: FaceDetector
) -> None:
    path = tmp_path / "a.png"
    _write(scene(64, 64), path)
    sample = Sample(path, "x/a.png", "30", "val", "made", True, {"gender": "female"})
    crop, label = MAKER.make(sample, detector)
    assert not label.found
    assert (label.file, label.auxiliary, label.padding) == ("x/a.png", {"gender": "female"}, 0)
    difference = served_part(crop, 64).astype(int) - scene(64, 64).transpose(2, 0, 1)
    assert np.abs(difference).max() <= 2


def test_rejected_images_are_listed_and_the_others_kept(tmp_path: Path) -> None:
    samples = _samples(tmp_path)
    folder = tmp_path / "made"
    summary = prepare(samples, [Problem("x.jpg", "no label")], MAKER, folder, 1, max_bad=0.9)
    assert summary["crops"] == 1
    assert summary["unusable"] == 3
    assert summary["splits"] == {"train": 1, "val": 0, "test": 0}
    with (folder / "rejected.csv").open() as stream:
        reasons = {row["file"]: row["reason"] for row in csv.DictReader(stream)}
    assert reasons["empty.png"] == "no face was found"
    assert reasons["x.jpg"] == "no label"
    assert reasons["broken.jpg"].startswith("the body is text")
    assert reasons.keys() == {"empty.png", "x.jpg", "broken.jpg"}
    assert (folder / "whole.csv").read_text() == "file\n"


def test_a_chip_that_is_taken_whole_is_not_rejected(tmp_path: Path) -> None:
    _write(scene(64, 64), tmp_path / "a.png")
    sample = Sample(tmp_path / "a.png", "a.png", "30", "val", "made", tight=True)
    summary = prepare([sample], [], MAKER, tmp_path / "made", 1, max_bad=0)
    assert (summary["crops"], summary["unusable"], summary["whole"]) == (1, 0, 1)
    assert (tmp_path / "made" / "rejected.csv").read_text() == "file,reason\n"
    assert (tmp_path / "made" / "whole.csv").read_text() == "file\na.png\n"


def test_images_that_are_not_there_are_counted_before_any_is_cropped(tmp_path: Path) -> None:
    samples = _samples(tmp_path)
    for sample, make in zip(samples, (_link, os.mkfifo, Path.mkdir), strict=True):
        sample.path.unlink()
        make(sample.path)
    gone = Sample(tmp_path / "gone.jpg", "gone.jpg", "20", "train", "made")
    with pytest.raises(ValueError, match=r"made: 100\.0% of the images cannot be used"):
        prepare([*samples, gone], [], MAKER, tmp_path / "made", 1, max_bad=0.5)
    assert not list((tmp_path / "made").glob("crops-*"))
    assert _rejected(tmp_path / "made") == {
        "face.jpg": "it is a link to nowhere.jpg, which is missing",
        "empty.png": "it is a pipe, a socket or a device and no file",
        "broken.jpg": "it is a folder and no file",
        "gone.jpg": f"No such file or directory: {tmp_path / 'gone.jpg'}",
    }
    summary = prepare([*samples, gone], [], MAKER, tmp_path / "made", 1, max_bad=1)
    assert (summary["crops"], summary["unusable"]) == (0, 4)
    assert _rejected(tmp_path / "made")["empty.png"].startswith("it is a pipe")


def test_crops_outlive_images_that_are_away_for_a_while(tmp_path: Path) -> None:
    (sample, *_) = _samples(tmp_path)
    prepare([sample], [], MAKER, tmp_path / "made", 1, max_bad=0)
    sample.path.rename(tmp_path / "away.jpg")
    with pytest.raises(ValueError, match=r"made: 100\.0% of the images cannot be used"):
        prepare([sample], [], MAKER, tmp_path / "made", 1, max_bad=0)
    with pytest.raises(ValueError, match=r"made is not prepared"):
        refuse_unfinished(tmp_path / "made", max_bad=1)
    assert (tmp_path / "made" / "crops-00000.npy").is_file()


def test_names_that_are_not_utf_8_are_used_and_listed(tmp_path: Path) -> None:
    chips = tmp_path / "chips"
    chips.mkdir()
    _write(face_of_age(20, margin=5), tmp_path / "chip.png")
    image = (tmp_path / "chip.png").read_bytes()
    for name in (b"20_0_0_20170116174525125\xe9.jpg.chip.jpg", b"r\xe9sum\xe9.txt"):
        Path(os.fsdecode(bytes(chips) + b"/" + name)).write_bytes(image)
    folder = tmp_path / "made"
    summary = prepare(*read("utkface", chips, AGE_LABELS), MAKER, folder, 1, max_bad=0.5)
    assert (summary["crops"], summary["unusable"]) == (1, 1)
    (shard,) = read_shards(folder)
    assert shard.labels[0].file == "20_0_0_20170116174525125\\xe9.jpg.chip.jpg"
    assert _rejected(folder) == {
        "r\\xe9sum\\xe9.txt": "the name does not hold age_gender_race_time"
    }


def test_every_source_is_checked_before_the_first_is_cropped(
    utkface: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "own.csv").write_text("path,age,split\na.jpg,30,train\n")
    monkeypatch.setattr(
        sys,
        "argv",
        ["prepare", "data=[utkface,appa_real,own]", f"data.sources.utkface={utkface}",
         f"data.sources.appa_real={tmp_path / 'none'}", f"data.sources.own={tmp_path / 'own.csv'}",
         f"data.prepared={tmp_path / 'prepared'}", f"run={tmp_path / 'run'}"],
    )  # fmt: skip
    with pytest.raises(SystemExit) as stopped:
        command.main()
    assert stopped.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: appa_real: ")
    assert "gt_avg_train.csv is missing; set data.sources.appa_real; and own: 100.0% of" in line
    assert not list((tmp_path / "prepared").rglob("crops-*"))


def test_too_many_bad_images_end_it_with_advice(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"66\.7% of the images cannot be used.*rejected\.csv"):
        prepare(_samples(tmp_path), [], MAKER, tmp_path / "made", 1, max_bad=0.5)
    with pytest.raises(ValueError, match=r"made: 66\.7% of the images cannot be used"):
        refuse_unfinished(tmp_path / "made", max_bad=0.5)
    refuse_unfinished(tmp_path / "made", max_bad=0.7)


def test_too_many_bad_labels_end_it_before_any_image_is_cropped(tmp_path: Path) -> None:
    problems = [Problem(f"{i}.jpg", "age is missing") for i in range(7)]
    with pytest.raises(ValueError, match=r"70\.0% of the images cannot be used.*rejected\.csv"):
        prepare(_samples(tmp_path), problems, MAKER, tmp_path / "made", 1, max_bad=0.5)
    listed = (tmp_path / "made" / "rejected.csv").read_text().splitlines()
    assert listed == ["file,reason", *(f"{i}.jpg,age is missing" for i in range(7))]
    assert not list((tmp_path / "made").glob("crops-*"))
    with pytest.raises(ValueError, match=r"made is not prepared: run python -m train\.prepare"):
        refuse_unfinished(tmp_path / "made", max_bad=1)


def test_the_face_in_the_box_is_taken(tmp_path: Path, detector: FaceDetector) -> None:
    party = tmp_path / "party.png"
    _write(side_by_side(face_of_age(1, margin=60), face_of_age(80, margin=60)), party)
    width = face_of_age(1, margin=60).shape[1]
    brightness = []
    for left in (0, width):
        box = (left + 55.0, 60.0, left + 150.0, 180.0)
        sample = Sample(party, f"party.png#{left}", "30", "train", "made", box=box)
        crop, label = MAKER.make(sample, detector)
        assert (label.file, label.found) == (f"party.png#{left}", True)
        brightness.append(served_part(crop, 64).mean())
    assert brightness[1] == pytest.approx(0.4 * brightness[0], rel=0.1)


@pytest.mark.parametrize("tight", [False, True])
def test_a_box_without_a_face_is_refused(
    tmp_path: Path, detector: FaceDetector, tight: bool
) -> None:
    path = tmp_path / "face.jpg"
    save(face_of_age(1, margin=60), path)
    sample = Sample(path, "face.jpg", "30", "train", "made", tight, box=(0, 0, 30, 30))
    with pytest.raises(ValueError, match="no face was found at its box"):
        MAKER.make(sample, detector)


def test_another_box_makes_the_crops_again(tmp_path: Path) -> None:
    (sample, *_) = _samples(tmp_path)
    boxed = [dataclasses.replace(sample, box=(0, 0, side, 9)) for side in (5, 6)]
    assert len({MAKER.fingerprint([each]) for each in (sample, *boxed)}) == 3


def test_another_crop_version_makes_the_crops_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (sample, *_) = _samples(tmp_path)
    before = MAKER.fingerprint([sample])
    assert MAKER.fingerprint([sample]) == before
    monkeypatch.setattr(crop_maker, "CROP_VERSION", 0)
    assert MAKER.fingerprint([sample]) != before


@pytest.mark.parametrize("orientation", [1, 6, 8])
def test_images_are_decoded_as_they_are_served(
    tmp_path: Path, detector: FaceDetector, orientation: int
) -> None:
    path = tmp_path / "face.jpg"
    path.write_bytes(turned(face_of_age(1, margin=60), orientation, "JPEG", quality=95))
    crop, label = MAKER.make(Sample(path, "face.jpg", "1", "train", "made"), detector)
    upright, _ = MAKER.make(_samples(tmp_path)[0], detector)
    assert label.found
    small = [c.reshape(3, 10, 8, 10, 8).mean(axis=(2, 4)).ravel() for c in (crop, upright)]
    assert np.corrcoef(*small)[0, 1] > 0.95


def test_what_is_there_is_kept_and_what_is_stale_is_made_again(tmp_path: Path) -> None:
    samples = _samples(tmp_path)
    folder = tmp_path / "made"
    prepare(samples, [], MAKER, folder, 1, max_bad=1)
    shard = folder / "crops-00000.npy"
    first = shard.stat().st_mtime_ns
    prepare(samples, [], MAKER, folder, 1, max_bad=1)
    assert shard.stat().st_mtime_ns == first
    wider = CropMaker(FaceInput(DetectorSettings(), CropGeometry(64, 0.2, 0)), 20, 1280)
    prepare(samples, [], wider, folder, 1, max_bad=1)
    assert shard.stat().st_mtime_ns != first


def test_the_command_prepares_every_source(
    utkface: Path, appa_real: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        sys,
        "argv",
        ["prepare", f"data.sources.utkface={utkface}", f"data.sources.appa_real={appa_real}",
         f"data.prepared={tmp_path / 'prepared'}", f"run={tmp_path / 'run'}", "crop.size=32",
         "data.processes=1"],
    )  # fmt: skip
    command.main()
    shapes = [s.crops.shape for n in ("utkface", "appa_real")
              for s in read_shards(tmp_path / "prepared" / n)]  # fmt: skip
    assert shapes == [(CHIPS, 3, 40, 40), (WILD, 3, 40, 40)]


def test_every_reader_s_samples_become_crops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    chip, wild = tmp_path / "face_age" / "020", tmp_path / "wild" / "part1"
    for folder in (chip, wild):
        folder.mkdir(parents=True)
    _write(face_of_age(20, margin=5), chip / "1.png")
    save(face_of_age(20, margin=60), wild / "20_0_1_20170116174525125.jpg")
    (tmp_path / "own.csv").write_text("path,age\nwild/part1/20_0_1_20170116174525125.jpg,20\n")
    monkeypatch.setattr(
        sys,
        "argv",
        ["prepare", "data=[facial_age,utkface_wild,own]",
         f"data.sources.facial_age={chip.parent}", f"data.sources.utkface_wild={wild.parent}",
         f"data.sources.own={tmp_path / 'own.csv'}", f"data.prepared={tmp_path / 'prepared'}",
         f"run={tmp_path / 'run'}", "data.processes=1"],
    )  # fmt: skip
    command.main()
    assert "facial_age and utkface_wild contain the same images" in capsys.readouterr().out
    crops = {}
    for name in ("facial_age", "utkface_wild", "own"):
        (shard,) = read_shards(tmp_path / "prepared" / name)
        (label,) = shard.labels
        assert (label.label, label.source, label.found) == ("20", name, True)
        crops[name] = shard.crops
    assert np.array_equal(crops["own"], crops["utkface_wild"])


def test_worker_processes_and_this_one_make_the_same_crop(
    prepared: list[str], utkface: Path, detector: FaceDetector
) -> None:
    (shard,) = read_shards(folder_of(prepared, "utkface"))
    label = shard.labels[3]
    torch.set_num_threads(1)
    path = utkface / "images" / label.file
    sample = Sample(path, label.file, label.label, "train", "utkface", tight=True)
    crop, _ = MAKER.make(sample, detector)
    assert np.array_equal(crop, shard.crops[3])


def _samples(folder: Path) -> list[Sample]:
    save(face_of_age(20, margin=60), folder / "face.jpg")
    _write(scene(700, 700), folder / "empty.png")
    (folder / "broken.jpg").write_bytes(b"no image")
    names = ("face.jpg", "empty.png", "broken.jpg")
    return [Sample(folder / name, name, "20", "train", "made") for name in names]


def _rejected(folder: Path) -> dict[str, str]:
    with (folder / "rejected.csv").open(newline="") as stream:
        return {row["file"]: row["reason"] for row in csv.DictReader(stream)}


def _link(path: Path) -> None:
    path.symlink_to("nowhere.jpg")


def _write(image: np.ndarray, path: Path) -> None:
    from PIL import Image

    Image.fromarray(image).save(path)
