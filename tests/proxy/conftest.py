from collections.abc import Iterator

import pytest

from tests.proxy.proxy import Proxy, proxied
from tests.torchserve import Service


@pytest.fixture(scope="session")
def proxy(nginx: None, service: Service) -> Iterator[Proxy]:
    """nginx in front of the session's TorchServe."""
    with proxied(service) as proxy:
        yield proxy


@pytest.fixture
def fresh_proxy(service: Service) -> Iterator[Proxy]:
    """nginx of this test alone, which has seen no key yet."""
    with proxied(service) as proxy:
        yield proxy


@pytest.fixture
def key(proxy: Proxy) -> str:
    """A key that nobody has used."""
    return proxy.new_key()
