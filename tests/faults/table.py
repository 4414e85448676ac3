"""The table of docs/faults.md: what each fault did to the service under load."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.faults.load import Load


@dataclass(frozen=True)
class Row:
    """One fault."""

    fault: str
    load: str
    lost: str
    recovery: str

    def __str__(self) -> str:
        return f"| {self.fault} | {self.load} | {self.lost} | {self.recovery} |"


class Table:
    """Takes a test's rows, and hands them on as text."""

    def __init__(self, record: Callable[[str], None]) -> None:
        self._record = record

    def add(self, fault: str, load: Load, seconds: float | None = None, note: str = "") -> None:
        """`seconds` from the fault until all was as before; None where nothing changed."""
        ways = ", ".join(f"{n} x {end}" for end, n in sorted(load.lost.items()))
        lost = f"{sum(load.lost.values())} of {len(load.exchanges)}"
        if ways:
            lost += f" ({ways})"
        if note:
            lost += f"; {note}"
        recovery = "at once" if seconds is None else f"{seconds:.1f} s"
        self._record(str(Row(fault, f"{load.users} users", lost, recovery)))


def with_head(rows: Sequence[str]) -> str:
    """Rows below their head."""
    head = ["| fault | load | requests lost | time to recover |", "|---|---|---|---|"]
    return "\n".join([*head, *rows])
