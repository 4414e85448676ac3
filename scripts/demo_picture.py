"""Makes docs/demo.png, the demo's page with its example, from a service that runs.

    python scripts/demo_picture.py --url http://127.0.0.1:8080

Needs the demo's environment (scripts/demo.sh --install), Chromium (apt install chromium) and
`pip install -e ./client -e '.[dev]'`.
"""

import argparse
import io
import os
import shutil
import subprocess  # nosec B404
import sys
from pathlib import Path
from typing import Final

from PIL import Image

from train.extras import exit_if_missing

ROOT: Final = Path(__file__).resolve().parent.parent
DEMO: Final = ROOT / ".venv-demo" / "bin" / "python"
PICTURE: Final = ROOT / "docs" / "demo.png"
SIZE: Final = (1120, 590)  # pixels
COLOURS: Final = 256  # of the PNG, which is a third of the size so


def photographed(url: str, chromium: str) -> bytes:
    """A PNG of the page, once the example is answered. Raises playwright's Error."""
    with exit_if_missing():
        from playwright.sync_api import sync_playwright

    width, height = SIZE
    with sync_playwright() as playwright:
        # Chromium has no sandbox for root
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=chromium, args=arguments)
        page = browser.new_page(viewport={"width": width, "height": height}, color_scheme="light")
        page.goto(url)
        page.get_by_role("button", name="Try the example").click()
        page.locator("#answers tbody td").first.wait_for()
        page.mouse.move(0, 0)  # no button shows that it is pointed at
        page.wait_for_function("!document.querySelector('.pending')")  # which is pale
        page.wait_for_timeout(1000)
        content = page.screenshot()
        browser.close()
    return content


def main() -> int:
    parser = argparse.ArgumentParser(description="Make docs/demo.png anew.")
    parser.add_argument("--url", default="http://127.0.0.1:8080", help="of a service that runs")
    url = parser.parse_args().url
    chromium = shutil.which("chromium")
    if chromium is None or not DEMO.exists():
        print("error: apt install chromium, and scripts/demo.sh --install", file=sys.stderr)
        return 1
    command = [str(DEMO), "-m", "demo", "--url", url]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as demo:  # nosec B603
        try:
            _, _, rest = (demo.stdout.readline() if demo.stdout else "").partition("open ")
            content = photographed(rest.split()[0], chromium) if rest else b""
        finally:
            demo.terminate()
    if not content:
        return 1  # the demo has said why
    picture = Image.open(io.BytesIO(content)).convert("RGB").quantize(COLOURS)
    picture.save(PICTURE, optimize=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
