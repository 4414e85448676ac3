"""bench/evaluate_service.py against a real service."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from handler.options import Options
from tests.images import astronaut, encoded, scaled, scene
from tests.service.exchange import expected, expected_of
from tests.torchserve import Service


def run(module: str, *arguments: object):
    return subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def labelled(tmp_path: Path, model_file) -> Path:
    """Images with true ages 2 years above what the model says, and one without a face."""
    rows = ["file,age"]
    for i, factor in enumerate((0.8, 1.0, 1.2)):
        image = encoded(scaled(astronaut(), factor))
        (tmp_path / f"{i}.png").write_bytes(image)
        (face,) = expected(model_file, image)["faces"]
        rows.append(f"{i}.png,{face['age'] + 2}")
    (tmp_path / "none.png").write_bytes(encoded(scene(300, 400)))
    (tmp_path / "labels.csv").write_text("\n".join([*rows, "none.png,30"]) + "\n")
    return tmp_path


@pytest.mark.parametrize(("against", "code"), [("2.2", 0), ("3.0", 1)])
def test_evaluation(service: Service, labelled, against, code):
    words = ["--url", service.rest, "--labels", labelled / "labels.csv", "--against", against]
    done = run("bench.evaluate_service", labelled, *words)
    assert (done.returncode, done.stderr) == (code, "")
    counts, errors, coverage, verdict = done.stdout.splitlines()
    assert counts == "4 images, 4 answered, 1 without a face"
    assert errors.startswith("MAE 2.00 [2.00, 2.00] years, CS@5 100.00")
    assert coverage.startswith("the interval holds the true age of 100.00")
    assert verdict.endswith("ok" if code == 0 else "too far apart")


def test_evaluation_in_a_file(service: Service, labelled, tmp_path):
    written = tmp_path / "figures" / "figures.json"
    words = ["--url", service.rest, "--labels", labelled / "labels.csv", "--json", written]
    assert run("bench.evaluate_service", labelled, *words).returncode == 0
    content = json.loads(written.read_text())
    figures = content.pop("figures")
    assert content == {"pictures": 4, "answered": 4, "found": 3}
    assert figures.keys() == {"mae", "bias", "cs5", "coverage", "width"}
    assert figures["mae"] == pytest.approx({"value": 2, "low": 2, "high": 2, "count": 3})
    assert figures["bias"]["value"] == pytest.approx(-2)


def test_evaluation_by_bounds(service: Service, labelled):
    """4 years wide, their middle 3 years above what the model says."""
    table = labelled / "labels.csv"
    rows = [row.split(",") for row in table.read_text().splitlines()[1:]]
    bounds = [f"{file},{float(age) - 1},{float(age) + 3}" for file, age in rows]
    table.write_text("\n".join(["file,age_low,age_high", *bounds]) + "\n")
    words = ["--url", service.rest, "--labels", table, "--against", "3.2"]
    done = run("bench.evaluate_service", labelled, *words)
    assert (done.returncode, done.stderr) == (0, "")
    _, errors, inside, verdict = done.stdout.splitlines()
    assert errors.startswith("MAE to the middle 3.00 [3.00, 3.00] years, bias -3.00")
    assert inside.startswith("100.00")
    assert verdict == "-0.20 years against 3.2: ok"


def test_evaluation_of_one_split_by_a_column(service: Service, labelled, tmp_path):
    table, written = labelled / "labels.csv", tmp_path / "figures.json"
    rows = [row.split(",") for row in table.read_text().splitlines()[1:]]
    ages = [float(age) for _, age in rows]
    rows[0][1] = f"{ages[0] + 4}"  # 6 years above what the model says
    splits = ["test,f", "test,m", "train,f", "test,m"]
    lines = [f"{','.join(row)},{more}" for row, more in zip(rows, splits, strict=True)]
    table.write_text("\n".join(["file,real_age,split,gender", *lines]) + "\n")
    words = ["--url", service.rest, "--labels", table, "--split", "test", "--json", written]
    done = run("bench.evaluate_service", labelled, *words, "--by", "gender", "--above", 1)
    assert (done.returncode, done.stderr) == (0, "")
    counts, errors, _, women, men = done.stdout.splitlines()
    assert counts == "3 images, 3 answered, 1 without a face"
    assert errors.startswith("MAE 4.00 [")
    assert women.startswith("gender f, 1 images: MAE 6.00 [")
    assert men.startswith("gender m, 1 images: MAE 2.00 [")
    content = json.loads(written.read_text())
    assert content["above"] == 1
    of_groups = content["by"]["gender"]
    assert {name: each["mae"]["value"] for name, each in of_groups.items()} == pytest.approx(
        {"f": 6, "m": 2}
    )
    everyone = run("bench.evaluate_service", labelled, *words, "--by", "gender", "--above", 199)
    assert (everyone.returncode, len(everyone.stdout.splitlines())) == (0, 3)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--by", "gender"], "has no column gender"),
        (["--split", "test"], "has no column split"),
    ],
)
def test_evaluation_without_a_column(service: Service, labelled, words, message):
    table = labelled / "labels.csv"
    words = ["--url", service.rest, "--labels", table, *words]
    done = run("bench.evaluate_service", labelled, *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"error: {table} {message}\n"


def test_evaluation_without_rows(service: Service, labelled):
    table = labelled / "labels.csv"
    table.write_text("file,age,split\n0.png,30,train\n")
    words = ["--url", service.rest, "--labels", table, "--split", "test"]
    done = run("bench.evaluate_service", labelled, *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"error: {table} has no rows of the split test\n"


def test_evaluation_without_ages(service: Service, labelled):
    (labelled / "labels.csv").write_text("file,age_low\n0.png,30\n")
    words = ["--url", service.rest, "--labels", labelled / "labels.csv"]
    done = run("bench.evaluate_service", labelled, *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith(
        "has no columns file and label, file and age, or file, age_low and age_high\n"
    )


def test_evaluation_with_an_image_that_fails(service: Service, labelled):
    (labelled / "0.png").unlink()
    words = ["--url", service.rest, "--labels", labelled / "labels.csv"]
    done = run("bench.evaluate_service", labelled, *words)
    assert done.returncode == 1
    assert done.stderr.startswith("error: 0.png: ")
    assert done.stdout.startswith("4 images, 3 answered, 1 without")


class TestCategories:
    @pytest.fixture
    def folder(self, tmp_path: Path, model_file: Path, tint_file: Path) -> Path:
        """Two faces in the folder of their tint, one in another, and an image without a face."""
        face = encoded(scaled(astronaut(), 0.5))
        answer = expected_of("faces", (model_file, tint_file), face, Options())
        tint = answer["faces"][0]["tint"]
        other = "red" if tint == "blue" else "blue"
        for name in (tint, other):
            (tmp_path / "images" / name).mkdir(parents=True)
        (tmp_path / "images" / tint / "a.png").write_bytes(face)
        (tmp_path / "images" / tint / "b.png").write_bytes(encoded(astronaut()))
        (tmp_path / "images" / other / "a.png").write_bytes(face)
        (tmp_path / "images" / other / "none.png").write_bytes(encoded(scene(80, 60)))
        return tmp_path / "images"

    @pytest.mark.parametrize("more", [(), ("--canvas", 600)])
    def test_of_folders(self, service: Service, folder: Path, tmp_path: Path, more) -> None:
        written = tmp_path / "figures.json"
        words = [
            "--url",
            service.rest,
            "--model-name",
            "faces",
            "--task",
            "tint",
            "--json",
            written,
        ]
        done = run("bench.evaluate_service", folder, *words, *more)
        assert (done.returncode, done.stderr) == (0, "")
        counts, accuracy, coverage = done.stdout.splitlines()
        assert counts == "4 images, 4 answered, 1 without a face"
        assert accuracy.startswith("accuracy 66.67 [")
        assert ", macro F1 40.00 [" in accuracy  # 0.8 of one tint and 0 of the other
        assert coverage.startswith("the prediction set holds the true category of ")
        content = json.loads(written.read_text())
        assert {name: content[name] for name in ("pictures", "answered", "found")} == {
            "pictures": 4,
            "answered": 4,
            "found": 3,
        }
        assert content["figures"].keys() == {"accuracy", "macro_f1", "coverage"}

    def test_of_whole_images(self, service: Service, tmp_path: Path, colour_file: Path) -> None:
        image = encoded(scene(80, 60))
        (tmp_path / "a.png").write_bytes(image)
        label = expected_of("colour", (colour_file,), image, Options())["image"]["colour"]
        (tmp_path / "labels.csv").write_text(f"file,label\na.png,{label}\n")
        words = ["--url", service.rest, "--model-name", "colour", "--against", "98"]
        done = run("bench.evaluate_service", tmp_path, "--labels", tmp_path / "labels.csv", *words)
        assert (done.returncode, done.stderr) == (1, "")
        assert done.stdout.splitlines()[-1] == "+2.00 points against 98.0: too far apart"

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            ([], "faces does not predict faces, but age, tint"),
            (["--task", "age"], "the service predicts numbers and the labels are categories"),
        ],
    )
    def test_another_task(self, service: Service, folder: Path, words, message) -> None:
        url = ["--url", service.rest, "--model-name", "faces"]
        done = run("bench.evaluate_service", folder, *url, *words)
        assert done.returncode == 2
        assert done.stderr.startswith(f"error: {message}")
        assert len(done.stderr.splitlines()) == 1

    def test_a_folder_without_folders(self, service: Service, tmp_path: Path) -> None:
        (tmp_path / "a.png").write_bytes(encoded(scene(80, 60)))
        done = run("bench.evaluate_service", tmp_path, "--url", service.rest)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == (
            f"error: {tmp_path} holds no folder of images: name a CSV file with --labels\n"
        )

    def test_an_image_that_does_not_fit_on_the_canvas(self, service: Service, folder: Path) -> None:
        words = ["--url", service.rest, "--model-name", "faces", "--task", "tint"]
        done = run("bench.evaluate_service", folder, *words, "--canvas", 300)
        assert done.returncode == 1
        (line,) = done.stderr.splitlines()
        assert line.endswith("/b.png: 512 x 512 pixels do not fit on the canvas")
        assert done.stdout.startswith("4 images, 3 answered, 1 without")
