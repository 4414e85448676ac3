"""Where a request's time goes: the clocks at the labels, and what is made of them."""

import threading
from pathlib import Path
from unittest.mock import patch

import pytest
import torch
from torch.profiler import record_function

from bench import in_process, profiling, stages
from bench.profiling import ALL, Operator
from bench.stages import Cost, Moment, Span
from handler.integrity import weights_identity
from tests.images import astronaut, encoded, scene


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


class TestCommand:
    @pytest.fixture
    def images(self, tmp_path: Path) -> list[Path]:
        bodies = {
            "face.jpg": encoded(astronaut(), "JPEG"),
            "scene.png": encoded(scene(60, 80)),
            "broken.jpg": b"\xff\xd8\xff",
        }
        for name, body in bodies.items():
            (tmp_path / name).write_bytes(body)
        return [tmp_path / name for name in bodies]

    def run(self, monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
        monkeypatch.setattr("sys.argv", ["profiling.py", *map(str, words)])
        return profiling.main()

    def test_tells_of_each_image(
        self,
        images: list[Path],
        model_file: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        words = [*images, "--model", model_file, "--repeats", 2, "--threads", 1]
        assert self.run(monkeypatch, *words) == 0
        first, *reports = capsys.readouterr().out.split("\n\n")
        assert first == "1 threads; medians of 2 calls"
        heads = [part.splitlines()[0].split(": ", 1)[1] for part in reports]
        assert heads[:2] == ["512 x 512 pixels, faces: 1", "80 x 60 pixels, faces: 0"]
        assert heads[2].startswith("InvalidImage: the JPEG cannot be decoded")
        for part in reports:
            assert part.splitlines()[2].startswith("all  ")

    def test_tells_of_a_batch_and_its_operators(
        self,
        images: list[Path],
        model_file: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        words = [*images, "--model", model_file, "--repeats", 1, "--threads", 1]
        words += ["--together", "--ops", 1]
        assert self.run(monkeypatch, *words) == 0
        _, reports = capsys.readouterr().out.split("\n\n")
        lines = reports.splitlines()
        assert [line.split(",")[0] for line in lines[:3]] == [path.name for path in images]
        assert [line.split()[0] for line in lines].count("all") == 1
        assert any("aten::" in line for line in lines)

    def test_tells_what_the_peak_would_take(
        self,
        images: list[Path],
        model_file: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.setattr("bench.peak_flops.SIDE", 64)
        words = [images[0], "--model", model_file, "--repeats", 1, "--threads", 1, "--peak"]
        assert self.run(monkeypatch, *words) == 0
        first, reports = capsys.readouterr().out.split("\n\n")
        assert "billion a second in float32" in first
        lines = reports.splitlines()
        (head,) = (i for i, line in enumerate(lines) if "at peak, ms" in line)
        compared = [line.split()[0] for line in lines[head + 1 :]]
        # the stand-in model has none that counts
        assert compared == ["detect/propose", "detect/refine", "detect/decide"]

    def test_a_missing_image_is_reported(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert self.run(monkeypatch, tmp_path / "none.jpg") == 1
        assert capsys.readouterr().err == f"error: {tmp_path}/none.jpg: No such file or directory\n"


def test_the_worker_in_process_is_the_handler(model_file: Path) -> None:
    worker = in_process.Worker((model_file,), threads=1)
    face, none, broken = worker.contents(
        [encoded(astronaut(), "JPEG"), encoded(scene(40, 60)), b"%PDF"]
    )
    assert face["model"] == {
        "name": "age",
        "version": "1.0",
        "weights": weights_identity(model_file),
    }
    assert face["faces"][0]["box"] == pytest.approx([181, 62, 268, 172], abs=6)
    assert none["faces"] == []
    assert broken["code"] == 415
    assert torch.get_num_threads() == 1
