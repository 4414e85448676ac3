"""The real nginx with the shipped configuration, but for addresses and folders in site.conf."""

import contextlib
import http.client
import itertools
import os
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from deploy import keys
from tests.service.exchange import Reply
from tests.torchserve import ROOT, Service, free_ports

UNCHANGED = [
    *("nginx.conf", "api.conf", "rest.conf", "grpc.conf", "health.conf", "bare.conf"),
    *("requests.js", "messages.js", "models.js", "openapi.json"),
    *("failures.lua", "keys.lua", "logs.lua", "fair_share.lua", "rollout.lua", "watched_file.lua"),
]
TEMPORARY = "".join(
    f"{kind}_temp_path {kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
)
_names = itertools.count()


@dataclass(frozen=True)
class Proxy:
    """An nginx that runs."""

    folder: Path
    port: int
    service: Service  # what it stands in front of

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def certificate(self) -> Path:
        return self.folder / "certificate.pem"

    @property
    def keys(self) -> Path:
        return self.folder / "keys"

    @property
    def plan(self) -> Path:
        return self.folder / "rollout"

    @property
    def pid_file(self) -> Path:
        return self.folder / "nginx.pid"

    def new_key(self) -> str:
        """A key that nobody has used: what it may ask is untouched."""
        return keys.add(self.keys, f"test-{next(_names)}")

    def quick_key(self, image: bytes) -> str:
        """A key that is known for images that take no time, and so may fill batches."""
        key = self.new_key()
        assert self.ask(image, key=key).status == 200
        return key

    def trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.certificate))

    def connect(self, context: ssl.SSLContext | None = None) -> ssl.SSLSocket:
        """A connection over TLS; HTTP/1.1 is spoken on it, or what `context` offers."""
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=60)
        return (context or self.trust()).wrap_socket(plain, server_hostname="127.0.0.1")

    def ask(
        self,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        path: str = "/predictions/age",
        method: str = "POST",
        key: str | None = None,
    ) -> "ProxyReply":
        """One request on a connection of its own."""
        connection = http.client.HTTPSConnection(
            "127.0.0.1", self.port, timeout=60, context=self.trust()
        )
        sent = dict(headers or {})
        if key is not None:
            sent["Authorization"] = f"Bearer {key}"
        try:
            # A refusal comes while the body is still being sent.
            with contextlib.suppress(ConnectionError, ssl.SSLEOFError):
                connection.request(method, path, body, sent)
            return reply_of(connection.getresponse())
        finally:
            connection.close()

    def raw(self, request: bytes) -> "ProxyReply":
        """What the bytes of a request that no client would send are answered with."""
        with self.connect() as connection:
            connection.sendall(request)
            response = http.client.HTTPResponse(connection)
            response.begin()
            return reply_of(response)

    def logs(self) -> str:
        """All that nginx wrote."""
        return "".join((self.folder / name).read_text() for name in ("access.log", "error.log"))

    def workers(self) -> list[int]:
        """The processes of nginx but for the first."""
        master = self.pid_file.read_text().strip()
        children = Path(f"/proc/{master}/task/{master}/children").read_text()
        return [int(pid) for pid in children.split()]


@dataclass(frozen=True)
class ProxyReply(Reply):
    """A response with the headers that the proxy is there for."""

    retry_after: str | None = None
    authenticate: str | None = None

    @property
    def failure(self) -> tuple[int, str]:
        """Status and type of a failure; its body must be whole."""
        assert self.type == "application/json"
        assert self.content.keys() - {"error"} == {"code", "type", "message"}
        assert self.content.get("error") in (None, self.content["message"])  # of /v1 and /v2
        assert self.content["message"]
        assert self.content["code"] == self.status
        return self.status, self.content["type"]


def reply_of(response: http.client.HTTPResponse) -> ProxyReply:
    return ProxyReply(
        response.status,
        response.getheader("Content-Type"),
        response.read(),
        response.getheader("Inference-Header-Content-Length"),
        response.getheader("Retry-After"),
        response.getheader("WWW-Authenticate"),
    )


@contextlib.contextmanager
def proxied(
    service: Service,
    more: str = "",
    changes: Mapping[str, str] | None = None,
    site_changes: Mapping[str, str] | None = None,
) -> Iterator[Proxy]:
    """nginx in front of `service`; `more` are directives of the test's own.

    `changes`: what stands in nginx.conf, and what stands there instead; `site_changes`: the same of
    site.conf.
    """
    (port,) = free_ports(1)
    # Not pytest's folder: nginx's workers are another user, who may not look into it.
    with tempfile.TemporaryDirectory(prefix="proxy-", dir="/tmp") as name:
        proxy = Proxy(Path(name), port, service)
        proxy.folder.chmod(0o755)
        for file in UNCHANGED:
            shutil.copy(ROOT / "deploy" / "nginx" / file, proxy.folder)
        for shipped, own in (changes or {}).items():
            text = (proxy.folder / "nginx.conf").read_text()
            assert text.count(shipped) == 1, shipped
            (proxy.folder / "nginx.conf").write_text(text.replace(shipped, own))
        (proxy.folder / "site.conf").write_text(TEMPORARY + site(proxy, more, site_changes or {}))
        certificate = [ROOT / "deploy" / "certificate.sh", name, "localhost", "127.0.0.1"]
        subprocess.run(certificate, check=True)
        nginx = ["nginx", "-p", name, "-c", "nginx.conf", "-e", "error.log"]
        started = subprocess.run(
            [*nginx, "-g", f"pid {proxy.pid_file};"], capture_output=True, text=True, check=False
        )
        assert started.returncode == 0, started.stderr
        pid = int(proxy.pid_file.read_text())
        try:
            yield proxy
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
            await_end(pid)


def site(proxy: Proxy, more: str, changes: Mapping[str, str]) -> str:
    """The shipped site.conf with other addresses and folders, and `more` in its server."""
    text = (ROOT / "deploy" / "nginx" / "site.conf").read_text()
    management = urlsplit(proxy.service.management).netloc or "127.0.0.1:1"  # nobody
    for shipped, own in {
        "server 127.0.0.1:8080;": f"server {urlsplit(proxy.service.rest).netloc};",
        "server 127.0.0.1:8081;": f"server {management};",
        "server 127.0.0.1:7070;": f"server {proxy.service.grpc};",
        "listen 443 ssl http2;": f"listen 127.0.0.1:{proxy.port} ssl http2;",
        "listen [::]:443 ssl http2;": "",
        "/etc/face-age/keys": str(proxy.keys),
        "/etc/face-age/rollout": str(proxy.plan),
        "/etc/face-age/certificate.pem": str(proxy.certificate),
        "/etc/face-age/certificate.key": str(proxy.certificate.with_suffix(".key")),
        "/var/log/nginx/access.log": str(proxy.folder / "access.log"),
        "/var/log/nginx/error.log": str(proxy.folder / "error.log"),
        "include api.conf;": f"{more} include api.conf;",
        **changes,
    }.items():
        assert text.count(shipped) == 1, shipped
        text = text.replace(shipped, own)
    return text


def await_end(pid: int) -> None:
    """Return when a process is gone."""
    until = time.monotonic() + 30
    while Path(f"/proc/{pid}/exe").exists():  # a zombie has none
        assert time.monotonic() < until
        time.sleep(0.05)
