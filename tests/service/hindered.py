"""A version of the model that fails, and whose worker is hindered, stopped and overrun.

Its only worker can be made to hang, and its queue is short.
"""

import contextlib
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing

import grpc
import pytest
import torch

from face_age_client.inference_pb2 import PredictionsRequest
from face_age_client.inference_pb2_grpc import InferenceAPIsServiceStub
from handler.settings import Settings
from tests.images import encoded
from tests.service.exchange import over_grpc, rest
from tests.service.test_deadline import SHIPPED, Asker, Log, worker_stopped
from tests.service.traces import Marker
from tests.service.ways import Send, spellings
from tests.torchserve import Service, await_logged

FAULTY = "9.0"  # a version with a worker that is hindered
OF_FAULTY = f"/predictions/age/{FAULTY}"
QUEUE, BATCH = 8, 4
DEADLINE = 4  # seconds from an image's arrival to its answer
PATIENCE = 2 * Settings.step_timeout  # seconds that TorchServe gives its worker
HINDERED = SHIPPED | {
    "minWorkers": 1,
    "maxWorkers": 1,
    "batchSize": BATCH,
    "jobQueueSize": QUEUE,
    "clientTimeoutInMills": 1000 * DEADLINE,
    "responseTimeout": PATIENCE,
}


class Faulty(torch.nn.Module):
    """Fails on every face but its first, which is that of the readiness probe.

    With one without blue it never ends.
    """

    def __init__(self) -> None:
        super().__init__()
        self.answered = False

    def forward(self, faces: torch.Tensor) -> torch.Tensor:
        mean = faces.float().mean(dim=(2, 3))
        while bool(((mean[:, 2] < 1) & (mean[:, 0] > 20)).any()):
            mean = torch.maximum(mean, mean)  # which TorchScript does not leave out
        if faces.float().std() > 1:  # the faces of a warm-up are of one grey
            if self.answered:
                raise RuntimeError("this model fails")
            self.answered = True
        return torch.full((len(faces), 117), 1 / 117)


def given_up(service: Service, marker: Marker) -> None:
    """Clients leave while the worker holds their images, or these wait for it."""
    log, request = Log(service), PredictionsRequest(model_name="age", model_version=FAULTY)
    request.input["data"] = marker.jpeg()
    with grpc.insecure_channel(service.grpc) as channel, worker_stopped(service, FAULTY):
        call = InferenceAPIsServiceStub(channel).Predictions.future
        for spelling in spellings(marker.jpeg()):
            with closing(Asker(service, *spelling, path=OF_FAULTY)) as asker:
                log.await_handed_over()
                assert asker.is_left_alone()
        assert call(request, timeout=1).code() is grpc.StatusCode.DEADLINE_EXCEEDED
        cancelled = call(request, timeout=20)
        time.sleep(0.5)  # until it waits
        assert cancelled.cancel()
    assert rest(service, marker.jpeg(), path=OF_FAULTY).status == 500


def overflow_and_deadline(service: Service, marker: Marker) -> None:
    """What may not wait is turned away, and what waits for too long is dropped."""
    log, image = Log(service), marker.jpeg()
    surplus = BATCH
    with ExitStack() as stack:

        def ask(number: int) -> Asker:
            spelling = spellings(image)[number % 3]
            return stack.enter_context(closing(Asker(service, *spelling, path=OF_FAULTY)))

        with worker_stopped(service, FAULTY):
            ask(0)
            log.await_handed_over()
            calls = stack.enter_context(waiting_calls(service, image, count=2))
            askers = [ask(number) for number in range(QUEUE + surplus - len(calls))]
            await_turned_away(askers, calls, surplus)
            with pytest.raises(grpc.RpcError) as error:
                over_grpc(service, {"data": image}, FAULTY)
            assert error.value.code() is grpc.StatusCode.INTERNAL
            time.sleep(DEADLINE + 0.5)
        await_status(service, image, 500, OF_FAULTY)
    assert log.not_computed() > 0


def await_status(service: Service, image: bytes, status: int, path: str) -> None:
    """Return when an image is answered so: as it is where nothing is in its way."""
    until, reply = time.monotonic() + 120, None
    while reply is None or reply.status != status:
        assert time.monotonic() < until, reply
        time.sleep(0.5)
        # what waits past its deadline for a worker that is slow to start is never answered
        with contextlib.suppress(TimeoutError):
            reply = rest(service, image, path=path, timeout=DEADLINE + 2)


@contextlib.contextmanager
def waiting_calls(service: Service, image: bytes, count: int) -> Iterator[list[grpc.Future]]:
    """gRPC calls that have no answer yet, or were turned away."""
    request = PredictionsRequest(model_name="age", model_version=FAULTY, input={"data": image})
    with grpc.insecure_channel(service.grpc) as channel:
        call = InferenceAPIsServiceStub(channel).Predictions.future
        yield [call(request, timeout=60) for _ in range(count)]


def await_turned_away(askers: list[Asker], calls: list[grpc.Future], count: int) -> None:
    """Return when so many of them have been refused."""
    until = time.monotonic() + 20
    ended: list[Asker | grpc.Future] = []
    while len(ended) < count:
        assert time.monotonic() < until
        ended = [call for call in calls if call.done()]
        ended += [asker for asker in askers if not asker.is_left_alone()]
    assert len(ended) == count
    statuses = {end.answer().status if isinstance(end, Asker) else end.code() for end in ended}
    assert statuses <= {503, grpc.StatusCode.INTERNAL}


def fault_of_the_model(service: Service, marker: Marker) -> None:
    for image in (marker.jpeg(), marker.bmp()):
        assert rest(service, image, path=OF_FAULTY).status == 500
        assert over_grpc(service, {"data": image}, FAULTY)["type"] == "InternalError"
    await_logged(service.logs / "model_log.log", "this model fails")


def hang_in_the_network(service: Service, marker: Marker) -> None:
    """Until the worker ends itself."""
    ended = f"Timeout (0:00:{Settings.step_timeout})!"
    with closing(Asker(service, without_blue(marker), path=OF_FAULTY)) as asker:
        leave_waiting(service, marker)
        await_logged(service.logs / "model_log.log", ended)
        assert asker.answer().status in (500, 507)


def leave_waiting(service: Service, marker: Marker) -> None:
    """Send images whose answers nobody waits for."""
    with ExitStack() as stack:
        stack.enter_context(waiting_calls(service, marker.jpeg(), count=1))
        for spelling in spellings(marker.jpeg()):
            stack.enter_context(closing(Asker(service, *spelling, path=OF_FAULTY)))
        time.sleep(0.5)  # until they wait


def without_blue(marker: Marker) -> bytes:
    """What the faulty model does not come to an end with."""
    image = marker.image()
    image[8:, :, 2] = 0
    return encoded(image, "BMP")


def hang_of_the_process(service: Service, marker: Marker) -> None:
    """Until TorchServe ends it."""
    with (
        worker_stopped(service, FAULTY),
        closing(Asker(service, marker.jpeg(), path=OF_FAULTY)) as asker,
    ):
        leave_waiting(service, marker)
        assert asker.answer().status in (500, 507)


WAYS: list[Send] = [given_up, overflow_and_deadline, fault_of_the_model]
