"""Weights have an identity, wherever their file was made."""

import hashlib
import struct
from pathlib import Path

import torch

from handler.integrity import combined, identity_of, weights_identity
from tests.archives import Brightness, Darkness, exported


class Weighted(torch.nn.Module):
    """A model with weights, one of which is given."""

    def __init__(self, last: float = 4.0) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor([1.0, 2.0, 3.0, last]))
        self.register_buffer("offset", torch.arange(3))

    def forward(self, faces: torch.Tensor) -> torch.Tensor:
        return faces * self.weight.sum() + self.offset.sum()


class TestWeights:
    """The identity of a model's weights."""

    def saved(self, model: torch.nn.Module, file: Path) -> Path:
        return exported(model, "{}", file)

    def test_are_twelve_digits_that_stay(self, tmp_path: Path) -> None:
        file = self.saved(Weighted(), tmp_path / "age.pt")
        stored = (struct.pack("<4f", 1, 2, 3, 4), struct.pack("<3q", 0, 1, 2))
        hashes = sorted(hashlib.sha256(tensor).hexdigest() for tensor in stored)
        expected = hashlib.sha256("".join(hashes).encode()).hexdigest()[:12]
        assert weights_identity(file) == expected == "824025161dab"

    def test_are_the_same_under_another_name_and_contract(
        self, tmp_path: Path, model_file: Path
    ) -> None:
        file = self.saved(Weighted(), tmp_path / "age.pt")
        extra = {"int8.pt": model_file.read_bytes(), "data/0": b"x"}
        other = exported(Weighted(), '{"x": 1}', tmp_path / "other name.pt", extra)
        assert other.read_bytes() != file.read_bytes()
        assert weights_identity(other) == weights_identity(file)

    def test_are_others_where_one_number_is(self, tmp_path: Path) -> None:
        file = self.saved(Weighted(), tmp_path / "age.pt")
        other = self.saved(Weighted(4.0000005), tmp_path / "other.pt")
        assert weights_identity(other) != weights_identity(file)

    def test_of_a_model_that_is_frozen_or_traced(self, tmp_path: Path) -> None:
        def identities(last: float) -> list[str]:
            model = Weighted(last).eval()
            frozen = torch.jit.freeze(torch.jit.script(model), optimize_numerics=False)
            found = []
            for made in (frozen, torch.jit.trace(model, torch.ones(2, 3))):
                torch.jit.save(made, str(tmp_path / "made.pt"))
                found.append(weights_identity(tmp_path / "made.pt"))
            return found

        one, same, other = identities(4), identities(4), identities(5)
        assert one == same
        assert all(first != second for first, second in zip(one, other, strict=True))

    def test_of_a_model_without_a_tensor_its_code_decides(self, tmp_path: Path) -> None:
        bright = self.saved(Brightness(), tmp_path / "bright.pt")
        again = self.saved(Brightness(), tmp_path / "again.pt")
        dark = self.saved(Darkness(), tmp_path / "dark.pt")
        assert weights_identity(bright) == weights_identity(again) != weights_identity(dark)

    def test_of_another_file_are_not_known(self, tmp_path: Path) -> None:
        (tmp_path / "age.pt").write_bytes(b"PK")
        assert weights_identity(tmp_path / "age.pt") == ""
        assert weights_identity(tmp_path / "none.pt") == ""


class TestIdentity:
    """Of the weights of an archive's models."""

    def test_of_one_model_is_that_of_its_weights(self, model_file: Path) -> None:
        assert identity_of([model_file]) == weights_identity(model_file)

    def test_of_several_in_any_order(self, model_file: Path, tint_file: Path) -> None:
        both = identity_of([model_file, tint_file])
        assert both == identity_of([tint_file, model_file])
        assert len(both) == 12
        assert both != identity_of([model_file, model_file])
        assert combined(["b", "a"]) == combined(["a", "b"]) != combined(["a", "c"])
