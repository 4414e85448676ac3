import argparse

import pytest

from commands.address_types import grpc_address, rest_url


def test_addresses():
    assert rest_url("HTTP://localhost:8080/") == "http://localhost:8080"
    assert grpc_address("localhost:7070") == "localhost:7070"
    for read in (rest_url, grpc_address):
        with pytest.raises(argparse.ArgumentTypeError, match="localhost is not of the form"):
            read("localhost")
