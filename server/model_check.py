"""Checks exported models before they are packed: each gives predictions, and all go together."""

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from handler.contract import INT8_FILE, ContractError, check_together
from handler.exported_model import read_contract, read_extra
from handler.settings import Precision
from handler.task import Task
from server.errors import ArchiveError


def check_models(models: Sequence[Path], shipped: Path) -> list[Task]:
    """The tasks of exported models that one archive shall hold; none is run.

    `shipped` is the model that `train.torchscript` builds by default. Raises ArchiveError, in one
    line, if a file is no exported model, two have the same task, or they need different detectors.
    """
    for model in models:
        _check_file(model, shipped)
    try:
        tasks = [read_contract(model).task for model in models]
        check_together(tasks)
    except ContractError as error:
        raise ArchiveError(str(error)) from error
    return tasks


def _check_file(model: Path, shipped: Path) -> None:
    """Raise ArchiveError if the file is no exported model; names the command that makes one."""
    weights = model.with_suffix(".safetensors")
    command = ["python", "-m", "train.torchscript"]
    if weights.resolve() != shipped.with_suffix(weights.suffix).resolve():
        command += ["--weights", os.path.relpath(weights)]
    if model.suffix == ".mar":
        word = shlex.quote(f"{shipped.stem}={model}")
        raise ArchiveError(f"{model} is an archive: scripts/serve.sh --models {word} serves it")
    if model.is_dir():
        example = model / shipped.name
        raise ArchiveError(f"{model} is a folder: name the model in it, {example} say")
    if model.is_file() and model == weights:
        built = os.path.relpath(weights.with_suffix(".pt"))
        raise ArchiveError(
            f"{model} holds weights: {shlex.join(command)} builds {built} of them, to be packed"
        )
    if not model.exists():
        how = shlex.join(command) if weights.is_file() else "python -m train.export"
        if weights.is_file() and model.resolve() == shipped.resolve():
            how += " (or scripts/serve.sh)"
        raise ArchiveError(f"{model} is no exported model: there is no such file; {how} makes it")


def try_model(model: Path) -> None:
    """Run a model on the CPU in each precision that it holds.

    Raises ArchiveError, in one line, if it fails or gives NaN or infinity.
    """
    # torch takes seconds to import, and an archive that is up to date does not need it
    import numpy as np
    import torch

    from handler.predictor import Predictor

    task = read_contract(model).task
    size = task.input.size
    inputs = np.zeros((2, 3, size, size), np.uint8)
    precisions: list[Precision] = ["float32"]
    if read_extra(model, INT8_FILE) is not None:
        precisions.append("int8")
    for precision in precisions:
        try:
            given = Predictor.load(model, torch.device("cpu"), precision).predict(inputs)
            if not given.is_finite:
                raise ContractError("it is NaN or infinite")
        except Exception as error:  # anyone's exported file may raise anything
            words = str(error).strip().splitlines() or [type(error).__name__]
            raise ArchiveError(
                f"{model} gives no {task.name} for {'faces' if task.is_of_faces else 'images'} of "
                f"{size} px in {precision}: {words[-1]}; make it anew with train.export"
            ) from error
