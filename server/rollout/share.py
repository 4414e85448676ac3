"""What is measured while the candidate answers a share of the requests."""

from typing import Final

from handler.errors import Failure
from handler.stability_index import stability_index
from server.rollout.management import Counts

FACES_FOR_PSI: Final = 200  # of each version; the index of fewer is noise
FAULTS: Final = frozenset(kind.type for kind in Failure.__subclasses__() if kind.code >= 500)


def figures_of_share(
    stable: Counts, candidate: Counts, in_flight: float, least_images: int, *, same_clients: bool
) -> dict[str, float]:
    """The figures that limits are about, rounded to 4 digits.

    Args:
        stable: what was counted of it since the share began.
        candidate: likewise.
        in_flight: requests of the candidate that may still be answered; others that gave no image
            were lost with their workers.
        least_images: the part of failures is of so many requests at least.
        same_clients: whether both versions answer the same clients, whose faces can be compared.
    """
    faults = sum(n for outcome, n in candidate.outcomes.items() if outcome in FAULTS)
    lost = max(0.0, candidate.requests - candidate.images - in_flight)
    figures = {
        "images": candidate.images,
        "failures": (faults + lost) / max(candidate.requests, least_images, 1.0),
    }
    if stable.images and candidate.images and stable.seconds:
        ratio = candidate.seconds / candidate.images / (stable.seconds / stable.images)
        figures["slower"] = ratio
    if same_clients:
        for task in sorted({task for task, _ in candidate.values}):
            ranges = sorted({r for t, r in (*stable.values, *candidate.values) if t == task})
            two = [
                [each.values.get((task, r), 0.0) for r in ranges] for each in (stable, candidate)
            ]
            if min(map(sum, two)) >= FACES_FOR_PSI:
                figures[f"psi of {task}"] = stability_index(*two)
    return {name: round(value, 4) for name, value in figures.items()}
