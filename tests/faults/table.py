"""The table of docs/faults.md: what each fault did to the service under load."""

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
    """The rows of one run of the tests, in its order."""

    def __init__(self) -> None:
        self._rows: list[Row] = []

    def add(self, fault: str, load: Load, seconds: float | None = None, note: str = "") -> None:
        """`seconds` from the fault until all was as before; None where nothing changed."""
        ways = ", ".join(f"{n} x {end}" for end, n in sorted(load.lost.items()))
        lost = f"{sum(load.lost.values())} of {len(load.exchanges)}"
        if ways:
            lost += f" ({ways})"
        if note:
            lost += f"; {note}"
        recovery = "at once" if seconds is None else f"{seconds:.1f} s"
        self._rows.append(Row(fault, f"{load.users} users", lost, recovery))

    def __str__(self) -> str:
        head = ["| fault | load | requests lost | time to recover |", "|---|---|---|---|"]
        return "\n".join([*head, *map(str, self._rows)]) if self._rows else ""
