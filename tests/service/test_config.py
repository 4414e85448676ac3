"""config.properties as TorchServe takes it: who gets in, and how much of it."""

import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

import grpc
import psutil
import pytest

from face_age_client.inference_pb2 import PredictionsRequest
from tests.service.exchange import Reply, rest
from tests.service.test_rest import JPEG, as_json
from tests.service.traces import processes
from tests.torchserve import FEW_WORKERS, ROOT, Service, running

MANAGEMENT = "/org.pytorch.serve.grpc.management.ManagementAPIsService"
INFERENCE = "/org.pytorch.serve.grpc.inference.InferenceAPIsService"
ELSEWHERE = ["http://127.0.0.1:9/other.mar", "https://example.org/other.mar"]


@pytest.fixture(scope="module")
def properties() -> dict[str, str]:
    """The file's keys and values."""
    lines = (ROOT / "config.properties").read_text().splitlines()
    pairs = (line.split("=", 1) for line in lines if line and not line.startswith("#"))
    return dict(pairs)


def managed(service: Service, method: str, path: str) -> Reply:
    """What the management API answers."""
    connection = http.client.HTTPConnection(urlsplit(service.management).netloc, timeout=60)
    try:
        connection.request(method, path, headers={"Content-Length": "0"})
        response = connection.getresponse()
        return Reply(response.status, response.getheader("content-type"), response.read())
    finally:
        connection.close()


def register(service: Service, url: str) -> Reply:
    return managed(service, "POST", f"/models?model_name=other&url={quote(url, safe='')}")


def names(service: Service) -> set[str]:
    listed = managed(service, "GET", "/models").content["models"]
    return {model["modelName"] for model in listed}


def folder_of(service: Service) -> Path:
    return Path(json.loads((service.logs.parent / "state.json").read_text())["folder"])


def test_every_address_is_this_machine_s(properties: dict[str, str]) -> None:
    """As the file stands; the tests' own ports differ, but not their addresses."""
    addresses = {key: value for key, value in properties.items() if key.endswith("_address")}
    assert addresses == {
        "inference_address": "http://127.0.0.1:8080",
        "management_address": "http://127.0.0.1:8081",
        "metrics_address": "http://127.0.0.1:8082",
        "grpc_inference_address": "127.0.0.1",
        "grpc_management_address": "127.0.0.1",
    }


def test_nothing_listens_beyond_this_machine(service: Service) -> None:
    """Five ports, of Java's; workers are asked through sockets in a folder of the user's own."""
    listening = {
        (psutil.Process(pid).name(), *connection.laddr)
        for pid in processes(str(folder_of(service)))
        for connection in psutil.Process(pid).net_connections("inet")
        if connection.status in (psutil.CONN_LISTEN, psutil.CONN_NONE)
    }
    addresses = (service.rest, service.management, service.metrics)
    ports = [urlsplit(address).port for address in addresses]
    ports += [int(a.rpartition(":")[2]) for a in (service.grpc, service.grpc_management)]
    assert {(name, address.removeprefix("::ffff:"), port) for name, address, port in listening} == {
        ("java", "127.0.0.1", port) for port in ports
    }
    assert folder_of(service).stat().st_mode & 0o777 == 0o700


def test_registration_is_off(service: Service, model_store: Path) -> None:
    for url in ("age.mar", f"file://{model_store}/age.mar", *ELSEWHERE):
        assert register(service, url).status == 405
    assert managed(service, "DELETE", "/models/age/2.0").status == 405
    assert names(service) == {"age", "colour", "faces"}


@pytest.mark.parametrize("call", ["RegisterModel", "UnregisterModel"])
def test_registration_is_off_over_grpc(service: Service, call: str) -> None:
    field = {"RegisterModel": 9, "UnregisterModel": 1}[call]  # url, model_name
    name = {"RegisterModel": b"age.mar", "UnregisterModel": b"age"}[call]
    message = bytes([field << 3 | 2, len(name)]) + name
    with (
        grpc.insecure_channel(service.grpc_management) as channel,
        pytest.raises(grpc.RpcError) as error,
    ):
        channel.unary_unary(f"{MANAGEMENT}/{call}")(message, timeout=60)
    assert error.value.code() in (grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNIMPLEMENTED)
    assert names(service) == {"age", "colour", "faces"}


