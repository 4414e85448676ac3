import pytest
from hypothesis import given
from hypothesis import strategies as st

from handler.deadline import check_due, check_queue_timeout
from handler.errors import WaitedTooLong

NOW = 1_800_000_000.5
LONGEST = 55


@pytest.mark.parametrize("name", ["X-Request-Start", "x-request-start", "X-REQUEST-START"])
@pytest.mark.parametrize("age", [55.001, 3600, NOW])
def test_too_late(name: str, age: float) -> None:
    with pytest.raises(WaitedTooLong) as refused:
        check_queue_timeout({name: f"t={NOW - age:.3f}"}, LONGEST, NOW)
    assert refused.value.message == (
        "the service is busy: the image waited over 55 s in the queue; send it again later"
    )


@pytest.mark.parametrize("age", [0, 54.999, -3600])  # from a clock that is ahead, or set back since
def test_in_time(age: float) -> None:
    check_queue_timeout({"X-Request-Start": f"t={NOW - age:.3f}"}, LONGEST, NOW)


def test_whole_seconds() -> None:
    check_queue_timeout({"X-Request-Start": f"t={NOW - 54:.0f}"}, LONGEST, NOW)
    with pytest.raises(WaitedTooLong):
        check_queue_timeout({"X-Request-Start": f"t={NOW - 57:.0f}"}, LONGEST, NOW)


def test_without_a_limit() -> None:
    check_queue_timeout({"X-Request-Start": "t=1"}, 0, NOW)


@pytest.mark.parametrize(
    "header",
    ["", "t=", "1", "t=-1", "t=1 ", " t=1", "t=1.", "t=1e3", "t=nan", "t=\u0661", "t=1,t=1"],
)
def test_an_invalid_header(header: str) -> None:
    check_queue_timeout({"X-Request-Start": header}, LONGEST, NOW)


def test_no_header() -> None:
    check_queue_timeout({"X-Max-Faces": "t=1"}, LONGEST, NOW)


@given(st.text())
def test_any_header(header: str) -> None:
    """Whoever sends it gets at most a refusal."""
    try:
        check_queue_timeout({"X-Request-Start": header}, LONGEST, NOW)
    except WaitedTooLong:
        assert header.startswith("t=")


def test_images_that_begin_in_time() -> None:
    for due, now in ((None, 1e9), (5.0, 4.9), (5.0, 5.0)):
        check_due(due, now)
    with pytest.raises(WaitedTooLong, match=r"^the images before this one took too long"):
        check_due(5.0, 5.1)
