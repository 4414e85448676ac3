"""No image of a form stays on the disk: netty puts there what claims to be very long."""

import time

import pytest

from tests.service.exchange import rest
from tests.service.test_config import folder_of
from tests.service.test_rest import JPEG
from tests.torchserve import Service

pytestmark = pytest.mark.service
SOON = 2.0  # seconds
LONG = "Content-Length: 99999999\r\n"
# What netty reads the first part before, and then refuses.
REFUSED = {
    "alone": b"",
    "an empty name": b'--b\r\nContent-Disposition: form-data; name=""\r\n\r\n1\r\n',
    "base64": b'--b\r\nContent-Disposition: form-data; name="a"\r\n'
    b"Content-Transfer-Encoding: base64\r\n\r\nMQ==\r\n",
    "an unknown charset": b'--b\r\nContent-Disposition: form-data; name="a"\r\n'
    b"Content-Type: text/plain; charset=none\r\n\r\n1\r\n",
}


@pytest.mark.parametrize("second", REFUSED.values(), ids=REFUSED)
def test_a_part_that_claims_to_be_long(service: Service, second: bytes) -> None:
    head = f'--b\r\nContent-Disposition: form-data; name="data"; filename="a.jpg"\r\n{LONG}\r\n'
    body = head.encode() + JPEG + b"\r\n" + second + b"--b--\r\n"
    rest(service, body, {"Content-Type": "multipart/form-data; boundary=b"})
    until = time.monotonic() + SOON
    while left := [*folder_of(service).glob("FUp_*")]:
        assert time.monotonic() < until, left
        time.sleep(0.05)
