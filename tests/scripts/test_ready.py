"""scripts/ready.py: where it asks; what it says of a real service is in tests/service."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import canned
import ready
from ready import Addresses, NotReady

CONFIG = ready.ROOT / "config.properties"


class TestAddresses:
    def test_are_those_of_the_file(self) -> None:
        addresses = Addresses.read(CONFIG, {})
        assert addresses.rest.url == "http://127.0.0.1:8080"
        assert addresses.management.url == "http://127.0.0.1:8081"
        assert addresses.metrics.url == "http://127.0.0.1:8082"
        assert (addresses.grpc.host, addresses.grpc.port) == ("127.0.0.1", 7070)
        assert addresses.grpc_management.port == 7071

    def test_defaults_hold_for_what_the_file_leaves_out(self, tmp_path: Path) -> None:
        empty = tmp_path / "config.properties"
        empty.write_text("# inference_address=http://127.0.0.1:1\n\n")
        assert Addresses.read(empty, {}) == Addresses.read(CONFIG, {})

    def test_variables_override_the_file(self) -> None:
        environ = {
            "TS_INFERENCE_ADDRESS": "http://0.0.0.0:80",
            "TS_GRPC_INFERENCE_ADDRESS": "0.0.0.0",
            "TS_GRPC_INFERENCE_PORT": "9090",
        }
        addresses = Addresses.read(CONFIG, environ)
        # every address of this machine is asked on the one that is always there
        assert addresses.rest.url == "http://127.0.0.1:80"
        assert (addresses.grpc.host, addresses.grpc.port) == ("127.0.0.1", 9090)
        assert addresses.management.url == "http://127.0.0.1:8081"

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("TS_INFERENCE_ADDRESS", "127.0.0.1:8080"),
            ("TS_INFERENCE_ADDRESS", "http://127.0.0.1:port"),
            ("TS_MANAGEMENT_ADDRESS", "unix:/tmp/socket"),
            ("TS_GRPC_INFERENCE_PORT", "many"),
        ],
    )
    def test_others_are_refused_by_name(self, key: str, value: str) -> None:
        with pytest.raises(NotReady, match=f"^{key.removeprefix('TS_').lower()} is "):
            Addresses.read(CONFIG, {key: value})

    def test_a_missing_file_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(NotReady, match=r"nowhere cannot be read: No such file"):
            Addresses.read(tmp_path / "nowhere", {})


def test_canned_photograph_is_what_the_script_makes() -> None:
    with Image.open(ready.PHOTOGRAPH) as stored:
        difference = np.asarray(stored, float) - np.asarray(canned.crop(), float)
    assert np.abs(difference).mean() < 3  # of 255: JPEG's losses
