"""The demo's page in a real Chromium, in front of a real TorchServe."""

import base64
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, FilePayload, Page, expect, sync_playwright

from bench.torchserve import free_ports
from tests.images import encoded, scene
from tests.service.test_rest import JPEG, TWO_FACES
from tests.torchserve import ROOT, Service

PYTHON = ROOT / ".venv-demo" / "bin" / "python"
CHROMIUM = shutil.which("chromium")
CAMERA = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
PHONE = {"width": 360, "height": 740}
SECONDS = 60  # for a start, or an answer, on a machine that has other work
# Writes whom the process connects to.
AUDITED = """
import os, sys

def hook(event, words):
    if event in ("socket.connect", "socket.getaddrinfo"):
        with open(os.environ["CONNECTED"], "a") as log:
            print(words[1][0] if event == "socket.connect" else words[0], file=log)

sys.addaudithook(hook)
"""


@pytest.fixture(scope="module", autouse=True)
def demo_is_there() -> None:
    """Chromium and the demo's environment; skips unless .ci/run has installed them."""
    if not (CHROMIUM and PYTHON.exists()):
        assert "DEMO_IS_TESTED" not in os.environ, "there is no Chromium, or no .venv-demo"
        pytest.skip("apt install chromium, and scripts/demo.sh --install")


@dataclass(frozen=True)
class Demo:
    """One that runs."""

    url: str
    folder: Path  # its temporary one
    connected: Path  # a line for each connection that it makes
    process: subprocess.Popen[str]

    def files(self) -> list[Path]:
        return [path for path in self.folder.rglob("*") if not path.is_dir()]


@contextmanager
def running(url: str, folder: Path, *words: str) -> Iterator[Demo]:
    (port,) = free_ports(1)
    temporary, audit = folder / "temporary", folder / "audit"
    temporary.mkdir()
    audit.mkdir()
    (audit / "sitecustomize.py").write_text(AUDITED)
    connected = folder / "connected"
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "TMPDIR": str(temporary),
        "PYTHONPATH": f"{audit}:{ROOT}",
        "PYTHONDONTWRITEBYTECODE": "1",
        "CONNECTED": str(connected),
    }
    command = [PYTHON, "-m", "demo", "--url", url, "--port", str(port), *words]
    with (
        (folder / "errors").open("w") as errors,
        subprocess.Popen(
            command, cwd=folder, env=environ, stdout=subprocess.PIPE, stderr=errors, text=True
        ) as process,
    ):
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line == f"open http://127.0.0.1:{port}/ (Ctrl-C ends it)\n", (
                folder / "errors"
            ).read_text()
            yield Demo(line.split()[1], temporary, connected, process)
        finally:
            process.send_signal(signal.SIGTERM)
    assert process.returncode == 0
    assert (folder / "errors").read_text() == ""


