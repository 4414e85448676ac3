"""Searches for known vulnerabilities: bandit in the code, pip-audit in constraints.txt.

    python scripts/audit.py        exit 1 on a vulnerability that SECURITY.md does not explain

pip-audit asks PyPI. If PyPI does not answer, or a mirror has no vulnerability data, the output says
NOT CHECKED, and that is no failure. Exceptions are listed in SECURITY.md, in a table whose first
column is the vulnerability's id.
"""

import argparse
import json
import re
import subprocess  # nosec B404
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).resolve().parent.parent
CODE = (
    *("bench", "client/face_age_client", "commands", "demo", "deploy", "handler"),
    *("loadtests", "scripts", "server", "train"),
)
PROBE = "pillow"  # a package with entries in every vulnerability database
_ID = re.compile(r"^\| ((?:CVE|GHSA|PYSEC)-[\w-]+) \|", re.MULTILINE)


class NotAsked(Exception):
    """The vulnerability service gave no answer; the message says why."""


@dataclass(frozen=True)
class Findings:
    """pip-audit's result for a list of pinned packages."""

    audited: int
    vulnerabilities: tuple[tuple[str, str, frozenset[str]], ...]  # package, version, ids
    unknown: tuple[str, ...]  # packages that the service does not know

    @classmethod
    def parse(cls, output: str) -> Self:
        """From pip-audit's JSON. Raises NotAsked if it is not valid."""
        try:
            packages: list[dict[str, Any]] = json.loads(output)["dependencies"]
        except (ValueError, KeyError, TypeError):
            raise NotAsked("pip-audit gave no result") from None
        audited = [package for package in packages if "skip_reason" not in package]
        return cls(
            len(audited),
            tuple(
                (
                    package["name"],
                    package["version"],
                    frozenset((vulnerability["id"], *vulnerability["aliases"])),
                )
                for package in audited
                for vulnerability in package["vulns"]
            ),
            tuple(package["name"] for package in packages if "skip_reason" in package),
        )

    def unexplained(self, excepted: Iterable[str]) -> list[str]:
        """A line for each vulnerability that is not excepted under any of its ids."""
        excused = set(excepted)
        return [
            f"{name} {version}: {', '.join(sorted(names))}"
            for name, version, names in self.vulnerabilities
            if not names & excused
        ]


def excepted(text: str) -> list[str]:
    """The ids in the table of a SECURITY.md."""
    return _ID.findall(text)


def ask(pins: Sequence[str]) -> Findings:
    """Audit pinned versions, name==version each. Raises NotAsked."""
    command = [sys.executable, "-m", "pip_audit", "--no-deps", "--disable-pip"]
    command += ["--format", "json", "--progress-spinner", "off", "--requirement"]
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("\n".join(pins))
        file.flush()
        done = subprocess.run(  # nosec B603  # no shell, no user input
            [*command, file.name], capture_output=True, text=True, check=False
        )
    if not done.stdout.strip():
        raise NotAsked((done.stderr.strip() or "pip-audit said nothing").splitlines()[-1])
    return Findings.parse(done.stdout)


def audit_packages() -> bool:
    """Whether there is no unexplained vulnerability; prints the result."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if "==" in line and not line.startswith("#")]
    try:
        # A mirror without vulnerability data has none for the probe either.
        first = ask([pin for pin in pins if pin.startswith(f"{PROBE}==")])
        if not first.audited:
            raise NotAsked(f"it knows nothing of {PROBE}; a mirror without vulnerability data?")
        findings = ask(pins)
    except NotAsked as reason:
        print(f"pip-audit: NOT CHECKED, nothing is known of {len(pins)} packages: {reason}")
        return True
    bad = findings.unexplained(excepted((ROOT / "SECURITY.md").read_text()))
    for line in bad:
        print(f"pip-audit: {line}")
    if findings.unknown:
        print(f"pip-audit: NOT CHECKED: {', '.join(findings.unknown)}")
    print(
        f"pip-audit: {findings.audited} of {len(pins)} packages checked, "
        f"{len(findings.vulnerabilities)} known vulnerabilities, {len(bad)} of them not explained "
        "in SECURITY.md"
    )
    return not bad


def audit_code() -> bool:
    """Whether bandit reports nothing, at any severity and confidence."""
    command = [sys.executable, "-m", "bandit", "--quiet", "--recursive", *CODE]
    # It warns about nosec comments that match only one of a line's two findings.
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # nosec B603
    if done.returncode:
        print(done.stdout, done.stderr, sep="\n")
    return not done.returncode


def main() -> int:
    argparse.ArgumentParser(
        description="Search code and packages for known vulnerabilities."
    ).parse_args()
    clean = [audit_code(), audit_packages()]
    if clean[0]:
        print(f"bandit: nothing found in {', '.join(CODE)}")
    return 0 if all(clean) else 1


if __name__ == "__main__":
    sys.exit(main())
