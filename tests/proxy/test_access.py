"""Who is let in, what is let through, and what is written down of it."""

import hashlib
import json
import os
import secrets
import socket
import ssl
import subprocess
import sys
import time
import warnings

import pytest

from deploy import keys
from face_age_client.errors import Refused
from face_age_client.rest import RestClient
from face_age_client.rpc import GrpcClient
from tests.proxy.proxy import Proxy
from tests.service.exchange import assert_same, expected, multipart, rest
from tests.service.test_rest import JPEG, TWO_FACES, as_json, base64_of
from tests.torchserve import await_logged

pytestmark = pytest.mark.service
BYTES = {"Content-Type": "application/octet-stream"}


@pytest.fixture(scope="module")
def wanted(model_file):
    return expected(model_file, JPEG)


@pytest.mark.parametrize("method", ["POST", "PUT"])
@pytest.mark.parametrize("kind", [None, "image/jpeg", "application/octet-stream"])
def test_raw_body(proxy: Proxy, key, wanted, method, kind):
    headers = {} if kind is None else {"Content-Type": kind}
    reply = proxy.ask(JPEG, headers, method=method, key=key)
    assert (reply.status, reply.type) == (200, "application/json")
    assert_same(reply.content, wanted)


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(as_json(data=base64_of(JPEG)), id="JSON"),
        pytest.param(multipart({"data": (JPEG, "image/jpeg")}), id="form"),
        pytest.param(multipart({"max_faces": (b"9", None), "data": (JPEG, None)}), id="fields"),
    ],
)
def test_other_bodies(proxy: Proxy, key, wanted, sent):
    reply = proxy.ask(*sent, key=key)
    assert reply.status == 200
    assert_same(reply.content, wanted)


def test_chunked_body(proxy: Proxy, key, wanted):
    parts = (JPEG[:999], JPEG[999:], b"")
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
    head = f"POST /predictions/age HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n"
    reply = proxy.raw(head.encode() + b"Transfer-Encoding: chunked\r\n\r\n" + chunks)
    assert reply.status == 200
    assert_same(reply.content, wanted)


def test_version(proxy: Proxy, key):
    reply = proxy.ask(JPEG, BYTES, "/predictions/age/2.0", key=key)
    model = reply.content["model"]
    assert (model["name"], model["version"]) == ("age", "2.0")


def test_options_pass(proxy: Proxy, key):
    least = {"min_confidence": "1", "max_faces": "1"}
    counts = {
        name: len(
            proxy.ask(TWO_FACES, {f"X-{name.replace('_', '-')}": value}, key=key).content["faces"]
        )
        for name, value in least.items()
    }
    assert counts == {"min_confidence": 0, "max_faces": 1}


def test_other_models(proxy: Proxy, key):
    """Any model that TorchServe has; no line of the proxy names one."""
    chosen = BYTES | {"X-Attributes": "tint", "X-Top-K": "1"}
    (face,) = proxy.ask(JPEG, chosen, "/predictions/faces", key=key).content["faces"]
    assert len(face["tint_scores"]) == 1
    assert "age" not in face
    of_image = proxy.ask(JPEG, BYTES, "/predictions/colour", key=key).content
    assert "faces" not in of_image
    address = f"https://127.0.0.1:{proxy.port}"
    with GrpcClient(address, model="colour", api_key=key, ca_file=proxy.certificate) as client:
        assert client.predict(JPEG).content == of_image


def test_the_service_s_own_failures_pass(proxy: Proxy, key):
    assert proxy.ask(b"%PDF-1.4", key=key).failure == (415, "UnsupportedImageFormat")
    assert proxy.ask(JPEG[:5000], key=key).failure == (400, "InvalidImage")
    unknown = proxy.ask(JPEG, BYTES, "/predictions/mood", key=key)
    assert unknown.failure == (404, "ModelNotFoundException")


def test_explanations(proxy: Proxy, key):
    reply = proxy.ask(JPEG, BYTES, "/explanations/age", key=key)
    assert "age_explanation" in reply.content["faces"][0]
    assert proxy.ask(JPEG, BYTES, "/explanations/age").failure == (401, "Unauthorized")


def test_health_needs_no_key(proxy: Proxy):
    reply = proxy.ask(path="/ping", method="GET")
    assert (reply.status, reply.content) == (200, {"status": "Healthy"})


def test_through_the_client(proxy: Proxy, key, wanted):
    client = RestClient(proxy.url, api_key=key, ca_file=proxy.certificate)
    assert_same(client.predict(JPEG).content, wanted)
    client.close()


