"""Two versions of the model side by side."""

import pytest

from face_age_client.rest import RestClient
from face_age_client.rpc import GrpcClient
from tests.service.exchange import assert_same, expected
from tests.service.test_rest import JPEG
from tests.torchserve import Service


@pytest.fixture(params=["REST", "gRPC"])
def ask(request, service: Service):
    """Asks one version and gives the answer's JSON."""

    def ask_version(version: str):
        client = (
            RestClient(service.rest, model_version=version)
            if request.param == "REST"
            else GrpcClient(service.grpc, model_version=version)
        )
        try:
            return client.predict(JPEG).content
        finally:
            client.close()

    return ask_version


@pytest.mark.parametrize("version", ["", "1.0"])
def test_first_is_the_default(ask, model_file, version):
    content = ask(version)
    wanted = expected(model_file, JPEG)
    assert content["model"] == wanted["model"]
    assert_same(content, wanted)


def test_second_is_asked_by_name(ask):
    first, second = ask("1.0"), ask("2.0")
    assert second["model"]["version"] == "2.0"
    assert second["model"]["name"] == first["model"]["name"] == "age"
    assert second["model"]["weights"] != first["model"]["weights"]
    assert second["faces"][0]["box"] == pytest.approx(first["faces"][0]["box"], abs=0.5)
    assert second["faces"][0]["age"] == pytest.approx(100 - first["faces"][0]["age"], abs=0.2)
