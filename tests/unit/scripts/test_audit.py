"""scripts/audit.py: what counts as a hole, as an exception, and as not having been asked."""

import json
import subprocess
import sys

import pytest

from scripts.audit import CODE, ROOT, Findings, NotAsked, excepted


def package(name: str, *vulnerabilities: tuple[str, list[str]]) -> dict[str, object]:
    """A package as pip-audit writes one; vulnerabilities are (id, aliases)."""
    vulnerabilities = [
        {"id": one, "aliases": aliases, "fix_versions": [], "description": "d"}
        for one, aliases in vulnerabilities
    ]
    return {"name": name, "version": "1.0", "vulns": vulnerabilities}


SKIPPED = {"name": "own", "skip_reason": "Dependency not found on PyPI"}


def findings(*packages: dict[str, object]) -> Findings:
    return Findings.parse(json.dumps({"dependencies": packages, "fixes": []}))


def test_what_was_not_found_was_not_checked() -> None:
    """pip-audit itself says "No known vulnerabilities found" and exits with 0 then."""
    found = findings(SKIPPED, SKIPPED)
    assert (found.audited, found.unknown) == (0, ("own", "own"))
    assert findings(package("a"), SKIPPED).audited == 1


def test_a_hole_is_excepted_under_any_of_its_names() -> None:
    found = findings(package("a", ("PYSEC-2026-1", ["CVE-2026-1", "GHSA-x"])), package("b"))
    assert found.unexplained([]) == ["a 1.0: CVE-2026-1, GHSA-x, PYSEC-2026-1"]
    assert found.unexplained(["CVE-2026-1"]) == []
    assert found.unexplained(["CVE-2026-11"]) == found.unexplained([])


def test_exceptions_are_lines_of_a_table() -> None:
    text = "see CVE-2020-1\n| CVE-2020-2 | a | why |\n| GHSA-aa-bb | b | why |\n|CVE-2020-3|\n"
    assert excepted(text) == ["CVE-2020-2", "GHSA-aa-bb"]


@pytest.mark.parametrize("output", ["", "No known vulnerabilities found", "[]", "{}"])
def test_no_answer_is_no_clean_one(output: str) -> None:
    with pytest.raises(NotAsked):
        Findings.parse(output)


def test_bandit_finds_what_is_wrong(tmp_path) -> None:
    """The tool that test.sh runs is there, and looks at all severities."""
    wrong = tmp_path / "wrong.py"
    wrong.write_text("import torch\n\ntorch.load('file')\nassert torch\n")
    done = subprocess.run(
        [sys.executable, "-m", "bandit", "--quiet", "--format", "json", wrong],
        capture_output=True,
        text=True,
        check=False,
    )
    results = json.loads(done.stdout)["results"]
    assert {result["test_id"] for result in results} == {"B614", "B101"}
    assert done.returncode == 1


def test_all_of_the_code_is_looked_at() -> None:
    """Every folder with Python in it, but for tests and fuzzers, which assert."""
    folders = {
        file.relative_to(ROOT).parts[0]
        for folder in ROOT.iterdir()
        if folder.is_dir() and not folder.name.startswith(".")
        for file in folder.rglob("*.py")
    }
    assert folders - {"tests", "fuzz", "data", "runs"} == {
        folder.partition("/")[0] for folder in CODE
    }
