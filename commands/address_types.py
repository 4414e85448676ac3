"""Addresses of a service as command-line options, for argparse."""

import argparse

from face_age_client.address import Address


def rest_url(text: str) -> str:
    """A service's REST address, without a trailing slash."""
    try:
        return Address.rest(text).url
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def grpc_address(text: str) -> str:
    """A service's gRPC address."""
    try:
        Address.grpc(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text
