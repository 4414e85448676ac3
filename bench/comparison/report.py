"""Results of a system with a mix, as JSON and as a table."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from bench.comparison.statistics import percentile

MIB: Final = 2**20
PERCENTILES: Final = (0.5, 0.95, 0.99)
REFERENCE: Final = "ours"
DISTURBED: Final = 0.05  # of the machine

Summary = Mapping[str, Any]


@dataclass
class Result:
    """All rounds of one system with one mix."""

    mix: str
    system: str
    rates: list[float] = field(default_factory=list)  # images/s at saturation, of each round
    cpu: list[float] = field(default_factory=list)  # seconds an image then, of each round
    generator_cpu: list[float] = field(default_factory=list)  # the load generator's own
    others: list[float] = field(default_factory=list)  # processes' part of the machine, 0 to 1
    alone: list[float] = field(default_factory=list)  # seconds, one image at a time
    half: list[float] = field(default_factory=list)  # seconds, at half of saturation
    peak_memory: int = 0  # bytes
    faces: int = 0  # in all images of the mix
    faults: list[str] = field(default_factory=list)

    def summary(self) -> Summary:
        """JSON: rates and CPU are medians of rounds, times are percentiles of all requests."""
        half = [1000 * percentile(self.half, part) for part in PERCENTILES]
        return {
            "mix": self.mix,
            "system": self.system,
            "images_per_second": statistics.median(self.rates),
            "images_per_second_of_rounds": self.rates,
            "alone_p50_ms": 1000 * percentile(self.alone, 0.5),
            "alone_requests": len(self.alone),
            "half_load_ms": dict(zip(("p50", "p95", "p99"), half, strict=True)),
            "half_load_requests": len(self.half),
            "cpu_seconds_per_image": statistics.median(self.cpu),
            "cpu_seconds_per_image_of_rounds": self.cpu,
            "generator_cpu_seconds_per_image": statistics.median(self.generator_cpu),
            "other_processes_part_of_rounds": self.others,
            "peak_memory_mib": self.peak_memory / MIB,
            "faces": self.faces,
            "faults": self.faults,
        }


def tables(summaries: Sequence[Summary]) -> str:
    """A Markdown table for each mix; the columns `ours` are our values relative to the row's."""
    mixes = dict.fromkeys(summary["mix"] for summary in summaries)
    return "\n\n".join(_table([s for s in summaries if s["mix"] == mix]) for mix in mixes)


def _table(summaries: Sequence[Summary]) -> str:
    ours = next((s for s in summaries if s["system"] == REFERENCE), None)
    head = [
        summaries[0]["mix"],
        "images/s",
        "ours",
        "alone: p50, ms",
        "ours",
        "half load: p50, p95, p99, ms",
        "CPU s/image",
        "memory, MiB",
        "faces",
        "faults",
    ]
    rows = [head, ["---", *["---:"] * (len(head) - 1)], *(_row(s, ours) for s in summaries)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _row(summary: Summary, ours: Summary | None) -> list[str]:
    def ratio(key: str) -> str:
        return f"{ours[key] / summary[key]:.2f} x" if ours else ""

    return [
        summary["system"],
        _digits(summary["images_per_second"]),
        ratio("images_per_second"),
        _digits(summary["alone_p50_ms"]),
        ratio("alone_p50_ms"),
        ", ".join(map(_digits, summary["half_load_ms"].values())),
        f"{summary['cpu_seconds_per_image']:.3f}",
        f"{summary['peak_memory_mib']:.0f}",
        str(summary["faces"]),
        str(len(summary["faults"])),
    ]


def _digits(value: float) -> str:
    """Three significant digits."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def conditions(summaries: Sequence[Summary]) -> list[str]:
    """For each mix, the peak CPU use of the load generator and of unrelated processes."""
    lines = []
    for mix in dict.fromkeys(summary["mix"] for summary in summaries):
        of_mix = [summary for summary in summaries if summary["mix"] == mix]
        most = max(s["generator_cpu_seconds_per_image"] for s in of_mix)
        others = max(max(s["other_processes_part_of_rounds"]) for s in of_mix)
        lines.append(
            f"{mix}: an image took the load generator up to {1000 * most:.2g} ms of CPU, so that a "
            f"core of it sends {1 / most:.0f} a second; other processes took up to {others:.0%} of "
            f"the machine{': measure again' if others > DISTURBED else ''}."
        )
    return lines
