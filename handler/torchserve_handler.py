"""TorchServe's adapter: a batch of request rows in, a list of bodies out.

TorchServe imports this file from an archive's root, beside the package `handler`, and uses its only
class.
"""

import logging
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

try:
    import torch

    from handler.answer import Model
    from handler.contract import ContractError
    from handler.cores import cores
    from handler.deadline import check_queue_timeout
    from handler.drift import Drift, references
    from handler.errors import (
        DescriptionNotImplemented,
        DeviceLost,
        ExplanationsNotImplemented,
        Failure,
        InvalidRequest,
    )
    from handler.hardware import disable_core_dumps
    from handler.integrity import IntegrityError, check_folder, described, identity_of, model_files
    from handler.malloc import HeapLimit, keep_freed_memory
    from handler.metrics import Metrics
    from handler.pipeline import Pipeline
    from handler.received import ModelInfer, One, Received, outcomes_of, receive
    from handler.request_context import request_context
    from handler.requests import Request
    from handler.settings import Settings, SettingsError
    from handler.telemetry import Batch, Telemetry
    from handler.torchserve_patch import patch_torchserve
    from handler.tracing import Tracing
    from handler.watchdog import Watchdog
except ImportError as error:
    # On an ImportError TorchServe looks for a handler of its own, and reports
    # "No module named 'ts.torch_handler.torchserve_handler'" instead of what is missing.
    raise RuntimeError(
        f"torchserve_handler.py cannot be imported: {error}; the worker's Python needs torch, "
        "torchvision, facenet-pytorch and Pillow, and the archive the package handler"
    ) from error

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ts.context import Context

logger = logging.getLogger(__name__)

_RESPONSE_TIMEOUT = 120  # seconds, TorchServe's default


