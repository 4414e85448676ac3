"""deploy/prometheus and deploy/grafana with a real Prometheus that scrapes a real TorchServe."""

import io
import json
import re
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from commands import drift
from commands.prometheus import Prometheus as Client
from scripts import dashboard_picture
from server.errors import CommandError
from tests.images import encoded, scene
from tests.prometheus import running
from tests.service.exchange import rest
from tests.service.test_rest import JPEG, TWO_FACES
from tests.torchserve import ROOT, Service

PROMETHEUS = ROOT / "deploy" / "prometheus"
RULES = yaml.safe_load((PROMETHEUS / "rules.yml").read_text())["groups"]
PANELS = json.loads((ROOT / "deploy" / "grafana" / "face-age.json").read_text())["panels"]
QUERIES = {
    f"{panel['title']}, {target['legendFormat']}": target["expr"]
    for panel in PANELS
    for target in panel["targets"]
}
SECONDS = 60  # until there must be data
pytestmark = pytest.mark.usefixtures("promtool")


@dataclass(frozen=True)
class Prometheus:
    """One that runs."""

    url: str

    def ask(self, path: str, **words: str) -> Any:
        address = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(words)}"
        with urllib.request.urlopen(address) as answer:
            return json.load(answer)["data"]

    def query(self, expression: str) -> list[Any]:
        found: list[Any] = self.ask("query", query=expression)["result"]
        return found


@pytest.fixture(scope="module")
def prometheus(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """It has scraped a service that had some traffic, with the rules of deploy/."""
    folder = tmp_path_factory.mktemp("prometheus")
    config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(PROMETHEUS / "rules.yml")]
    target = urllib.parse.urlsplit(service.metrics).netloc
    config["scrape_configs"][0]["static_configs"] = [{"targets": [target]}]
    with running(folder, config) as url:
        started = Prometheus(url)
        deadline = time.monotonic() + 3 * SECONDS
        while not _has_data(started):
            assert time.monotonic() < deadline, (folder / "log").read_text()
            for body in (JPEG, TWO_FACES, encoded(scene(90, 160)), b"%PDF-1.7"):
                rest(service, body)
        yield started


def _has_data(prometheus: Prometheus) -> bool:
    rates = prometheus.query('rate(face_age_images_total{model="age"}[5m]) > 0')
    if len(rates) < 2:  # answered, and UnsupportedImageFormat
        return False
    # each worker of two needs `handler.drift.ENOUGH` images with a face
    return bool(prometheus.query('face_age_window_ratio{model="age"}'))


@pytest.mark.parametrize(
    "words", [("check", "rules", "rules.yml"), ("check", "config", "prometheus.yml")]
)
def test_promtool_takes_the_files(words: tuple[str, ...]) -> None:
    subprocess.run(["promtool", *words], cwd=PROMETHEUS, check=True, capture_output=True)


def test_the_alerts_come_when_they_should() -> None:
    done = subprocess.run(
        ["promtool", "test", "rules", "rules_test.yml"],
        cwd=PROMETHEUS,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_tested_and_has_its_entry() -> None:
    alerts = {rule["alert"] for group in RULES for rule in group["rules"] if "alert" in rule}
    tested = (PROMETHEUS / "rules_test.yml").read_text()
    assert set(re.findall(r"alertname: (\w+)", tested)) == alerts
    page = (ROOT / "docs" / "metrics.md").read_text()
    assert set(re.findall(r"^\| `(FaceAge\w+)`", page, re.MULTILINE)) == alerts


def test_the_service_is_scraped(prometheus: Prometheus) -> None:
    assert [found["value"][1] for found in prometheus.query('up{job="face-age"}')] == ["1"]


@pytest.mark.parametrize(
    "record", [rule["record"] for group in RULES for rule in group["rules"] if "record" in rule]
)
def test_every_rule_gives_a_value(prometheus: Prometheus, record: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not (found := prometheus.query(record)):
        assert time.monotonic() < deadline
        time.sleep(0.5)
    assert 0 <= float(found[0]["value"][1]) <= 1


def test_no_alert_fires_but_those_of_this_machine_s_speed(prometheus: Prometheus) -> None:
    alerts = {
        alert["labels"]["alertname"]
        for alert in prometheus.ask("alerts")["alerts"]
        if alert["state"] == "firing"
    }
    assert alerts <= {"FaceAgeSlow", "FaceAgeQueue", "FaceAgeErrorsFast", "FaceAgeErrorsSlow"}


@pytest.mark.parametrize("name", QUERIES)
def test_every_query_of_the_dashboard_gives_data(prometheus: Prometheus, name: str) -> None:
    expression = QUERIES[name].replace("$model", "age").replace("$__rate_interval", "5m")
    assert "$" not in expression
    found = prometheus.query(expression)
    assert found
    for each in found:
        assert float(each["value"][1]) >= 0  # and not NaN


def test_the_questions_of_the_documentation_have_answers(prometheus: Prometheus) -> None:
    page = (ROOT / "docs" / "metrics.md").read_text().partition("## Questions")[2]
    queries = re.findall(r"^\| [^|`]+ \| `(.+)` \|$", page.partition("\n## ")[0], re.MULTILINE)
    assert len(queries) > 5
    for query in queries:
        assert prometheus.query(query), query


def test_a_page_shows_the_drift(
    prometheus: Prometheus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "drift.html"
    words = ["--prometheus", prometheus.url, "--from", "10m", "--out", str(page)]
    monkeypatch.setattr("sys.argv", ["drift", *words])
    assert drift.main() == 0
    text = page.read_text()
    assert '<th scope="row">brightness</th>' in text
    assert text.count("<img") == 2  # the index over time, and the bins

    (reference,) = prometheus.query('face_age_reference_ratio{model="age",bin="to_0.4"}')
    assert float(reference["value"][1]) == 0.25
    bins = prometheus.query('face_age_window_ratio{model="age"}')
    assert {each["metric"]["bin"] for each in bins} == {"to_0.4", "to_0.6", "above_0.6"}


def test_a_picture_shows_every_panel(prometheus: Prometheus) -> None:
    now = datetime.now(UTC)
    client = Client(prometheus.url)
    found = dashboard_picture.drawn(client, now - timedelta(minutes=10), now)
    width, height = Image.open(io.BytesIO(found)).size
    assert (width, height) == (1560, 1872)
    with pytest.raises(CommandError, match="nothing for the panel Images a second"):
        dashboard_picture.drawn(client, now - timedelta(days=9), now - timedelta(days=8))


def test_files_are_those_of_the_repository() -> None:
    """What the documentation and the container's users mount."""
    assert {path.name for path in PROMETHEUS.iterdir()} == {
        "prometheus.yml",
        "rules.yml",
        "rules_test.yml",
    }
    assert Path(ROOT / "metrics.yaml").is_file()
