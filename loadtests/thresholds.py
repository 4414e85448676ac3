"""Limits of a run, which decide the exit code."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """None: no limit."""

    max_p95: float | None  # milliseconds
    max_p99: float | None  # milliseconds
    max_error_rate: float  # of the requests, 0 to 1
    min_rate: float | None  # answered requests a second


@dataclass(frozen=True)
class Outcome:
    """All requests of a run together."""

    requests: int
    failures: int
    p95: float  # milliseconds
    p99: float  # milliseconds
    rate: float  # requests a second, failures included


def exceeded(limits: Limits, outcome: Outcome) -> list[str]:
    """A line for each exceeded limit; a run without requests fails."""
    if not outcome.requests:
        return ["no request was answered"]
    lines = []
    times = (("p95", limits.max_p95, outcome.p95), ("p99", limits.max_p99, outcome.p99))
    for name, most, was in times:
        if most is not None and was > most:
            lines.append(f"{name} is {was:g} ms, over --max-{name} {most:g}")
    errors = outcome.failures / outcome.requests
    if errors > limits.max_error_rate:
        words = f"{outcome.failures} of {outcome.requests} requests failed"
        lines.append(f"{words}, {errors:.2%}, over --max-error-rate {limits.max_error_rate:g}")
    rate = outcome.rate * (1 - errors)
    if limits.min_rate is not None and rate < limits.min_rate:
        lines.append(f"{rate:.1f} answers a second, under --min-rate {limits.min_rate:g}")
    return lines
