"""commands/drift.py with a real Prometheus whose data were made: a day, on which it got darker."""

import http.server
import re
import subprocess
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bench.torchserve import free_ports
from commands import drift
from commands.drift import drifting
from commands.prometheus import Prometheus
from server.errors import CommandError
from tests.prometheus import running

START = datetime(2026, 1, 31, tzinfo=UTC)
END = START + timedelta(hours=20)
NOON, STOP, AGAIN = 12, 15, 16  # hours: it gets darker; the service is away
BINS = {"to_0.4": (0.25, 0.7), "to_0.6": (0.5, 0.2), "above_0.6": (0.25, 0.1)}
pytestmark = pytest.mark.usefixtures("promtool")


def made() -> Iterator[str]:
    """Values each five minutes, in OpenMetrics."""
    for minute in range(0, 20 * 60, 5):
        hour = minute / 60
        if STOP <= hour < AGAIN:
            continue
        time = int((START + timedelta(minutes=minute)).timestamp())
        yield f'face_age_model_info{{model="age",version="1.0",weights="abc"}} 1 {time}'
        yield f'face_age_model_info{{model="other",version="1.0",weights="abc"}} 1 {time}'
        for host in ("a", "b"):
            labels = f'model="age",version="1.0",Hostname="{host}"'
            for name, value in {"brightness": 2.0 if hour >= NOON else 0.05, "age": 0.04}.items():
                property_ = f'{labels},property="{name}"'
                yield f"face_age_stability_index{{{property_}}} {value} {time}"
            for label, (reference, window) in BINS.items():
                bin_ = f'{labels},property="brightness",bin="{label}"'
                yield f"face_age_reference_ratio{{{bin_}}} {reference} {time}"
                yield f"face_age_window_ratio{{{bin_}}} {window} {time}"


@pytest.fixture(scope="module")
def prometheus(promtool: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("prometheus")
    # one metric's lines stand together
    (folder / "made").write_text("\n".join([*sorted(made()), "# EOF", ""]))
    command = ["promtool", "tsdb", "create-blocks-from", "openmetrics", "made", "data"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    with running(folder, {"scrape_configs": []}) as url:
        yield url


def test_what_prometheus_has(prometheus: str) -> None:
    (found,) = drifting(Prometheus(prometheus), START, END, None)
    assert (found.model, found.version) == ("age", "1.0")
    assert found.bins == {"brightness": BINS}
    brightness, age = found.indices["brightness"], found.indices["age"]
    assert set(age.values) == {0.04}
    noon = (START + timedelta(hours=NOON)).timestamp()
    before = [v for t, v in zip(brightness.times, brightness.values, strict=True) if t < noon]
    assert len(before) > 100
    assert set(before) == {0.05}
    assert (brightness.values[-1], brightness.times[-1]) == (2.0, END.timestamp())
    away = [START + timedelta(hours=hour, minutes=6) for hour in (STOP, AGAIN - 0.2)]
    low, high = (each.timestamp() for each in away)
    assert [time for time in brightness.times if low < time < high] == []


def run(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr("sys.argv", ["drift", *map(str, words)])
    return drift.main()


def between(start: datetime, end: datetime) -> list[str]:
    return ["--from", start.isoformat(), "--to", end.isoformat()]


def test_the_page_stands_alone(
    prometheus: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    page = tmp_path / "drift.html"
    words = ["--prometheus", prometheus, *between(START, END), "--model", "age"]
    assert run(monkeypatch, *words, "--out", page) == 0
    assert capsys.readouterr().out == f"{page}: age 1.0\n"
    text = page.read_text()
    assert "<title>Drift from 2026-01-31 00:00 to 2026-01-31 20:00 UTC</title>" in text
    rows = re.findall(r"<tr><th scope=\"row\">(.*?)</th>(.*?)</tr>", text)
    assert [name for name, _ in rows] == ["brightness", "age"]
    assert rows[0][1].startswith("<td>2.00</td><td>has moved</td><td>2.00</td>")
    assert rows[1][1].startswith("<td>0.04</td><td>has not moved</td><td>0.04</td>")
    assert len(re.findall(r'<img src="data:image/png;base64,', text)) == 2
    assert not re.search(r"(src|href)=\"(?!data:|#)", text)
    assert "<script" not in text


EARLIER = START - timedelta(days=9)
REFUSED = {
    "nothing then": (
        between(EARLIER, EARLIER + timedelta(days=1)),
        "Prometheus has nothing of this service from 2026-01-22 00:00 to 2026-01-23 00:00 UTC: "
        "give other times by --from and --to, or let it scrape port 8082 (docs/metrics.md)",
    ),
    "no such model": (
        [*between(START, END), "--model", "birds"],
        "there is no index of birds then, but of: age",
    ),
    "no time at all": (between(END, START), "--from is not before --to"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_there_is_said_in_a_line(
    name: str,
    prometheus: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words, line = REFUSED[name]
    page = tmp_path / "drift.html"
    assert run(monkeypatch, "--prometheus", prometheus, *words, "--out", page) == 1
    assert capsys.readouterr() == ("", f"error: {line}\n")
    assert not page.exists()


def test_a_service_without_a_reference(prometheus: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drift, "METRIC", "face_age_no_index")
    with pytest.raises(CommandError, match=r"its models need a reference \(face-age reference\)"):
        drifting(Prometheus(prometheus), START, END, None)


def test_no_prometheus_there(
    prometheus: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (port,) = free_ports(1)
    nobody = Prometheus(f"http://127.0.0.1:{port}")
    with pytest.raises(
        CommandError, match=r"does not answer .*refused.*: give Prometheus' address"
    ):
        nobody.at("up", 0)
    with pytest.raises(CommandError, match=r"answered 404: give Prometheus' address"):
        Prometheus(f"{prometheus}/elsewhere").at("up", 0)
    with pytest.raises(CommandError, match=r"answered 400 \(.*parse error.*\): give"):
        Prometheus(prometheus).at("up{", 0)


class Greeting(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"<html>hello</html>")

    def log_message(self, *_: object) -> None:
        pass


def test_another_server_there() -> None:
    with http.server.HTTPServer(("127.0.0.1", 0), Greeting) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            other = Prometheus(f"http://127.0.0.1:{server.server_port}")
            with pytest.raises(CommandError, match="is no Prometheus: give Prometheus' address"):
                other.at("up", 0)
        finally:
            server.shutdown()