class TorchServeHandler:
    """The handler that an archive names."""

    def initialize(self, context: "Context") -> None:
        """Load the archive's model on the worker's device, with the settings of model-config.yaml.

        Raises IntegrityError if a file of the archive was changed, ContractError if its model
        cannot be served, and SettingsError.
        """
        try:
            self._load(context)
        except (IntegrityError, ContractError, SettingsError) as error:
            # TorchServe itself logs only a traceback, line by line
            logger.critical("the model cannot be served: %s", error)
            raise

    def _load(self, context: "Context") -> None:
        properties = context.system_properties
        check_folder(Path(properties["model_dir"]))
        settings = Settings.from_mapping((context.model_yaml_config or {}).get("handler"))
        gpu = properties.get("gpu_id")
        on_gpu = gpu is not None and torch.cuda.is_available()
        device = torch.device(f"cuda:{gpu}" if on_gpu else "cpu")
        share = max(1, cores() // _workers_on_gpus()) if on_gpu else 1
        torch.set_num_threads(min(settings.threads, cores()) or share)
        keep_freed_memory()
        disable_core_dumps()
        patch_torchserve()

        archived = context.manifest["model"]
        files = model_files(Path(properties["model_dir"]), archived["serializedFile"])
        weights = identity_of(files)
        self._model = Model(context.model_name, archived["modelVersion"], weights)
        self._queue_timeout = settings.queue_timeout
        self._explains = settings.explained_faces > 0
        self._max_images = settings.max_images
        # as many images are in memory at once as in a batch of requests with one image
        self._at_once = properties.get("batch_size") or 1
        self._seconds_to_begin = _response_timeout(context) / 2
        self._watchdog = Watchdog(settings.step_timeout)
        self._pipeline = Pipeline.load(files, settings, device, self._watchdog.progress)
        self._pipeline.warm_up(self._at_once)
        self._heap = HeapLimit()
        self._heap.enforce()
        self._telemetry = Telemetry(
            self._model,
            _metrics(context, self._model),
            Tracing.from_environment(os.environ, self._model),
            Drift(references(p.contract for p in self._pipeline.predictors.values())),
            log_requests=settings.log_requests,
        )
        logger.info(
            "%s, on %s, torch %s with %d threads; %s; %s",
            described(self._model.name, self._model.version, weights),
            device,
            torch.__version__,
            torch.get_num_threads(),
            "; ".join(
                f"{name} in {predictor.precision}, {predictor.task.input}"
                for name, predictor in self._pipeline.predictors.items()
            ),
            settings,
        )

    @property
    def precision(self) -> str:
        """Precision of the models: float32, say."""
        return ", ".join(sorted({p.precision for p in self._pipeline.predictors.values()}))

    def handle(self, data: "list[Mapping[str, object]] | None", context: "Context") -> list[bytes]:
        """A body for each row, in order, each with its own status.

        Ends the process if its GPU is lost, or a step exceeds its timeout.
        """
        clock, start = time.time_ns(), time.perf_counter()
        rows = data or []
        headers = [_request_headers(context, index) for index in range(len(rows))]
        try:
            with self._watchdog:
                received = [
                    self._received(row, headers[i], context, i) for i, row in enumerate(rows)
                ]
                due = time.monotonic() + self._seconds_to_begin
                outcomes = outcomes_of(received, due, self._pipeline.run, self._at_once)
        except DeviceLost as lost:
            # After an exception the worker would go on and fail every batch. If the process ends,
            # TorchServe answers this batch with 507 and starts another worker. os._exit, as CUDA
            # may hang in an orderly exit; at once, as the next batch would arrive after an answer.
            logger.critical("the worker ends, to be replaced: %s", lost)
            logging.shutdown()
            os._exit(1)
        responses = [
            each.response(own, self._model) for each, own in zip(received, outcomes, strict=True)
        ]
        for index, response in enumerate(responses):
            context.set_response_status(response.code, response.phrase, index)
            context.set_response_content_type(index, response.media_type)
            for name, value in response.headers.items():
                context.set_response_header(index, name, value)
            if not headers[index]:  # a gRPC request
                # StreamPredictions ends the worker without this header; over REST the header would
                # turn the answer into a stream.
                context.set_response_header(index, "ts_stream_next", "false")
        self._heap.enforce()
        self._telemetry.record(
            Batch(
                requests=[
                    request_context(row, headers[index], context.get_request_id(index) or "")
                    for index, row in enumerate(rows)
                ],
                sizes=[_size(each) for each in received],
                outcomes=outcomes,
                stages=self._pipeline.times.stages,
                start=clock,
                seconds=time.perf_counter() - start,
            )
        )
        return [response.body for response in responses]

    def _received(
        self,
        row: "Mapping[str, object]",
        headers: dict[str, str],
        context: "Context",
        index: int,
    ) -> Received:
        try:
            explain = headers.get("explain") == "True"  # set by TorchServe itself, in each request
            if explain and not self._explains:
                raise ExplanationsNotImplemented(
                    "explanations are turned off by handler.explained_faces; ask /predictions"
                )
            if headers.get("describe") == "True" and "explain" not in headers:
                raise DescriptionNotImplemented(
                    "the model has no customized description; ask without customized"
                )
            if _is_model_infer(context, index):
                return ModelInfer(
                    InvalidRequest("ModelInfer takes no images here; call Predictions")
                )
            check_queue_timeout(headers, self._queue_timeout, time.time())
            repeated = getattr(row, "repeated", ())
            tasks = [*self._pipeline.predictors]
            return receive(row, headers, repeated, tasks, self._max_images, explain=explain)
        except Failure as failure:
            return One(failure)


def _metrics(context: "Context", model: Model) -> Metrics | None:
    """The metrics; None, with a warning, where TorchServe's configuration declares none of ours."""
    if context.metrics is None:  # in a process without TorchServe
        return None
    try:
        return Metrics(context.metrics, model)
    except LookupError as error:
        logger.warning(
            "there are no metrics of faces and ages (%s): TorchServe needs the line "
            "metrics_config=metrics.yaml in config.properties, and that file in its folder",
            error,
        )
        return None


def _response_timeout(context: "Context") -> float:
    """Seconds after which TorchServe kills a worker that has not answered a batch."""
    given = (context.model_yaml_config or {}).get("responseTimeout")
    return given if isinstance(given, int) and given > 0 else _RESPONSE_TIMEOUT


def _size(received: Received) -> int | None:
    """Bytes of a request's images; None where there is no valid one."""
    sizes = [len(item.image) for item in received.items if isinstance(item, Request)]
    return sum(sizes) if sizes else None


def _workers_on_gpus() -> int:
    """The number of workers of this model: TorchServe's own is one for each GPU."""
    given = os.environ.get("TS_DEFAULT_WORKERS_PER_MODEL", "")
    return int(given) if given.isdecimal() and int(given) else torch.cuda.device_count()


def _request_headers(context: "Context", index: int) -> dict[str, str]:
    # TorchServe adds the headers of a form's parts to the request's, as dicts by the parts' names
    return {
        name: value
        for name, value in context.get_all_request_header(index).items()
        if isinstance(value, str)
    }


def _is_model_infer(context: "Context", index: int) -> bool:
    """Whether the request is a ModelInfer of the open inference protocol over gRPC."""
    headers: Mapping[str, object] = context.get_all_request_header(index)
    return headers == {"body": {"content-type": "application/json"}}
