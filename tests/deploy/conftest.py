import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.proxy import Proxy, proxied
from tests.torchserve import Service

MODULE = Path("/usr/lib/nginx/modules/ngx_http_js_module.so")


@pytest.fixture(scope="session")
def nginx() -> None:
    """nginx with its njs module; skips where there is none, unless .ci/run has installed it."""
    if not (shutil.which("nginx") and MODULE.exists()):
        assert "PROXY_IS_TESTED" not in os.environ, "there is no nginx with its njs module"
        pytest.skip("no nginx: apt install nginx libnginx-mod-http-js")


@pytest.fixture(scope="session")
def proxy(nginx: None, service: Service) -> Iterator[Proxy]:
    """nginx in front of the session's TorchServe."""
    with proxied(service) as proxy:
        yield proxy


@pytest.fixture
def key(proxy: Proxy) -> str:
    """A key that nobody has used."""
    return proxy.new_key()
