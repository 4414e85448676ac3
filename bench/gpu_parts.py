"""What `bench.gpu_check` measures in processes of their own, such as agreement and stages.

    python -m bench.gpu_parts stages --json stages.json
    python -m bench.gpu_parts agreement --photos FOLDER --device cpu

Prints the figures as JSON, or writes them to a file.
"""

import argparse
import json
import os
import platform
import subprocess  # nosec B404
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any, Final, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.profiler import ProfilerActivity, profile

from bench import profiling
from bench.in_process import MODEL, Worker
from commands.image_search import search
from handler.answer import Answer, OrdinalPrediction
from handler.cuda_graphs import COUNTS
from handler.faces.boxes import iou
from handler.pipeline import Pipeline
from handler.predictor import Predictor
from handler.requests import Request
from handler.settings import Decoder, Precision, Settings
from loadtests.synthetic import crowd, encoded, of_size, portrait
from server.readiness import PROBE_IMAGE

SAME: Final = 0.5  # intersection over union of one face in two answers
Images = Mapping[str, bytes]
Part = Callable[[argparse.Namespace], dict[str, Any]]


def machine(given: argparse.Namespace) -> dict[str, Any]:
    """The machine, the driver and the packages."""
    found: dict[str, Any] = {
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in ("torch", "triton", "torchvision", "numpy")},
    }
    if given.device.type == "cuda":
        query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv"]
        done = subprocess.run(query, capture_output=True, text=True, check=False)  # nosec B603
        found["gpu"] = done.stdout.splitlines()[-1:]
    return found


def synthetic() -> Images:
    """Images of one face to a crowd."""
    with Image.open(PROBE_IMAGE) as file:
        probe = file.convert("RGB")
    return {
        "portrait": encoded(portrait(probe)),
        "small": encoded(probe.resize((200, 150))),
        "large": encoded(of_size(probe, 12)),
        "crowd of 80": encoded(crowd(80)),
        "no face": encoded(Image.linear_gradient("L").convert("RGB")),
    }


def images_of(folder: Path | None) -> Images:
    """The images of a folder, or synthetic ones."""
    if folder is None:
        return synthetic()
    found = {path.name: path.read_bytes() for path in search([folder]).images}
    if not found:
        raise ValueError(f"{folder} holds no images")
    return found


def agreement(given: argparse.Namespace) -> dict[str, Any]:
    """How faces and ages of the device differ from the CPU's in float32, and alone from a batch."""
    images = images_of(given.photos)
    cpu = ask(pipeline(given.model, "float32", torch.device("cpu")), images, 1)
    found = {
        f"{precision}, batches of {count}": compared(
            cpu, ask(pipeline(given.model, precision, given.device), images, count)
        )
        for precision in get_args(Precision)
        if precision not in ("auto", "int8")
        for count in (1, 8)
    }
    if given.device.type == "cuda":
        decoding = pipeline(given.model, "float32", given.device, "gpu")
        found["float32, decoder gpu"] = compared(cpu, ask(decoding, images, 8))
    return {"images": len(images), "faces": sum(map(len, map(boxes_of, cpu.values()))), **found}


def pipeline(
    model: Path, precision: Precision, device: torch.device, decoder: Decoder = "cpu"
) -> Pipeline:
    return Pipeline.load([model], Settings(precision=precision, decoder=decoder), device)


def ask(loaded: Pipeline, images: Images, count: int) -> dict[str, Answer]:
    """The answers, by batches of `count`; refused images are left out."""
    answers = {}
    every = [*images]
    for start in range(0, len(every), count):
        names = every[start : start + count]
        found = loaded.run([Request(images[name]) for name in names])
        for name, answer in zip(names, found, strict=True):
            if isinstance(answer, Answer):
                answers[name] = answer
    return answers


def compared(cpu: Mapping[str, Answer], other: Mapping[str, Answer]) -> dict[str, Any]:
    """Faces of one side alone, and differences of the others, in pixels and years."""
    pixels: list[float] = []
    years: list[float] = []
    lost = more = 0
    for name, answer in cpu.items():
        ours, theirs = boxes_of(answer), boxes_of(other[name])
        overlap = iou(ours, theirs) if len(theirs) else ()
        pairs = [(i, int(row.argmax())) for i, row in enumerate(overlap) if row.max() > SAME]
        lost += len(ours) - len(pairs)
        more += len(theirs) - len(pairs)
        before, after = ages_of(answer), ages_of(other[name])
        pixels += [float(np.abs(ours[i] - theirs[j]).max()) for i, j in pairs]
        years += [float(abs(before[i] - after[j])) for i, j in pairs]
    return {
        "faces of the CPU alone": lost,
        "faces of the other alone": more,
        "pixels": spread(pixels),
        "years": spread(years),
    }


def boxes_of(answer: Answer) -> NDArray[np.float32]:
    """The boxes of an answer [n, 4]."""
    return np.array([face.box for face in answer.faces or ()], np.float32).reshape(-1, 4)


