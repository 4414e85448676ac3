import sys
from pathlib import Path

import pytest

from handler.packages import package_folder


def test_where_a_package_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "made_package").mkdir()
    (tmp_path / "made_package" / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    assert package_folder("made_package") == tmp_path / "made_package"
    assert "made_package" not in sys.modules


def test_a_package_that_is_not_installed() -> None:
    with pytest.raises(ImportError, match="No module named 'no_such_package'"):
        package_folder("no_such_package")


def test_a_module_is_no_package() -> None:
    with pytest.raises(ImportError, match="No module named 'csv'"):
        package_folder("csv")
