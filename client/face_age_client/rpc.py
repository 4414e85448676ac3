"""Asks over gRPC."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import grpc

from face_age_client.address import Address, authorization
from face_age_client.answer import Answer, parse
from face_age_client.errors import AskError, Interrupted, Refused, Unreachable
from face_age_client.inference_pb2 import PredictionsRequest
from face_age_client.inference_pb2_grpc import InferenceAPIsServiceStub
from face_age_client.retry import patiently, patiently_async, seconds_of

MESSAGE_SIZE = 32 * 2**20  # bytes: more than the 20 MB of a photograph that the service takes


class _Calls:
    """What both clients have in common: requests, and what failures say."""

    def __init__(self, address: str, model: str, version: str, timeout: float, key: str) -> None:
        self._address = address
        self._model, self._version, self._timeout = model, version, timeout
        self._metadata = (("authorization", authorization(key)),) if key else ()

    def _request(self, photograph: bytes, options: Mapping[str, float]) -> PredictionsRequest:
        entries = {name: str(value).encode() for name, value in options.items()}
        return PredictionsRequest(
            model_name=self._model,
            model_version=self._version,
            input={"data": photograph, **entries},
        )

    def _failure(self, error: grpc.RpcError) -> AskError:
        status, details = error.code(), error.details() or "no reason was given"
        if status is grpc.StatusCode.UNAVAILABLE and "failed to connect" in details:
            return Unreachable(f"{self._address} does not answer: {details}")
        if status is grpc.StatusCode.DEADLINE_EXCEEDED:
            return Interrupted(f"{self._address} broke off: no answer in {self._timeout:g} s")
        if status is grpc.StatusCode.CANCELLED:
            details += "; the service cuts off what is larger than it takes"
        metadata = dict(error.trailing_metadata() or ())
        return Refused(status.name, details, retry_after=seconds_of(metadata.get("retry-after")))


class GrpcClient(_Calls):
    """A channel to the service; threads may share it."""

    def __init__(
        self,
        address: str,
        *,
        model: str = "age",
        version: str = "",
        timeout: float = 120,
        key: str = "",
        certificates: Path | None = None,
        own_connection: bool = False,
    ) -> None:
        """`address` as `Address.grpc` takes it, `timeout` in seconds; ValueError on another form.

        `key` is for a proxy in front, `certificates` a PEM file of whom to trust instead of the
        system's authorities. Channels to one address share a connection, but for those with an
        `own_connection`.
        """
        super().__init__(address, model, version, timeout, key)
        self._channel = _channel(grpc, address, certificates, own_connection)
        self._stub = InferenceAPIsServiceStub(self._channel)  # type: ignore[no-untyped-call]

    def ask(self, photograph: bytes, options: Mapping[str, float] | None = None) -> Answer:
        """The answer to one photograph; `options` as the service names them (`max_faces`, ...).

        Asks again where a refusal says when, for as long as the timeout. Raises AskError.
        """
        request = self._request(photograph, options or {})
        return patiently(lambda: self._ask(request), self._timeout)

    def close(self) -> None:
        """Close the channel for good."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(self, request: PredictionsRequest) -> Answer:
        try:
            response = self._stub.Predictions(
                request, timeout=self._timeout, metadata=self._metadata
            )
        except grpc.RpcError as error:
            raise self._failure(error) from error
        return parse(response.prediction)


class AsyncGrpcClient(_Calls):
    """A channel to the service, made where the event loop runs; tasks may share it."""

    def __init__(
        self,
        address: str,
        *,
        model: str = "age",
        version: str = "",
        timeout: float = 120,
        key: str = "",
        certificates: Path | None = None,
    ) -> None:
        """As `GrpcClient`."""
        super().__init__(address, model, version, timeout, key)
        self._channel = _channel(grpc.aio, address, certificates, own_connection=True)
        self._stub = InferenceAPIsServiceStub(self._channel)  # type: ignore[no-untyped-call]

    async def ask(self, photograph: bytes, options: Mapping[str, float] | None = None) -> Answer:
        """As `GrpcClient.ask`."""
        request = self._request(photograph, options or {})
        return await patiently_async(lambda: self._ask(request), self._timeout)

    async def close(self) -> None:
        """Close the channel for good."""
        await self._channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _ask(self, request: PredictionsRequest) -> Answer:
        try:
            response = await self._stub.Predictions(
                request, timeout=self._timeout, metadata=self._metadata
            )
        except grpc.RpcError as error:
            raise self._failure(error) from error
        return parse(response.prediction)


def _channel(kind: Any, address: str, certificates: Path | None, own_connection: bool) -> Any:
    """A channel of `grpc` or `grpc.aio`; ValueError on an address of another form."""
    place = Address.grpc(address)
    options = [
        ("grpc.max_send_message_length", MESSAGE_SIZE),
        ("grpc.max_receive_message_length", MESSAGE_SIZE),
        ("grpc.enable_http_proxy", 0),
        ("grpc.use_local_subchannel_pool", int(own_connection)),
    ]
    if not place.secure:
        return kind.insecure_channel(place.netloc, options)
    trusted = certificates.read_bytes() if certificates else None
    return kind.secure_channel(place.netloc, grpc.ssl_channel_credentials(trusted), options)
