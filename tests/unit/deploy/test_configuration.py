"""deploy/nginx, config.properties and model-config.yaml agree."""

import re

import yaml

from handler.options import HEADERS, LIKE_AN_OPTION, NAMES
from handler.request_context import ENTRIES
from tests.torchserve import ROOT

MAX_REQUEST = 20 * 2**20  # bytes
MODEL = yaml.safe_load((ROOT / "model_store" / "model-config.yaml").read_text())


REQUESTS_JS = (ROOT / "deploy/nginx/requests.js").read_text()


def test_misspelt_options_are_those_of_the_handler():
    (pattern,) = re.findall(r"LIKE_AN_OPTION = new RegExp\((.*?)\);", REQUESTS_JS, re.DOTALL)
    assert "".join(re.findall("'(.*)'", pattern)) == f"^(?:{LIKE_AN_OPTION.pattern})$"


def test_all_options_pass():
    """By header, as a part of a form beside `data`, as an entry beside it, a model, a version."""
    (names,) = re.findall(r"OPTIONS = \[(.*?)\];", REQUESTS_JS, re.DOTALL)
    headers = re.findall("'(.*?)'", names)
    assert [header.lower() for header in headers] == list(HEADERS)
    routes = (ROOT / "deploy/nginx/rest.conf").read_text()
    passed = dict(re.findall(r"proxy_set_header (X-\S+) \$(option_\S+);", routes))
    assert passed == {header: f"option_{HEADERS[header.lower()]}" for header in headers}
    nginx = (ROOT / "deploy/nginx/nginx.conf").read_text()
    assert re.findall(r"js_var \$option_(\w+);", nginx) == list(NAMES)
    (from_pages,) = re.findall('"Authorization, Content-Type, (.*?)";', nginx)
    assert from_pages.split(", ")[2:] == headers
    assert f"PARTS = {len(NAMES) + 1};" in REQUESTS_JS
    messages = (ROOT / "deploy/nginx/messages.js").read_text()
    assert f"FIELDS = {len(NAMES) + 3 + len(ENTRIES)};" in messages


def test_limits_agree_with_torchserve_s():
    """The proxy passes what TorchServe accepts, and waits for every answer."""
    nginx = (ROOT / "deploy" / "nginx" / "nginx.conf").read_text()
    lines = (ROOT / "config.properties").read_text().splitlines()
    assert f"max_request_size={MAX_REQUEST}" in lines
    for directive in ("client_max_body_size", "client_body_buffer_size"):
        assert f"    {directive} {MAX_REQUEST // 2**20}m;" in nginx
    for directive in ("proxy_read_timeout", "grpc_read_timeout"):
        (seconds,) = re.findall(rf"^    {directive} (\d+)s;$", nginx, re.MULTILINE)
        assert int(seconds) > MODEL["responseTimeout"]
        assert 1000 * int(seconds) > MODEL["clientTimeoutInMills"]


def test_the_shipped_deadline_leaves_a_batch_its_time() -> None:
    """A worker may take `responseTimeout` for a batch; its answers are still sent."""
    assert MODEL["clientTimeoutInMills"] >= 1e3 * MODEL["responseTimeout"]
