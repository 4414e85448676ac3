"""deploy/compose.yaml: what Compose takes, and who reaches what."""

import re
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy import keys
from tests.compose import COMPOSE, for_old_compose
from tests.torchserve import ROOT

FILE = yaml.safe_load(COMPOSE.read_text())
SERVICES: dict[str, Any] = FILE["services"]
DEPLOY = COMPOSE.parent


def test_compose_takes_it(tmp_path: Path) -> None:
    """Compose 2, or the last Compose 1 without the two keys that it does not know."""
    command = ["docker", "compose"]
    if (
        shutil.which("docker") is None
        or subprocess.run([*command, "version"], capture_output=True).returncode
    ):
        command = ["docker-compose"]
        if shutil.which("docker-compose") is None:
            pytest.skip("no Compose: apt install docker-compose")
    file = COMPOSE if len(command) == 2 else for_old_compose(tmp_path / "compose.yaml")
    command += ["--project-directory", str(DEPLOY), "-f", str(file)]
    for more in ([], ["-f", str(DEPLOY / "compose.gpu.yaml")]):
        done = subprocess.run([*command, *more, "config", "-q"], capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")


def test_what_is_published_and_where() -> None:
    """The proxy to everybody; Prometheus and Grafana to this machine; TorchServe to nobody."""
    published = {name: service.get("ports", []) for name, service in SERVICES.items()}
    assert published == {
        "proxy": ["${FACE_AGE_LISTEN:-443}:8443"],
        "face-age": [],
        "prometheus": ["127.0.0.1:${PROMETHEUS_LISTEN:-9090}:9090"],
        "grafana": ["127.0.0.1:${GRAFANA_LISTEN:-3000}:3000"],
    }


def test_metrics_are_in_the_network_of_the_scraper_alone() -> None:
    networks = {name: set(service["networks"]) for name, service in SERVICES.items()}
    assert {name for name, of in networks.items() if "scraping" in of} == {"face-age", "prometheus"}
    assert {name for name, of in networks.items() if "requests" in of} == {"face-age", "proxy"}
    (alias,) = SERVICES["face-age"]["networks"]["scraping"]["aliases"]
    # the address that this name has, and no other
    assert SERVICES["face-age"]["environment"] == {"TS_METRICS_ADDRESS": f"http://{alias}:8082"}
    scrapes = yaml.safe_load((DEPLOY / "compose" / "prometheus.yml").read_text())
    assert scrapes["scrape_configs"][0]["static_configs"] == [{"targets": [f"{alias}:8082"]}]
    assert FILE["networks"]["requests"] == FILE["networks"]["scraping"] == {"internal": True}


def test_each_waits_for_what_it_asks() -> None:
    waits = {
        name: {each: how["condition"] for each, how in service.get("depends_on", {}).items()}
        for name, service in SERVICES.items()
    }
    assert waits == {
        "proxy": {"face-age": "service_healthy"},
        "face-age": {},
        "prometheus": {"face-age": "service_healthy"},
        "grafana": {"prometheus": "service_healthy"},
    }


@pytest.mark.parametrize("name", SERVICES)
def test_each_has_no_more_rights_than_it_needs(name: str) -> None:
    assert SERVICES[name]["cap_drop"] == ["ALL"]
    assert SERVICES[name]["security_opt"] == ["no-new-privileges:true"]
    assert SERVICES[name].get("read_only", False) is (name != "grafana")


def test_the_proxy_has_its_time_to_stop() -> None:
    nginx = (DEPLOY / "nginx" / "nginx.conf").read_text()
    (seconds,) = re.findall(r"worker_shutdown_timeout (\d+)s;", nginx)
    assert int(SERVICES["proxy"]["stop_grace_period"].removesuffix("s")) >= int(seconds) + 5


def test_scrapes_are_those_of_prometheus_yml() -> None:
    """But for the address."""
    ours, theirs = (
        yaml.safe_load((DEPLOY / folder / "prometheus.yml").read_text())
        for folder in ("compose", "prometheus")
    )
    for each in (ours, theirs):
        del each["scrape_configs"][0]["static_configs"]
    assert ours == theirs


def test_every_mounted_file_is_there_or_made_by_secrets_sh() -> None:
    mounted = [
        volume.split(":")[0]
        for service in SERVICES.values()
        for volume in service.get("volumes", [])
    ]
    files = [each for each in mounted if each.startswith("./")]
    assert len(files) == 6
    for file in files:
        assert file == "./secrets/proxy" or (DEPLOY / file).exists(), file


def test_secrets_sh_makes_them(tmp_path: Path) -> None:
    for name in ("secrets.sh", "certificate.sh", "keys.py"):
        shutil.copy(DEPLOY / name, tmp_path)
    command = [tmp_path / "secrets.sh", "localhost"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "secrets"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {path.name for path in (folder / "proxy").iterdir()} == {
        "certificate.key",
        "certificate.pem",
        "keys",
    }
    for path in folder.rglob("*"):  # other users, in the containers, read them
        assert stat.S_IMODE(path.stat().st_mode) & 0o044 == 0o044, path
    (key,) = keys.read(folder / "proxy" / "keys")
    assert key.name == "first"
    assert re.fullmatch(r"key of the client first: [\w-]{43}\n", done.stdout)
    assert len((folder / "grafana-password").read_text().strip()) == 32
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.returncode == 1
    assert again.stderr == "error: deploy/secrets exists: remove it first to make all anew\n"


def test_secrets_are_in_no_repository_and_no_image() -> None:
    assert "/deploy/secrets/" in (ROOT / ".gitignore").read_text().splitlines()
    assert "!deploy" not in (ROOT / ".dockerignore").read_text()  # `*` leaves it out


def test_the_image_of_the_proxy_has_every_file_and_differs_in_addresses_alone() -> None:
    nginx = DEPLOY / "nginx"
    (line,) = re.findall(
        r"^COPY (.*) /etc/nginx/$", (nginx / "container/Dockerfile").read_text(), re.M
    )[:1]
    assert set(line.split()) == {p.name for p in nginx.iterdir() if p.is_file()} - {"site.conf"}

    def directives(file: Path) -> list[str]:
        lines = (line.split("#")[0].strip() for line in file.read_text().splitlines())
        return [" ".join(line.split()) for line in lines if line]

    replaced = {
        "server 127.0.0.1:8080;": "server face-age:8080;",
        "server 127.0.0.1:8081;": "server face-age:8083;",
        "server 127.0.0.1:7070;": "server face-age:7070;",
        "listen 443 ssl http2;": "listen 8443 ssl http2;",
        "access_log /var/log/nginx/access.log plain if=$logged;": (
            "access_log /dev/stdout plain if=$logged;"
        ),
        "error_log /var/log/nginx/error.log crit;": "error_log /dev/stderr crit;",
    }
    shipped = [each for each in directives(nginx / "site.conf") if "[::]" not in each]
    expected = [replaced.pop(each, each) for each in shipped]
    assert directives(nginx / "container" / "site.conf") == expected
    assert not replaced


def test_the_dashboard_finds_its_source() -> None:
    sources = yaml.safe_load((DEPLOY / "compose/grafana/datasource.yaml").read_text())
    (source,) = sources["datasources"]
    assert (source["type"], source["isDefault"]) == ("prometheus", True)
    assert source["url"] == "http://prometheus:9090"
    providers = yaml.safe_load((DEPLOY / "compose/grafana/dashboards.yaml").read_text())
    (provider,) = providers["providers"]
    assert f"./grafana:{provider['options']['path']}:ro" in SERVICES["grafana"]["volumes"]