def ages_of(answer: Answer) -> list[float]:
    """The first number predicted of each face."""
    return [
        next(p.value for p in face.attributes.values() if isinstance(p, OrdinalPrediction))
        for face in answer.faces or ()
    ]


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, high percentiles and maximum."""
    if not values:
        return {}
    levels = np.percentile(values, (50, 95, 99, 100))
    return dict(zip(("median", "p95", "p99", "most"), map(float, levels), strict=True))


def launches(given: argparse.Namespace) -> dict[str, Any]:
    """Launches, waits and busy milliseconds of the GPU for one batch of portraits."""
    body, worker = synthetic()["portrait"], Worker((given.model,))
    found = {}
    for count in given.batches:
        batch = [body] * count
        for _ in range(profiling.WARM_UP):
            worker.ask(batch)
        activities = [ProfilerActivity.CPU]
        if torch.cuda.is_available():
            activities.append(ProfilerActivity.CUDA)
        with profile(activities=activities, acc_events=True) as profiled:
            worker.ask(batch)
        events = profiled.key_averages()
        found[f"batch of {count}"] = {
            "launches": sum(e.count for e in events if "Launch" in e.key),
            "waits": sum(e.count for e in events if "Synchronize" in e.key),
            "busy ms": sum(e.self_device_time_total for e in events) / 1e3,
        }
    return found


def stages(given: argparse.Namespace) -> dict[str, Any]:
    """Milliseconds of each stage, images a second, the GPU's memory, by decoder and batch."""
    body = synthetic()["portrait"]
    on_gpu = given.device.type == "cuda"
    found: dict[str, Any] = {}
    for decoder in get_args(Decoder) if on_gpu else ("cpu",):
        worker = Worker((given.model,), decoder=decoder)
        found["precision"] = worker.precision
        for count in given.batches:
            call = partial(worker.ask, [body] * count)
            for _ in range(profiling.WARM_UP):
                call()
            if on_gpu:
                torch.cuda.reset_peak_memory_stats(given.device)
            costs = profiling.measured(call, given.repeats)
            found[f"batch of {count}, decoder {decoder}"] = {
                "images a second": count / costs[profiling.ALL].wall,
                "ms": {"/".join(path) or "all": 1e3 * cost.wall for path, cost in costs.items()},
                "GPU memory, MB": torch.cuda.max_memory_reserved() / 1e6,  # 0 without a GPU
            }
    return found


def graphs(given: argparse.Namespace) -> dict[str, Any]:
    """Milliseconds of the model's call with few faces, without and with CUDA graphs."""
    predictor = Predictor.load(given.model, given.device)
    size = predictor.task.input.size
    crops = np.random.default_rng(0).integers(0, 256, (max(COUNTS), 3, size, size), np.uint8)

    def milliseconds(count: int) -> float:
        durations = []
        for _ in range(profiling.WARM_UP + given.repeats):
            start = time.perf_counter()
            predictor.predict(crops[:count])  # its predictions are on the host
            durations.append(1e3 * (time.perf_counter() - start))
        return median(durations[profiling.WARM_UP :])

    counts = sorted({*COUNTS, 3})  # 3 are padded
    without = [milliseconds(count) for count in counts]
    predictor.capture_graphs()
    return {
        "precision": predictor.precision,
        **{
            f"{count} faces": {"ms": plain, "ms with graphs": milliseconds(count)}
            for count, plain in zip(counts, without, strict=True)
        },
    }


def training(given: argparse.Namespace) -> dict[str, Any]:
    """Seconds until a run of one epoch ends, and images a second of further epochs."""
    from hydra import compose, initialize_config_dir

    from handler.task import CropGeometry
    from train.configuration.settings import CONFIG
    from train.data.cache import CropLabel, Shard, stored_geometry, write_shard
    from train.fit import fit

    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder, "utkface")
        prepared.mkdir()
        side = stored_geometry(CropGeometry(given.side, 0.0, 0)).size
        noise = np.random.default_rng(0)
        crops = noise.integers(0, 256, (given.crops + 64, 3, side, side), np.uint8)
        labels = [
            CropLabel(f"{i}.jpg", f"{i % 90}", "val" if i < 64 else "train", "utkface", {}, True, 0)
            for i in range(len(crops))
        ]
        write_shard(prepared, 0, Shard(crops, labels, {}))
        (prepared / "summary.json").write_text(json.dumps({"crops": len(crops), "unusable": 0}))

        def seconds(run: str, epochs: int) -> float:
            overrides = [
                *("data=utkface", f"data.prepared={folder}", f"crop.size={given.side}", "~logger"),
                *(f"run={folder}/{run}", f"fit.epochs={epochs}"),
                *(f"model.backbone={given.backbone}", f"fit.batch_size={given.batch_size}"),
                "+trainer.enable_progress_bar=false",
            ]
            with initialize_config_dir(CONFIG["config_path"], version_base=CONFIG["version_base"]):
                config = compose(CONFIG["config_name"], overrides)
            start = time.perf_counter()
            fit(config)
            return time.perf_counter() - start

        first = seconds("first", 1)  # imports, compiles and tunes too
        one, several = seconds("one", 1), seconds("several", 1 + given.epochs)
    return {
        "seconds of a first run of one epoch": first,
        "seconds of another": one,
        "images a second": given.epochs * given.crops / (several - one),
    }


PARTS: Final[Mapping[str, Part]] = {
    part.__name__: part for part in (machine, agreement, launches, stages, graphs, training)
}


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure one part of what a GPU does.")
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    parser.add_argument("--device", type=torch.device, default=torch.device("cuda"))
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--photos", type=Path, help="folder; without it images are made")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 32, 64], help="images")
    parser.add_argument("--repeats", type=int, default=10, help="of each batch (10)")
    parser.add_argument("--backbone", default="resnet18", help="that is trained (resnet18)")
    parser.add_argument("--side", type=int, default=128, help="of the crops trained on (128)")
    parser.add_argument("--batch-size", type=int, default=512, help="of training (512)")
    parser.add_argument("--crops", type=int, default=4096, help="of an epoch (4096)")
    parser.add_argument("--epochs", type=int, default=8, help="that are timed (8)")
    given = parser.parse_args()
    try:
        figures = PARTS[given.part](given)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    text = json.dumps(figures, indent=1) + "\n"
    if given.json:
        given.json.write_text(text)
    else:
        print(text, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
