import json

import pytest

from bench.comparison.report import Result, conditions, tables


@pytest.fixture
def results():
    return [
        Result(
            *("512 px, one face", "ours"),
            rates=[90.0, 110.0, 100.0],
            cpu=[0.02, 0.019, 0.03],
            generator_cpu=[0.0005],
            others=[0.01, 0.02],
            alone=[0.011, 0.010, 0.025],
            half=[n / 1000 for n in range(1, 201)],
            peak_memory=700 * 2**20,
            faces=1,
        ),
        Result(
            *("512 px, one face", "naive"),
            rates=[20.0],
            cpu=[0.1],
            generator_cpu=[0.001],
            others=[0.0],
            alone=[0.055],
            half=[0.1],
            peak_memory=1000 * 2**20,
            faces=1,
            faults=["image 0: 503"],
        ),
    ]


def test_table(results):
    assert tables([result.summary() for result in results]).splitlines() == [
        "| 512 px, one face | images/s | ours | alone: p50, ms | ours "
        "| half load: p50, p95, p99, ms | CPU s/image | memory, MiB | faces | faults |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
        "| ours | 100 | 1.00 x | 11 | 1.00 x | 100, 190, 198 | 0.020 | 700 | 1 | 0 |",
        "| naive | 20 | 5.00 x | 55 | 0.20 x | 100, 100, 100 | 0.100 | 1000 | 1 | 1 |",
    ]


def test_a_table_for_each_mix_without_ratios_where_ours_is_missing(results):
    other = Result("12 megapixels", "naive", [0.5], [1.25], [0.1], [0.0], [2.5], [3.0], 2**20, 3)
    first, second = tables([r.summary() for r in (*results, other)]).split("\n\n")
    assert first.startswith("| 512 px")
    assert second.splitlines()[2] == (
        "| naive | 0.5 |  | 2500 |  | 3000, 3000, 3000 | 1.250 | 1 | 3 | 0 |"
    )


def test_summary_is_json(results):
    summary = json.loads(json.dumps(results[0].summary()))
    assert summary["images_per_second"] == 100
    assert summary["images_per_second_of_rounds"] == [90, 110, 100]
    assert summary["alone_p50_ms"] == pytest.approx(11)
    assert summary["half_load_ms"] == pytest.approx({"p50": 100, "p95": 190, "p99": 198})
    assert summary["half_load_requests"] == 200
    assert summary["cpu_seconds_per_image"] == 0.02
    assert summary["peak_memory_mib"] == 700


@pytest.mark.parametrize(("part", "end"), [(0.04, "4% of the machine."), (0.3, "again.")])
def test_conditions(results, part, end):
    results[1].others = [0.0, part]
    (line,) = conditions([result.summary() for result in results])
    assert line.startswith(
        "512 px, one face: an image took the load generator up to 1 ms of CPU, so that a core of "
        "it sends 1000 a second; other processes took up to "
    )
    assert line.endswith(end)