@pytest.fixture(scope="module")
def opened(
    model_store: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Service, Path]]:
    """TorchServe with the model API turned on, and its model store."""
    store = tmp_path_factory.mktemp("opened") / "model_store"
    store.mkdir()
    (store / "age.mar").hardlink_to(model_store / "age.mar")
    state = tmp_path_factory.mktemp("state")
    config = store.parent / "config.properties"
    shipped = (ROOT / "config.properties").read_text()
    config.write_text(shipped.replace("enable_model_api=false", "enable_model_api=true"))
    with running(store, state, "--config", str(config), environ=FEW_WORKERS) as service:
        yield service, store


def test_urls_are_those_of_a_model_store(opened: tuple[Service, Path], tmp_path: Path) -> None:
    """Also where somebody turns the model API on."""
    service, store = opened
    beside = tmp_path / "other.mar"
    beside.hardlink_to(store / "age.mar")
    for url in (
        *ELSEWHERE,
        f"file://{beside}",
        f"file://{store}/../other.mar",
        f"file://{store}/more/age.mar",
        f"file://{store}/age.mar?x",
        "file:///etc/passwd",
        "file://example.org/model_store/age.mar",
    ):
        reply = register(service, url)
        assert (reply.status, reply.content["type"]) == (404, "ModelNotFoundException"), url
    for url in ("s3://bucket/other.mar", "../other.mar", str(beside)):
        assert register(service, url).status in (400, 404), url  # not in the store
    assert names(service) == {"age"}
    assert [file.name for file in store.iterdir()] == ["age.mar"]
    # The store's own are allowed: it is there already, which is another failure.
    allowed = register(service, f"file://{store}/age.mar")
    assert allowed.content["type"] != "ModelNotFoundException"


def test_a_request_is_bounded(service: Service, properties: dict[str, str]) -> None:
    largest = int(properties["max_request_size"])
    padded = JPEG + bytes(largest - len(JPEG))
    assert rest(service, padded, {"Content-Type": "image/jpeg"}).status == 200
    assert largest == 20 * 2**20
    # one more byte: tests/service/test_rest.py and test_grpc.py


def test_threads_are_bounded(service: Service, properties: dict[str, str]) -> None:
    """Netty's, by their names in Java, whatever the number of cores."""
    (java,) = (
        pid for pid in processes(str(folder_of(service))) if psutil.Process(pid).name() == "java"
    )
    threads = [
        (Path(f"/proc/{java}/task") / str(thread.id) / "comm").read_text().strip()
        for thread in psutil.Process(java).threads()
    ]
    most = int(properties["number_of_netty_threads"]) + int(properties["netty_client_threads"])
    groups = [
        name for name in threads if name.startswith(("epollEventLoopGroup", "epollEventLoop"))
    ]
    # two more accept connections, and one, begun by its first request, answers those for metrics
    assert 0 < len(groups) <= most + 3, threads


def test_grpc_has_no_explanations(service: Service) -> None:
    """There is no such call; one of that name is none either."""
    message = PredictionsRequest(model_name="age", input={"data": JPEG}).SerializeToString()
    with grpc.insecure_channel(service.grpc) as channel:
        for call in ("Explanations", "Explain"):
            with pytest.raises(grpc.RpcError) as error:
                channel.unary_unary(f"{INFERENCE}/{call}")(message, timeout=60)
            assert error.value.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:9/photo.jpg", "https://example.org/photo.jpg", "file:///etc/passwd"],
)
def test_a_url_is_no_image(service: Service, url: str) -> None:
    """Nothing is fetched: an address is bad base64, or a body that is no image."""
    refused = rest(service, *as_json(data=url))
    assert (refused.status, refused.content["type"]) == (400, "InvalidRequest")
    refused = rest(service, *as_json(url=url))
    assert (refused.status, refused.content["type"]) == (400, "InvalidRequest")
    refused = rest(service, url.encode())
    assert (refused.status, refused.content["type"]) == (415, "UnsupportedImageFormat")
