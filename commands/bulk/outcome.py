"""What became of some images."""

from dataclasses import dataclass, field

from commands.bulk.rows import Row


@dataclass
class Outcome:
    """The rows of images with an answer, and those of files without one."""

    rows: list[Row] = field(default_factory=list)
    failures: list[Row] = field(default_factory=list)

    def add(self, other: "Outcome") -> None:
        """Append another outcome's rows."""
        self.rows += other.rows
        self.failures += other.failures