@pytest.mark.parametrize("words", [[], ["--grpc"]], ids=["REST", "gRPC"])
def test_through_the_script(proxy: Proxy, key, tmp_path, words):
    image = tmp_path / "a.jpg"
    image.write_bytes(JPEG)
    words = [*words, "--url", proxy.url, "--certificates", proxy.certificate, image]
    done = [
        subprocess.run(
            [sys.executable, "-m", "commands.predict", *words],
            env=os.environ | {"FACE_AGE_KEY": secret},
            capture_output=True,
            text=True,
            check=False,
        )
        for secret in (key, "x" * 43)
    ]
    assert (done[0].returncode, done[0].stderr) == (0, "")
    assert done[0].stdout.startswith(f"{image}: 1 face: ")
    assert (done[1].returncode, done[1].stdout) == (1, "")
    assert "send a valid key" in done[1].stderr


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        f"Bearer {'k' * 43}",  # as long as a key
        "Bearer {key}x",
        "Bearer  {key}",
        "Basic {key}",
        "{key}",
        "Bearer {hash}",
    ],
)
def test_without_a_valid_key(proxy: Proxy, key, authorization):
    headers = dict(BYTES)
    if authorization is not None:
        sha256 = hashlib.sha256(key.encode()).hexdigest()
        headers["Authorization"] = authorization.format(key=key, hash=sha256)
    reply = proxy.ask(JPEG, headers)
    assert reply.failure == (401, "Unauthorized")
    assert reply.authenticate == "Bearer"
    assert reply.retry_after is None


def test_key_of_a_query_string_is_refused_and_not_logged(proxy: Proxy, key):
    path = f"/predictions/age?key={key}"
    assert proxy.ask(JPEG, BYTES, path).failure == (401, "Unauthorized")
    assert proxy.ask(JPEG, BYTES, path, key=key).failure == (400, "InvalidOption")
    assert key not in proxy.logs()


def test_revoked_key_ends_with_the_next_request(proxy: Proxy, wanted):
    """On a connection that stays open, and nobody else's."""
    first, second = proxy.new_key(), proxy.new_key()
    clients = [
        RestClient(proxy.url, api_key=key, ca_file=proxy.certificate) for key in (first, second)
    ]
    try:
        for client in clients:
            assert_same(client.predict(JPEG).content, wanted)
        sha256 = hashlib.sha256(first.encode()).hexdigest()
        (name,) = (key.name for key in keys.read(proxy.keys) if key.sha256 == sha256)
        keys.revoke(proxy.keys, name)
        with pytest.raises(Refused) as refused:
            clients[0].predict(JPEG)
        assert (refused.value.code, refused.value.type) == (401, "Unauthorized")
        assert_same(clients[1].predict(JPEG).content, wanted)
    finally:
        for client in clients:
            client.close()


def test_without_a_file_of_keys_nobody_gets_in(proxy: Proxy, key):
    away = proxy.keys.with_name("away")
    proxy.keys.rename(away)
    try:
        assert proxy.ask(JPEG, BYTES, key=key).failure == (401, "Unauthorized")
    finally:
        away.rename(proxy.keys)
    await_logged(proxy.folder / "error.log", "the keys cannot be read")
    assert proxy.ask(JPEG, BYTES, key=key).status == 200


CLOSED = [
    ("GET", "/"),
    ("OPTIONS", "/"),
    ("GET", "/models"),
    ("POST", "/models"),
    ("GET", "/models/age"),
    ("DELETE", "/models/age"),
    ("PUT", "/models/age/1.0/set-default"),
    ("GET", "/metrics"),
    ("GET", "/token"),
    ("GET", "/api-description"),
    ("GET", "/v1/models"),
    ("POST", "/v1/models/age:explain"),
    ("POST", "/v1/models/age:predict/x"),
    ("POST", "/v2/models/age/explain"),
    ("POST", "/v2/models/age/infer/x"),
    ("POST", "/v2/repository/index"),
    ("POST", "/invocations"),
    ("POST", "/predictions"),
    ("POST", "/predictions/"),
    ("POST", "/predictions/age/1.0/more"),
    ("POST", "/predictions/../models"),
    ("POST", "/predictions/%2e%2e/models"),
    ("POST", "/predictions/..%2fmodels"),
    ("POST", "/predictions/age;x"),
    ("POST", "/predictions/age%0d%0aX:y"),
    ("POST", "/predictions/age%0a"),
    ("POST", "/predictions/age/1.0%0a"),
    ("POST", "//models"),
    ("POST", "/wf-predict/age"),
    ("GET", "/failure/16/401"),
    ("GET", "/failure"),
    ("GET", "/ping/models"),
]


@pytest.mark.parametrize(("method", "path"), CLOSED)
def test_nothing_else_goes_through(proxy: Proxy, key, method, path):
    reply = proxy.ask(b"" if method in ("POST", "PUT") else None, BYTES, path, method, key)
    assert reply.failure == (404, "NotFound")


