"""Where a request's time goes: the clocks at the labels, and what is made of them."""

import threading
from unittest.mock import patch

import pytest
import torch
from torch.profiler import record_function

from bench import profiling, stages
from bench.profiling import ALL, Operator
from bench.stages import Cost, Moment, Span


def span(path: str, start: float, end: float, items: int = 0) -> Span:
    """Two threads compute all the time."""
    parts = tuple(path.split("/")) if path else ALL
    return Span(parts, Moment(start, 2 * start), Moment(end, 2 * end), items)


class TestCosts:
    def test_of_several_calls_are_added(self) -> None:
        found = stages.costs([span("crop", 1, 2, 5), span("crop", 4, 7, 6)])
        assert found == {("crop",): Cost(4, 8, 11)}

    def test_what_overlaps_counts_once(self) -> None:
        spans = [span("decode", 2, 3), span("decode", 0, 4), span("decode", 3, 6)]
        assert stages.costs(spans) == {("decode",): Cost(6, 12)}

    def test_a_stage_comes_before_those_inside_it(self) -> None:
        spans = [  # in the order of their ends
            span("decode", 0, 1),
            span("detect/propose", 1, 2),
            span("detect/refine", 2, 3),
            span("detect", 1, 4),
            span("detect/propose", 5, 6),
            span("detect", 5, 7),
            span("", 0, 8),
        ]
        paths = [ALL, ("decode",), ("detect",), ("detect", "propose"), ("detect", "refine")]
        assert list(stages.costs(spans)) == paths

    def test_of_nothing(self) -> None:
        assert stages.costs([]) == {}


class TestWatched:
    def test_labels_are_reported_with_their_place_and_their_clocks(self) -> None:
        moments = [Moment(n, 10 * n) for n in range(4)]
        with (
            patch.object(Moment, "now", side_effect=moments),
            stages.watched() as spans,
            record_function("detect"),
            record_function("refine", "12"),
        ):
            pass
        assert spans == [
            Span(("detect", "refine"), moments[1], moments[2], 12),
            Span(("detect",), moments[0], moments[3]),
        ]

    def test_each_thread_has_stages_of_its_own(self) -> None:
        @record_function("decode")  # type: ignore[untyped-decorator]
        def decode() -> None:
            pass

        with stages.watched() as spans, record_function("open"):
            thread = threading.Thread(target=decode)
            thread.start()
            thread.join()
        assert [span.path for span in spans] == [("decode",), ("open",)]

    def test_an_exception_ends_a_stage_and_passes(self) -> None:
        with stages.watched() as spans:
            with pytest.raises(ArithmeticError), record_function("detect"):
                raise ArithmeticError
            with record_function("crop"):
                pass
        assert [span.path for span in spans] == [("detect",), ("crop",)]

    def test_nothing_is_heard_afterwards(self) -> None:
        with stages.watched() as spans:
            pass
        with record_function("detect"):
            pass
        assert spans == []


def test_what_the_parts_leave_is_reported_after_them() -> None:
    costs = {
        ALL: Cost(10, 20),
        ("decode",): Cost(1, 1),
        ("detect",): Cost(6, 12),
        ("detect", "propose"): Cost(4, 7),
    }
    reports = profiling.with_rests(costs)
    assert list(reports.items()) == [
        (ALL, Cost(10, 20)),
        (("decode",), Cost(1, 1)),
        (("detect",), Cost(6, 12)),
        (("detect", "propose"), Cost(4, 7)),
        (("detect", "(rest)"), Cost(2, 5)),
        (("(rest)",), Cost(3, 7)),
    ]


def test_medians_over_the_calls() -> None:
    ends = iter([1.0, 9.0, 2.0])  # of the stage; the whole call ends a second later

    def ask() -> None:
        with record_function("crop"):
            pass

    def moments():  # type: ignore[no-untyped-def]
        for end in ends:
            yield from (Moment(0, 0), Moment(0, 0), Moment(end, end / 2), Moment(end + 1, end))

    with patch.object(Moment, "now", side_effect=moments()):
        found = profiling.measured(ask, 3)
    assert found == {ALL: Cost(3, 2), ("crop",): Cost(2, 1), ("(rest)",): Cost(1, 1)}


def test_table() -> None:
    costs = {
        ALL: Cost(0.02, 0.03),
        ("detect",): Cost(0.005, 0.01),
        ("detect", "refine"): Cost(0.001, 0.002, 412),
    }
    assert profiling.table(costs).splitlines() == [
        "stage            wall ms   share    CPU ms   items",
        "all                20.00  100.0%     30.00",
        "detect              5.00   25.0%     10.00",
        "  refine            1.00    5.0%      2.00     412",
    ]


def test_operators_are_reported_by_stage() -> None:
    matrix = torch.ones(200, 200)

    def ask() -> None:
        with record_function("estimate"), record_function("inner"):
            matrix.mm(matrix)
            matrix.mm(matrix)
        matrix.tanh()

    found = profiling.operators(ask)
    by_name = {(operator.stage, operator.name): operator for operator in found}
    product = by_name[("estimate", "inner"), "aten::mm"]
    assert product.calls == 2
    assert product.seconds > 0
    assert by_name[ALL, "aten::tanh"].calls == 1
    assert [o.seconds for o in found] == sorted((o.seconds for o in found), reverse=True)


def test_operator_table_has_the_first_of_each_stage() -> None:
    found = [
        Operator(("detect", "refine"), "aten::mm", 3, 0.004),
        Operator((), "aten::copy_", 1, 0.002),
        Operator(("detect", "refine"), "aten::add", 7, 0.001),
    ]
    assert profiling.operator_table(found, 1).splitlines() == [
        "stage                operator                          self ms   calls",
        "detect/refine        aten::mm                             4.00       3",
        "(rest)               aten::copy_                          2.00       1",
    ]