@pytest.fixture(scope="module")
def demo(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    models = ["--model-name", "age", "colour", "missing", "faces"]
    with running(service.rest, tmp_path_factory.mktemp("demo"), *models) as demo:
        yield demo


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    arguments = [*CAMERA, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


@contextmanager
def opened(browser: Browser, url: str, **words: object) -> Iterator[Page]:
    """A page that is ready, and that asks nobody else as long as it is open."""
    context = browser.new_context(**words)  # type: ignore[arg-type]
    context.set_default_timeout(1000 * SECONDS)
    expect.set_options(timeout=1000 * SECONDS)
    asked: list[str] = []
    errors: list[str] = []
    page = context.new_page()
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(url)
    expect(page.get_by_role("button", name="Try the example")).to_be_visible()
    yield page
    context.close()
    assert [each for each in asked if not each.startswith((url, "data:", "blob:"))] == []
    assert len(asked) > 10
    assert errors == []


@pytest.fixture
def page(browser: Browser, demo: Demo) -> Iterator[Page]:
    with opened(browser, demo.url) as page:
        yield page


def photo(content: bytes, name: str = "photo.jpg") -> FilePayload:
    return {"name": name, "mimeType": "image/jpeg", "buffer": content}


def upload(page: Page, *photos: FilePayload) -> None:
    """Choose them as files, and wait for all answers."""
    page.set_input_files("#photos input[type=file]", photos)
    expect(page.locator("#answers section h2")).to_have_text([each["name"] for each in photos])


def faces(page: Page) -> list[str]:
    return page.locator("#answers tbody th").all_text_contents()


def open_options(page: Page) -> None:
    """Show the options, and wait until they stay as they are set.

    Gradio sets them once more a moment after they are there: faster than hands are.
    """
    page.get_by_role("button", name="Options").click()
    field = page.get_by_label("number input for Faces, at most")
    shown = field.input_value()
    steady = 0
    for _ in range(50):
        field.fill("7")
        page.wait_for_timeout(200)
        steady = steady + 1 if field.input_value() == "7" else 0
        if steady == 3:
            break
    field.fill(shown)
    assert steady == 3


def drawn_size(page: Page) -> list[int]:
    """Width and height of the first picture, once it is loaded."""
    picture = page.locator("#answers img").first
    expect(picture).to_have_js_property("complete", True)
    size: list[int] = picture.evaluate("image => [image.naturalWidth, image.naturalHeight]")
    return size


def test_photos_are_answered(page: Page, demo: Demo) -> None:
    upload(page, photo(JPEG, "one.jpg"), photo(TWO_FACES, "two.jpg"))
    assert faces(page) == ["face 1", "face 1", "face 2"]
    assert drawn_size(page) == [512, 512]
    text = page.locator("#answers section").first.inner_text()
    assert re.search(r"1 face\n.*\bage\b.*\d+\.\d", text, re.DOTALL)
    assert demo.files() == []


def test_files_that_are_no_photos(page: Page, demo: Demo) -> None:
    upload(
        page,
        photo(b"%PDF-1.7", "letter.pdf"),
        photo(JPEG[:5000], "cut.jpg"),
        photo(b"\xff\xd8" + bytes(21 * 2**20), "large.jpg"),
        photo(encoded(scene(400, 2600)), "scene.png"),
        photo(JPEG, "good.jpg"),
    )
    letter, cut, large, without, good = page.locator("#answers section").all_inner_texts()
    assert "This file is no photo that the service can read." in letter
    assert "The photo is damaged or incomplete." in cut
    assert "The file is too large for the service" in large
    assert "No face was found. Faces narrower than 81 pixels are not looked for" in without
    assert "1 face" in good
    assert page.get_by_role("alert").count() == 3
    assert demo.files() == []


def test_no_service(browser: Browser, tmp_path: Path) -> None:
    (port,) = free_ports(1)
    with (
        running(f"http://127.0.0.1:{port}", tmp_path) as demo,
        opened(browser, demo.url) as page,
    ):
        upload(page, photo(JPEG))
        expect(page.get_by_role("alert")).to_contain_text("Start it with scripts/serve.sh")
        assert [*demo.folder.iterdir()] != []
    assert [*demo.folder.iterdir()] == []


def test_the_example_and_options(page: Page) -> None:
    page.get_by_role("button", name="Try the example").click()
    expect(page.locator("#answers h2")).to_have_text("example.jpg")
    assert faces(page) == ["face 1"]
    upload(page, photo(TWO_FACES))
    open_options(page)
    page.get_by_label("number input for Faces, at most").fill("1")
    page.get_by_label("Sharpness, brightness and roll").check()
    page.get_by_role("button", name="Ask again").click()
    expect(page.locator("#answers tbody th")).to_have_text(["face 1"])
    assert "sharpness" in page.locator("#answers thead").inner_text()
    page.get_by_role("button", name="Clear").click()
    expect(page.locator("#answers")).to_contain_text("No photo yet.")
    page.get_by_role("button", name="Ask again").click()
    expect(page.locator("#answers")).to_contain_text("The photos are forgotten.")


def test_other_models(page: Page) -> None:
    open_options(page)
    for model, answered in (
        ("colour", "whole image"),
        ("missing", "The service has no model missing."),
    ):
        page.get_by_role("combobox", name="Model").click()
        page.get_by_role("option", name=model).click()
        upload(page, photo(JPEG))
        expect(page.locator("#answers")).to_contain_text(answered)


def test_attributes(page: Page) -> None:
    open_options(page)
    choices = page.locator("#attributes")
    expect(page.get_by_role("combobox", name="Model")).to_be_visible()
    expect(choices).to_be_hidden()  # age predicts one
    page.get_by_role("combobox", name="Model").click()
    page.get_by_role("option", name="faces").click()
    expect(choices.get_by_role("checkbox")).to_have_count(2)
    upload(page, photo(JPEG))
    table = page.locator("#answers thead")
    expect(table).to_contain_text("tint")
    choices.get_by_label("tint").uncheck()
    page.get_by_role("button", name="Ask again").click()
    expect(table).not_to_contain_text("tint")
    expect(table).to_contain_text("age")
    page.get_by_role("combobox", name="Model").click()
    page.get_by_role("option", name="colour").click()
    expect(choices).to_be_hidden()
    page.get_by_role("button", name="Ask again").click()
    expect(page.locator("#answers")).to_contain_text("whole image")


def test_paste(page: Page) -> None:
    page.evaluate(
        """base64 => {
            const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
            const clipboardData = new DataTransfer();
            clipboardData.items.add(new File([bytes], "pasted.jpg", {type: "image/jpeg"}));
            const paste = new ClipboardEvent("paste", {clipboardData, bubbles: true});
            document.body.dispatchEvent(paste);
        }""",
        base64.b64encode(JPEG).decode(),
    )
    expect(page.locator("#answers h2")).to_have_text("pasted.jpg")
    assert faces(page) == ["face 1"]


def test_webcam(browser: Browser, demo: Demo) -> None:
    with opened(browser, demo.url, permissions=["camera"]) as page:
        page.get_by_role("button", name="Webcam").click()
        page.get_by_role("button", name=re.compile("access webcam", re.IGNORECASE)).click()
        # before the first frame Gradio captures nothing, and says nothing
        page.wait_for_function("() => document.querySelector('video')?.readyState >= 2")
        page.get_by_role("button", name=re.compile("capture", re.IGNORECASE)).click()
        expect(page.locator("#answers section")).to_contain_text("No face was found.")
    assert demo.files() == []


def test_keyboard_alone(page: Page) -> None:
    def tab_to(words: str) -> None:
        for _ in range(20):
            page.keyboard.press("Tab")
            focused = page.evaluate(
                "() => [document.activeElement.innerText, document.activeElement.ariaLabel].join()"
            )
            if words in focused:
                return
        pytest.fail(f"no way to {words} with Tab")

    with page.expect_file_chooser() as chooser:
        tab_to("Click to Upload")
        page.keyboard.press("Enter")
    assert chooser.value.is_multiple()
    chooser.value.set_files([photo(JPEG)])
    expect(page.locator("#answers h2")).to_have_text("photo.jpg")
    tab_to("Try the example")
    page.keyboard.press("Enter")
    expect(page.locator("#answers h2")).to_have_text("example.jpg")
    tab_to("table of what was found")


def test_on_a_phone(browser: Browser, demo: Demo) -> None:
    with opened(browser, demo.url, viewport=PHONE, has_touch=True, is_mobile=True) as page:
        upload(page, photo(TWO_FACES, "a-very-long-name-without-a-single-space-" * 4 + ".jpg"))
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width == PHONE["width"]
        box = page.locator("#answers img").bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= PHONE["width"]
        with page.expect_file_chooser() as chooser:
            page.locator("#photos button").first.tap()
        assert chooser.value.element.get_attribute("accept") == "image/*"


@pytest.mark.parametrize(("scheme", "dark"), [("light", False), ("dark", True)])
def test_colours(browser: Browser, demo: Demo, scheme: str, dark: bool) -> None:
    with opened(browser, demo.url, color_scheme=scheme) as page:
        upload(page, photo(JPEG))

        def brightness(words: str) -> float:
            colour = page.locator("#answers td").first.evaluate(
                f"cell => getComputedStyle({words}).{'color' if words == 'cell' else 'background'}"
            )
            red, green, blue = map(float, re.findall(r"[\d.]+", colour)[:3])
            return (red + green + blue) / 3

        assert (brightness("cell") > 128) is dark
        assert (brightness("document.body") < 128) is dark


def test_nothing_is_kept(browser: Browser, demo: Demo) -> None:
    with opened(browser, demo.url) as page:
        upload(page, photo(JPEG))
        assert page.evaluate("async () => (await indexedDB.databases()).length") == 0
        kept = page.evaluate("() => JSON.stringify([{...localStorage}, {...sessionStorage}])")
        assert "photo.jpg" not in kept
        assert page.evaluate("async () => (await caches.keys()).length") == 0
        assert page.context.cookies() == []
    assert demo.files() == []


def test_it_connects_to_the_service_alone(page: Page, demo: Demo) -> None:
    upload(page, photo(JPEG))
    hosts = set(demo.connected.read_text().split())
    assert "127.0.0.1" in hosts
    assert hosts <= {"127.0.0.1", "localhost", "0.0.0.0", "None"}


def test_a_taken_port_is_an_error_line(demo: Demo, tmp_path: Path) -> None:
    port = demo.url.rstrip("/").rpartition(":")[2]
    done = subprocess.run(
        [PYTHON, "-m", "demo", "--url", "http://127.0.0.1:1", "--port", port],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == f"error: port {port} is taken: give another by --port\n"
    assert list(tmp_path.iterdir()) == []


def test_the_environment_has_no_serving() -> None:
    """What the page needs is the client and Gradio: nothing of the project's own environment."""
    listed = subprocess.run(
        [PYTHON, "-m", "pip", "list"], capture_output=True, text=True, check=True
    ).stdout
    assert re.search(r"^face-age-client ", listed, re.MULTILINE)
    assert not re.search(r"^(torch|torchserve|face-age) ", listed, re.MULTILINE)