@pytest.mark.parametrize("api", ["management", "metrics"])
def test_other_apis_cannot_be_reached_by_address(proxy: Proxy, key, api):
    """An absolute address, and a Host: both are TorchServe's own for its other ports."""
    address = getattr(proxy.service, api)
    host = address.removeprefix("http://")
    path = {"management": "/models", "metrics": "/metrics"}[api]
    end = f"Host: {host}\r\nAuthorization: Bearer {key}\r\n\r\n"
    for target in (address + path, path):
        reply = proxy.raw(f"GET {target} HTTP/1.1\r\n{end}".encode())
        assert reply.failure == (404, "NotFound")
    connect = proxy.raw(f"CONNECT {host} HTTP/1.1\r\n{end}".encode())
    assert connect.failure == (400, "InvalidRequest")


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "OPTIONS", "PATCH"])
def test_methods(proxy: Proxy, key, method):
    reply = proxy.ask(None, {}, "/predictions/age", method, key)
    assert reply.status == 405
    if method != "HEAD":
        assert reply.failure == (405, "MethodNotAllowed")


@pytest.mark.parametrize(
    "kind",
    [
        "application/x-www-form-urlencoded",
        "Application/X-WWW-Form-URLencoded",
        "application/x-www-form-urlencoded; charset=utf-8",
        " application/x-www-form-urlencoded",
    ],
)
def test_form_encoded_body_is_refused_before_torchserve_quotes_it(proxy: Proxy, key, kind):
    logs = proxy.service.logs
    answered, kept_out = (f"image-{secrets.token_hex(8)}" for _ in range(2))
    body = f"a=%zz{kept_out}".encode()
    assert proxy.ask(body, {"Content-Type": kind}, key=key).failure == (415, "UnsupportedMediaType")
    # Two types: TorchServe must not go by the one that the proxy does not look at.
    for types in (("image/jpeg", kind), (kind, "image/jpeg")):
        lines = [f"Authorization: Bearer {key}", f"Content-Length: {len(body)}"]
        lines += [f"Content-Type: {one}" for one in types]
        head = "\r\n".join(["POST /predictions/age HTTP/1.1", "Host: x", *lines, "", ""])
        assert proxy.raw(head.encode() + body).failure[0] == 415
    # Without the proxy TorchServe quotes it, and log4j2.xml alone keeps it out of the log.
    faults = (logs / "ts_log.log").read_text().count("ErrorDataDecoderException")
    reply = rest(proxy.service, f"a=%zz{answered}".encode(), {"Content-Type": kind})
    assert reply.status == 500
    assert answered.encode() in reply.body
    until = time.monotonic() + 10
    while (logs / "ts_log.log").read_text().count("ErrorDataDecoderException") == faults:
        assert time.monotonic() < until
        time.sleep(0.1)
    for secret in (answered.encode(), kept_out.encode()):
        assert not [log for log in logs.glob("*.log") if secret in log.read_bytes()]


def test_plain_http_is_refused(proxy: Proxy):
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as connection:
        connection.sendall(b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n")
        head, _, body = connection.makefile("rb").read().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert json.loads(body)["type"] == "InvalidRequest"


@pytest.mark.parametrize("version", ["TLSv1", "TLSv1_1"])
def test_old_tls_is_refused(proxy: Proxy, version):
    context = proxy.trust()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        context.maximum_version = ssl.TLSVersion[version]
    context.set_ciphers("ALL:@SECLEVEL=0")
    with (
        socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as plain,
        pytest.raises(ssl.SSLError, match=r"PROTOCOL_VERSION|protocol version"),
    ):
        context.wrap_socket(plain, server_hostname="127.0.0.1")


def test_what_is_written_down(proxy: Proxy, key):
    proxy.ask(JPEG, BYTES, key=key)
    proxy.ask(JPEG, BYTES, f"/predictions/age?{key}", "PUT", key)
    last = f"/models/{secrets.token_hex(8)}"
    proxy.ask(JPEG, BYTES, last)
    lines = await_logged(proxy.folder / "access.log", last).splitlines()[-3:]
    (name,) = {line.split(" key=")[1].split()[0] for line in lines[:2]}
    assert name in [key.name for key in keys.read(proxy.keys)]
    for line, given, asked in zip(
        lines,
        (name, name, ""),
        (
            '"POST /predictions/age HTTP/1.1" 200',
            '"PUT /predictions/age" 400',
            f'"POST {last} HTTP/1.1" 404',
        ),
        strict=True,
    ):
        assert f" 127.0.0.1 key={given} id=" in line
        assert f" {asked} " in line
    assert key not in proxy.logs()
