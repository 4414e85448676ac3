"""docs/quickstart.ipynb, run from top to bottom against a real TorchServe."""

import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.torchserve import ROOT, Service

NOTEBOOK = ROOT / "docs" / "quickstart.ipynb"
SECONDS = 300  # a cell, on a machine that has other work


def texts(cell: nbformat.NotebookNode) -> str:
    """What a cell printed."""
    return "".join(output.get("text", "") for output in cell.get("outputs", []))


def test_it_has_no_outputs() -> None:
    """They would be of one machine, and large."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell for cell in cells if cell.outputs or cell.execution_count] == []


# the kernel's process ends after the test, and with it its sockets
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_it_runs(
    service: Service, model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACE_AGE_URL", service.rest)
    monkeypatch.setenv("FACE_AGE_MODEL", str(model_file))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    monkeypatch.setenv("PYTHONPATH", f"{ROOT / 'client'}{os.pathsep}{ROOT}")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(
        notebook, timeout=SECONDS, resources={"metadata": {"path": str(ROOT / "docs")}}
    ).execute()
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    _, asked, drawn, _, batch, _, _, evaluated, _ = cells
    assert " years (" in texts(asked)
    assert "image/jpeg" in drawn.outputs[0].data
    assert "24 rows" in texts(batch)
    assert "broken.jpg" in texts(batch)
    assert "MAE, years" in texts(evaluated)
    assert "report.html" in texts(evaluated)
    assert not list(tmp_path.glob("tmp*/run"))
