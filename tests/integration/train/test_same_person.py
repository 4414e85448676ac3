"""People who recur across the splits are counted, and others are not."""

import csv
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from torch.nn import functional

from train import faceres
from train.modeling.distill import Teacher
from train.modeling.network import Architecture, Network
from train.same_person import features, nearest_faces, recurrence

PEOPLE, WIDTH = 400, 32


def people(count: int, seed: int) -> torch.Tensor:
    """Random features of `count` people."""
    return torch.randn(count, WIDTH, generator=torch.Generator().manual_seed(seed))


def network() -> Network:
    torch.manual_seed(0)
    return Network(Architecture("test_resnet", 32)).eval()


def test_features_are_the_backbone_s_at_its_own_input_size() -> None:
    teacher = Teacher(network(), 48)
    crops = torch.randint(0, 256, (3, 3, 64, 64), dtype=torch.uint8)
    faces = functional.interpolate(crops.float(), 48, mode="bilinear", antialias=True)
    with torch.inference_mode():
        expected = teacher.network.backbone((faces - teacher.network.mean) / teacher.network.std)
    assert torch.allclose(features(teacher, crops), expected, atol=1e-4)


def test_the_nearest_face_is_independent_of_scale() -> None:
    others = people(600, seed=1)
    found = nearest_faces(5 * others[[7, 599]], others)
    assert found.index.tolist() == [7, 599]
    assert found.cosine.tolist() == pytest.approx([1, 1], abs=1e-5)


@pytest.mark.parametrize("recur", [0, 40, 200])
def test_recurring_people_are_counted(recur: int) -> None:
    training, strangers = people(3 * PEOPLE, seed=1), people(PEOPLE, seed=2)
    held_out = people(PEOPLE, seed=3)
    # every third training face is compared, as there are as many strangers
    compared = torch.linspace(0, len(training) - 1, PEOPLE).long()[:recur]
    held_out[:recur] = training[compared] + 0.2 * people(recur, seed=4)
    found = recurrence(held_out, training, strangers)
    assert found.same[:recur].all()
    assert found.nearest.index[:recur].tolist() == compared.tolist()
    assert found.same[recur:].float().mean() < 0.05


def test_two_prepared_data_sets(prepared: list[str], tmp_path: Path) -> None:
    made = network()
    (tmp_path / faceres.OUTPUT).mkdir(parents=True)
    state = {f"network.{name}": value for name, value in made.state_dict().items()}
    stored = {"state_dict": state, "architecture": asdict(Architecture("test_resnet", 32))}
    torch.save(stored, tmp_path / faceres.OUTPUT / faceres.FILE)
    command = [sys.executable, "-m", "train.same_person", *prepared]
    root = Path(faceres.__file__).parents[1]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(" probably show a person of its training images") == 4
    (listed,) = (Path(line.split()[-1]) for line in done.stdout.splitlines() if "listed" in line)
    with listed.open() as stream:
        rows = list(csv.DictReader(stream))
    listed.unlink()
    assert {row["split"] for row in rows} <= {"val", "test"}
    assert [float(row["cosine"]) for row in rows] == sorted(
        (float(row["cosine"]) for row in rows), reverse=True
    )
