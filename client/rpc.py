"""Asks over gRPC."""

from collections.abc import Mapping

import grpc

from client.answer import Answer, parse
from client.errors import AskError, Interrupted, Refused, Unreachable
from client.inference_pb2 import PredictionsRequest
from client.inference_pb2_grpc import InferenceAPIsServiceStub

MESSAGE_SIZE = 32 * 2**20  # bytes: more than the 20 MB of a photograph that the service takes


class GrpcClient:
    """A channel to the service; threads may share it."""

    def __init__(
        self, address: str, *, model: str = "age", version: str = "", timeout: float = 120
    ) -> None:
        """`address` as in 127.0.0.1:7070, `timeout` in seconds."""
        self._address = address
        self._model, self._version, self._timeout = model, version, timeout
        self._channel = grpc.insecure_channel(
            address,
            options=[
                ("grpc.max_send_message_length", MESSAGE_SIZE),
                ("grpc.max_receive_message_length", MESSAGE_SIZE),
                ("grpc.enable_http_proxy", 0),
            ],
        )
        self._stub = InferenceAPIsServiceStub(self._channel)  # type: ignore[no-untyped-call]

    def ask(self, photograph: bytes, options: Mapping[str, float] | None = None) -> Answer:
        """The answer to one photograph; `options` as the service names them (`max_faces`, ...).

        Raises AskError.
        """
        entries = {name: str(value).encode() for name, value in (options or {}).items()}
        request = PredictionsRequest(
            model_name=self._model,
            model_version=self._version,
            input={"data": photograph, **entries},
        )
        try:
            response = self._stub.Predictions(request, timeout=self._timeout)
        except grpc.RpcError as error:
            raise self._failure(error.code(), error.details() or "no reason was given") from error
        return parse(response.prediction)

    def close(self) -> None:
        """Close the channel for good."""
        self._channel.close()

    def _failure(self, status: grpc.StatusCode, details: str) -> AskError:
        if status is grpc.StatusCode.UNAVAILABLE and "failed to connect" in details:
            return Unreachable(f"{self._address} does not answer: {details}")
        if status is grpc.StatusCode.DEADLINE_EXCEEDED:
            return Interrupted(f"{self._address} broke off: no answer in {self._timeout:g} s")
        if status is grpc.StatusCode.CANCELLED:
            details += "; the service cuts off what is larger than it takes"
        return Refused(status.name, details)
