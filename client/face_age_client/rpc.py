"""gRPC clients; need the extra `grpc`."""

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Self, Unpack

try:
    import grpc

    from face_age_client.inference_pb2 import PredictionsRequest
    from face_age_client.inference_pb2_grpc import InferenceAPIsServiceStub
except ModuleNotFoundError as error:
    message = f"{error.name} is not installed: it comes with face-age-client[grpc]"
    raise ModuleNotFoundError(message, name=error.name) from error

from face_age_client.address import GRPC_ADDRESS, Address, bearer
from face_age_client.answer import Answer, parse, picture
from face_age_client.errors import ClientError, Interrupted, Refused, Unreachable
from face_age_client.options import Options, PictureFormat, texts, trace
from face_age_client.retry import parse_retry_after, retry, retry_async

MAX_MESSAGE_SIZE: Final = 32 * 2**20  # bytes: more than the 20 MB that the service takes


class _Client:
    """What both clients share: the channel, requests, failures."""

    def __init__(
        self,
        address: str = GRPC_ADDRESS,
        *,
        model: str = "age",
        model_version: str = "",
        timeout: float = 120,
        api_key: str = "",
        ca_file: Path | None = None,
        own_connection: bool = False,
    ) -> None:
        """Connects with the first image.

        Args:
            address: 127.0.0.1:7070, or https://example.org:443 for TLS.
            model: Its name in the service: "emotion", for instance.
            model_version: "" for the service's default.
            timeout: Seconds, for each attempt, and for all retries together.
            api_key: For a proxy that asks for one.
            ca_file: PEM file of the authorities to trust instead of the system's.
            own_connection: Do not share a connection with other clients of the same address.

        Raises:
            ValueError: `address` or `api_key` is malformed.
            OSError: `ca_file` cannot be read.
        """
        place = Address.grpc(address)
        self._address, self._target = address, place.netloc
        self._model, self._model_version, self._timeout = model, model_version, timeout
        self._metadata = (("authorization", bearer(api_key)),) if api_key else ()
        self._credentials = None
        if place.secure:
            trusted = ca_file.read_bytes() if ca_file else None
            self._credentials = grpc.ssl_channel_credentials(trusted)
        self._options = [
            ("grpc.max_send_message_length", MAX_MESSAGE_SIZE),
            ("grpc.max_receive_message_length", MAX_MESSAGE_SIZE),
            ("grpc.enable_http_proxy", 0),
            ("grpc.use_local_subchannel_pool", int(own_connection)),
        ]
        self._lock = threading.Lock()
        self._channel: Any = None
        self._call: Any = None

    def _predictions(self, kind: Any) -> Any:
        """The call, of a channel of `grpc` or, where the event loop runs, of `grpc.aio`."""
        with self._lock:
            if self._channel is None:
                self._channel = (
                    kind.secure_channel(self._target, self._credentials, self._options)
                    if self._credentials
                    else kind.insecure_channel(self._target, self._options)
                )
                stub = InferenceAPIsServiceStub(self._channel)  # type: ignore[no-untyped-call]
                self._call = stub.Predictions
            return self._call

    def _request(
        self, image: bytes, options: Options, more: Mapping[str, str]
    ) -> PredictionsRequest:
        entries = {name: text.encode() for name, text in {**texts(options), **more}.items()}
        return PredictionsRequest(
            model_name=self._model,
            model_version=self._model_version,
            input={"data": image, **entries},
        )

    def _failure(self, error: grpc.RpcError) -> ClientError:
        status, details = error.code(), error.details() or "no reason was given"
        if status is grpc.StatusCode.UNAVAILABLE and "failed to connect" in details:
            return Unreachable(f"{self._address} does not answer: {details}")
        if status is grpc.StatusCode.DEADLINE_EXCEEDED:
            return Interrupted(f"{self._address} broke off: no answer in {self._timeout:g} s")
        if status is grpc.StatusCode.CANCELLED:
            details += "; the service cuts off what is larger than it takes"
        metadata = dict(error.trailing_metadata() or ())
        seconds = parse_retry_after(metadata.get("retry-after"))
        return Refused(status.name, details, retry_after=seconds)


class GrpcClient(_Client):
    """A channel to the service, for any number of threads."""

    def predict(self, image: bytes, *, traceparent: str = "", **options: Unpack[Options]) -> Answer:
        """The answer to an image file.

        Args:
            image: JPEG, PNG, WebP, BMP or GIF.
            traceparent: The W3C's, of the trace that the call belongs to. One that is not valid is
                not sent: no call fails by it.
            options: See `face_age_client.options.Options`.

        Raises:
            ClientError: There is no answer; refusals with a retry-after have been retried.
            TypeError: There is no such option.
        """
        request = self._request(image, options, trace(traceparent))
        return parse(retry(lambda: self._ask(request), self._timeout))

    def picture(
        self,
        image: bytes,
        kind: PictureFormat = "jpeg",
        *,
        traceparent: str = "",
        **options: Unpack[Options],
    ) -> bytes:
        """The answer drawn on the image, as a file of that kind; raises as `predict`."""
        request = self._request(image, options, {"annotate": kind} | trace(traceparent))
        return picture(retry(lambda: self._ask(request), self._timeout))

    def close(self) -> None:
        """Close the channel; another image would open a new one."""
        with self._lock:
            if self._channel is not None:
                self._channel.close()
                self._channel = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(self, request: PredictionsRequest) -> bytes:
        try:
            response = self._predictions(grpc)(
                request, timeout=self._timeout, metadata=self._metadata
            )
        except grpc.RpcError as error:
            raise self._failure(error) from error
        content: bytes = response.prediction
        return content


class AsyncGrpcClient(_Client):
    """A channel to the service, for any number of tasks of one event loop."""

    async def predict(
        self, image: bytes, *, traceparent: str = "", **options: Unpack[Options]
    ) -> Answer:
        """As `GrpcClient.predict`."""
        request = self._request(image, options, trace(traceparent))
        return parse(await retry_async(lambda: self._ask(request), self._timeout))

    async def picture(
        self,
        image: bytes,
        kind: PictureFormat = "jpeg",
        *,
        traceparent: str = "",
        **options: Unpack[Options],
    ) -> bytes:
        """As `GrpcClient.picture`."""
        request = self._request(image, options, {"annotate": kind} | trace(traceparent))
        return picture(await retry_async(lambda: self._ask(request), self._timeout))

    async def close(self) -> None:
        """Close the channel; another image would open a new one."""
        if self._channel is not None:
            channel, self._channel = self._channel, None
            await channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _ask(self, request: PredictionsRequest) -> bytes:
        try:
            response = await self._predictions(grpc.aio)(
                request, timeout=self._timeout, metadata=self._metadata
            )
        except grpc.RpcError as error:
            raise self._failure(error) from error
        content: bytes = response.prediction
        return content
