"""Reads the files beside the code and the weights in an exported model: its contract, its int8."""

import shlex
import zipfile
from pathlib import Path
from typing import IO

from handler.contract import EXTRA_FILE, Contract, ContractError
from handler.zip_check import ZIP_ERRORS


def read_extra(model: Path, name: str, content: IO[bytes] | None = None) -> bytes | None:
    """The extra file `name` of a TorchScript file, or None if it has none.

    `content`: the open file if it is not in the file system; `model` then only names it.

    Raises ContractError if the file is missing or no zip archive; the message says how to make it.
    """
    if content is None and not model.is_file():
        raise ContractError(f"{model} is no file: {_how_to_make(model)}")
    try:
        with zipfile.ZipFile(content or model) as archive:
            for member in archive.namelist():
                if member.endswith(f"/extra/{name}"):
                    return archive.read(member)
    except ZIP_ERRORS as error:
        words = f"{model} is no exported model: {str(error) or 'it is cut off'}"
        raise ContractError(f"{words}; {_how_to_make(model)}") from error
    return None


def _how_to_make(model: Path) -> str:
    """The command that makes `model`: from the weights beside it, or by an export.

    age-2.pt is made from age-2.safetensors or age.safetensors.
    """
    for stem in (model.stem, model.stem.partition("-")[0]):
        weights = model.with_name(f"{stem}.safetensors")
        if weights.is_file():
            output = model if model != weights else model.with_suffix(".pt")
            command = ["python", "-m", "train.torchscript"]
            command += ["--weights", str(weights), "--output", str(output)]
            return f"make {output} with {shlex.join(command)}"
    return "make it with python -m train.export"


def read_contract(model: Path, content: IO[bytes] | None = None) -> Contract:
    """The contract inside an exported model; arguments as in `read_extra`.

    Raises ContractError, in one line, if it is missing, cannot be read, or cannot be honoured.
    """
    text = read_extra(model, EXTRA_FILE, content)
    if text is None:
        raise ContractError(f"{model} has no {EXTRA_FILE}: {_how_to_make(model)}")
    try:
        return Contract.from_json(text)
    except ContractError as error:
        raise ContractError(f"{model}: {error}") from error
