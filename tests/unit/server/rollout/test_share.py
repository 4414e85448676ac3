import pytest

from server.rollout.management import Counts
from server.rollout.share import FACES_FOR_PSI, figures_of_share

AGES = {("age", "20-29"): 150.0, ("age", "30-39"): 150.0}
STABLE = Counts(300, {"answered": 300}, AGES, seconds=30)


def figures(candidate: Counts, in_flight: float = 0, *, same: bool = True) -> dict[str, float]:
    return figures_of_share(STABLE, candidate, in_flight, 50, same_clients=same)


def test_a_candidate_like_the_other() -> None:
    assert figures(STABLE) == {"images": 300, "failures": 0, "slower": 1, "psi of age": 0}


def test_faults_of_the_service_are_failures_and_bad_images_are_none() -> None:
    outcomes = {"answered": 94.0, "InvalidImage": 4, "InternalError": 1, "OutOfMemory": 1}
    assert figures(Counts(100, outcomes, {}, 20))["failures"] == 0.02


def test_what_is_lost_with_its_worker_is_a_failure_and_what_is_under_way_is_none() -> None:
    candidate = Counts(100, {"answered": 90}, {}, 9)
    assert figures(candidate)["failures"] == 0.1
    assert figures(candidate, in_flight=4)["failures"] == 0.06
    assert figures(candidate, in_flight=20)["failures"] == 0


def test_the_first_failure_is_not_all_there_is() -> None:
    assert figures(Counts(1, {"InternalError": 1}, {}, 1))["failures"] == 1 / 50


def test_seconds_of_an_image() -> None:
    assert figures(Counts(100, {"answered": 100}, {}, 25))["slower"] == 2.5
    assert "slower" not in figures(Counts(0, {}, {}, 0))


def test_other_ages() -> None:
    older = {("age", "30-39"): 100.0, ("age", "60-69"): 200.0}
    assert figures(Counts(300, {"answered": 300}, older, 30))["psi of age"] > 1


@pytest.mark.parametrize(("count", "same"), [(FACES_FOR_PSI - 1, True), (FACES_FOR_PSI, False)])
def test_ages_that_cannot_be_compared(count: float, same: bool) -> None:
    candidate = Counts(300, {"answered": 300}, {("age", "20-29"): count}, 30)
    assert "psi of age" not in figures(candidate, same=same)
