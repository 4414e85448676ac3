"""The contract inside an exported model, and what else is there."""

import shlex
import zipfile
from pathlib import Path

import pytest
import torch

from handler.contract import EXTRA_FILE, Contract, ContractError
from handler.exported_model import read_contract, read_extra

EXPORT = "python -m train.export"


class TestFiles:
    """What is read out of an exported model."""

    def test_the_contract(self, model_file: Path, contract: Contract) -> None:
        assert read_contract(model_file) == contract

    def test_any_extra_file(self, tmp_path: Path) -> None:
        file = tmp_path / "age.pt"
        model = torch.jit.script(torch.nn.Identity())
        torch.jit.save(model, str(file), _extra_files={"one": b"\x00\xff", "other": "text"})
        assert read_extra(file, "one") == b"\x00\xff"
        assert read_extra(file, "other") == b"text"
        assert read_extra(file, "ther") is None

    def test_refuses_a_truncated_file(self, model_file: Path, tmp_path: Path) -> None:
        half = tmp_path / "half.pt"
        half.write_bytes(model_file.read_bytes()[:1000])
        with pytest.raises(ContractError, match=r"half\.pt is no exported model"):
            read_contract(half)

    @pytest.mark.parametrize(
        ("kind", "cut"), [(zipfile.ZIP_LZMA, 0), (zipfile.ZIP_LZMA, 9), (zipfile.ZIP_DEFLATED, 9)]
    )
    def test_refuses_a_file_whose_contract_cannot_be_unpacked(
        self, kind: int, cut: int, contract: Contract, tmp_path: Path
    ) -> None:
        file = tmp_path / "age.pt"
        with zipfile.ZipFile(file, "w", kind) as archive:
            archive.writestr(f"age/extra/{EXTRA_FILE}", contract.to_json())
        content = bytearray(file.read_bytes())
        begin = 30 + len(f"age/extra/{EXTRA_FILE}") + 9
        content[begin + cut : begin + cut + 200] = bytes(200)
        file.write_bytes(content)
        with pytest.raises(ContractError) as caught:
            read_contract(file)
        (line,) = str(caught.value).splitlines()
        assert line.startswith(f"{file} is no exported model: ")

    def test_refuses_a_missing_file(self, tmp_path: Path) -> None:
        with pytest.raises(ContractError) as caught:
            read_contract(tmp_path / "age.pt")
        assert str(caught.value) == f"{tmp_path}/age.pt is no file: make it with {EXPORT}"

    @pytest.mark.parametrize(
        ("beside", "asked", "made"),
        [
            ("age.safetensors", "age.pt", "age.pt"),
            ("mine.safetensors", "mine.pt", "mine.pt"),
            ("age.safetensors", "age-1.pt", "age-1.pt"),
            ("emotion.safetensors", "emotion-2.0.pt", "emotion-2.0.pt"),
            ("age.safetensors", "age.safetensors", "age.pt"),  # weights are no model yet
        ],
    )
    def test_says_how_a_missing_file_is_made_of_weights(
        self, beside: str, asked: str, made: str, tmp_path: Path
    ) -> None:
        folder = tmp_path / "my model"
        folder.mkdir()
        (folder / beside).write_bytes(b"weights")
        with pytest.raises(ContractError) as caught:
            read_contract(folder / asked)
        _, _, command = str(caught.value).partition(" with python ")
        assert shlex.split(command) == [
            *("-m", "train.torchscript", "--weights", str(folder / beside)),
            *("--output", str(folder / made)),
        ]

    def test_weights_of_another_task_make_nothing(self, tmp_path: Path) -> None:
        (tmp_path / "age.safetensors").write_bytes(b"weights")
        with pytest.raises(ContractError) as caught:
            read_contract(tmp_path / "emotion.pt")
        assert str(caught.value).endswith(f"emotion.pt is no file: make it with {EXPORT}")

    def test_refuses_a_model_without_contract(self, tmp_path: Path) -> None:
        bare = tmp_path / "bare.pt"
        torch.jit.save(torch.jit.script(torch.nn.Identity()), str(bare))
        with pytest.raises(ContractError, match=r"bare\.pt has no contract\.json"):
            read_contract(bare)

    def test_names_the_file_whose_contract_is_refused(self, tmp_path: Path) -> None:
        newer = tmp_path / "newer.pt"
        model = torch.jit.script(torch.nn.Identity())
        torch.jit.save(model, str(newer), _extra_files={EXTRA_FILE: '{"schema": 99}'})
        with pytest.raises(ContractError, match=r"newer\.pt: the model's contract has schema 99"):
            read_contract(newer)
