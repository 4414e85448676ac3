"""Files of torch.save: atomic, and limited to tensors and plain values."""

import pickle
from pathlib import Path

import pytest
import torch

from train import torch_file


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    file, previous = tmp_path / "a.ckpt", tmp_path / "b.ckpt"
    torch_file.write({"weight": torch.tensor([1.5, -2.0]), "epoch": 3}, file)
    torch_file.write({"weight": torch.zeros(2), "epoch": 4}, file, previous)
    content = torch_file.read(previous)
    assert content["epoch"] == 3
    assert content["weight"].tolist() == [1.5, -2.0]
    assert torch_file.read(file)["epoch"] == 4
    assert {path.name for path in tmp_path.iterdir()} == {"a.ckpt", "b.ckpt"}


def test_other_objects_are_refused(tmp_path: Path) -> None:
    torch.save({"path": Path("a")}, tmp_path / "a.ckpt")
    with pytest.raises(ValueError, match=r"a\.ckpt is damaged, or no checkpoint: [^\n]+$"):
        torch_file.read(tmp_path / "a.ckpt")


@pytest.mark.parametrize("content", [b"", b"text", pickle.dumps("text")[:-2]])
def test_a_damaged_file_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "a.ckpt"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.ckpt is damaged, or no checkpoint: [^\n]+$"):
        torch_file.read(file)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        torch_file.read(tmp_path / "a.ckpt")
