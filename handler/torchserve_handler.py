"""TorchServe's adapter: a batch of request rows in, a list of bodies out.

TorchServe imports this file from an archive's root, where the package `handler` lies beside it,
and takes the one class that it finds here.
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
    from handler.deadline import refuse_late
    from handler.errors import (
        DescriptionNotImplemented,
        DeviceLost,
        ExplanationsNotImplemented,
        Failure,
        InvalidRequest,
    )
    from handler.hardware import HeapLimit, cores, disable_core_dumps
    from handler.heap import keep_freed_memory
    from handler.integrity import IntegrityError, check_folder, described, weights_identity
    from handler.open_inference import wrapped
    from handler.parts import hand_over_whole_requests
    from handler.pipeline import Pipeline
    from handler.requests import Request, parse
    from handler.responses import encode
    from handler.settings import Settings, SettingsError
    from handler.watchdog import Watchdog
except ImportError as error:
    # TorchServe takes an ImportError to mean that the handler is one of its own, and reports
    # "No module named 'ts.torch_handler.torchserve_handler'" instead of what is missing.
    raise RuntimeError(
        f"torchserve_handler.py cannot be imported: {error}; the worker's Python needs torch, "
        "torchvision, facenet-pytorch and Pillow, and the archive the package handler"
    ) from error

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ts.context import Context

logger = logging.getLogger(__name__)


class TorchServeHandler:
    """The handler that `age.mar` names."""

    def initialize(self, context: "Context") -> None:
        """Load the archive's model as its model-config.yaml says, on the worker's device.

        Raises IntegrityError where a file of the archive is not the one that was packed,
        ContractError where its model cannot be served, and SettingsError.
        """
        try:
            self._load(context)
        except (IntegrityError, ContractError, SettingsError) as error:
            # TorchServe logs no more than a traceback, line by line
            logger.critical("the model cannot be served: %s", error)
            raise

    def _load(self, context: "Context") -> None:
        properties = context.system_properties
        check_folder(Path(properties["model_dir"]))
        settings = Settings.from_mapping((context.model_yaml_config or {}).get("handler"))
        gpu = properties.get("gpu_id")
        on_gpu = gpu is not None and torch.cuda.is_available()
        device = torch.device(f"cuda:{gpu}" if on_gpu else "cpu")
        share = max(1, cores() // torch.cuda.device_count()) if on_gpu else 1
        torch.set_num_threads(min(settings.threads, cores()) or share)
        keep_freed_memory()
        disable_core_dumps()
        hand_over_whole_requests()

        archived = context.manifest["model"]
        file = Path(properties["model_dir"], archived["serializedFile"])
        weights = weights_identity(file)
        self._model = Model(context.model_name, archived["modelVersion"], weights)
        self._queue_timeout = settings.queue_timeout
        self._watchdog = Watchdog(settings.step_timeout)
        self._pipeline = Pipeline.load(file, settings, device, self._watchdog.progress)
        self._pipeline.warm_up(properties.get("batch_size") or 1)
        self._heap = HeapLimit()
        self._heap.keep()
        logger.info(
            "%s, on %s in %s, torch %s with %d threads; %s; %s; %s",
            described(self._model.name, self._model.version, weights),
            device,
            self._pipeline.precision,
            torch.__version__,
            torch.get_num_threads(),
            self._pipeline.contract.crop,
            self._pipeline.contract.detector,
            settings,
        )

    @property
    def precision(self) -> str:
        """That ages are computed in."""
        return self._pipeline.precision

    def handle(self, data: "list[Mapping[str, object]] | None", context: "Context") -> list[bytes]:
        """A body for each row, in order, with its own status.

        Ends the process where its GPU does not compute any more, or nothing happens in it.
        """
        try:
            with self._watchdog:
                items = [self._item(row, context, index) for index, row in enumerate(data or ())]
                outcomes = self._pipeline.run(items)
        except DeviceLost as lost:
            # An error would leave the worker in its place, to fail with all that comes. By its end
            # TorchServe answers this batch with 507 and starts another. Not an orderly end: CUDA
            # may hang in it. Nor one after an answer: the next batch would be here by then.
            logger.critical("the worker ends, to be replaced: %s", lost)
            logging.shutdown()
            os._exit(1)
        for index, outcome in enumerate(outcomes):
            if isinstance(outcome, Failure):
                context.set_response_status(outcome.code, outcome.phrase, index)
            else:
                context.set_response_status(200, "OK", index)
            context.set_response_content_type(index, "application/json")
            if not _request_headers(context, index):  # it came by gRPC
                # Without it, TorchServe takes the end of a stream of answers for a fault of its
                # own, and ends the worker. By REST it would make a stream of the answer.
                context.set_response_header(index, "ts_stream_next", "false")
        self._heap.keep()
        bodies = [encode(outcome, self._model) for outcome in outcomes]
        return [
            wrapped(body, self._model) if _is_model_infer(context, index) else body
            for index, body in enumerate(bodies)
        ]

    def _item(
        self, row: "Mapping[str, object]", context: "Context", index: int
    ) -> Request | Failure:
        headers = _request_headers(context, index)
        try:
            if headers.get("explain") == "True":  # set by TorchServe itself, in each request
                raise ExplanationsNotImplemented(
                    "there are no explanations of ages yet; ask /predictions"
                )
            if headers.get("describe") == "True" and "explain" not in headers:
                raise DescriptionNotImplemented(
                    "there is no more to tell of the model; ask without customized"
                )
            if _is_model_infer(context, index):
                raise InvalidRequest("ModelInfer takes no photographs here; call Predictions")
            refuse_late(headers, self._queue_timeout, time.time())
            return parse(row, headers, getattr(row, "repeated", ()))
        except Failure as failure:
            return failure


def _request_headers(context: "Context", index: int) -> dict[str, str]:
    # TorchServe puts the headers of a form's parts among the request's: dicts under their names
    return {
        name: value
        for name, value in context.get_all_request_header(index).items()
        if isinstance(value, str)
    }


def _is_model_infer(context: "Context", index: int) -> bool:
    """Whether it came by the open inference protocol over gRPC: a body of JSON, without headers."""
    headers: Mapping[str, object] = context.get_all_request_header(index)
    return headers == {"body": {"content-type": "application/json"}}
