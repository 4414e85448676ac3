from dataclasses import replace

import pytest

from loadtests.thresholds import Limits, Outcome, exceeded

NONE = Limits(None, None, 0.0, None)
GOOD = Outcome(requests=1000, failures=0, p95=200.0, p99=300.0, rate=50.0)
BAD = replace(GOOD, failures=20)


@pytest.mark.parametrize(
    ("limits", "outcome"),
    [
        (NONE, GOOD),
        (Limits(200.0, 300.0, 0.0, 50.0), GOOD),
        (replace(NONE, max_error_rate=0.02), BAD),
        (replace(NONE, max_error_rate=0.02, min_rate=49.0), BAD),
    ],
)
def test_what_holds(limits, outcome):
    assert exceeded(limits, outcome) == []


@pytest.mark.parametrize(
    ("limits", "outcome", "lines"),
    [
        (NONE, BAD, ["20 of 1000 requests failed, 2.00%, over --max-error-rate 0"]),
        (replace(NONE, max_p95=199.0), GOOD, ["p95 is 200 ms, over --max-p95 199"]),
        (replace(NONE, max_p99=299.0), GOOD, ["p99 is 300 ms, over --max-p99 299"]),
        (replace(NONE, min_rate=51.0), GOOD, ["50.0 answers a second, under --min-rate 51"]),
        (
            replace(NONE, max_error_rate=0.02, min_rate=50.0),
            BAD,
            ["49.0 answers a second, under --min-rate 50"],
        ),
        (NONE, Outcome(0, 0, 0.0, 0.0, 0.0), ["no request was answered"]),
    ],
)
def test_what_does_not(limits, outcome, lines):
    assert exceeded(limits, outcome) == lines


def test_every_limit_is_reported():
    assert len(exceeded(Limits(1.0, 1.0, 0.01, 100.0), BAD)) == 4
