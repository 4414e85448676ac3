import pytest

from loadtests.shapes import SHAPES, users


@pytest.mark.parametrize(
    ("shape", "expected"),
    [  # 40 users over 100 seconds, every tenth of it
        ("ramp", [1, 4, 8, 12, 16, 20, 24, 28, 32, 36]),
        ("step", [8, 8, 16, 16, 24, 24, 32, 32, 40, 40]),
        ("spike", [4, 4, 4, 4, 40, 40, 4, 4, 4, 4]),
        ("soak", [1, 40, 40, 40, 40, 40, 40, 40, 40, 40]),
    ],
)
def test_users(shape, expected):
    assert [users(shape, 40, 100.0, at) for at in range(0, 100, 10)] == expected


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("most", [1, 3, 1000])
def test_there_is_always_one_and_never_one_too_many(shape, most):
    counts = [users(shape, most, 60.0, at / 10) for at in range(600)]
    assert min(counts) >= 1
    assert 0.99 * most < max(counts) <= most
    assert users(shape, most, 60.0, 60.0) is None


def test_a_soak_s_users_come_soon():
    assert [users("soak", 100, 1000.0, at) for at in (10, 25, 50, 999)] == [20, 50, 100, 100]


def test_a_spike_ends():
    assert [users("spike", 50, 10.0, at) for at in (3.9, 4.0, 5.9, 6.0)] == [5, 50, 50, 5]
