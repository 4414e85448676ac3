"""Measures how one key's images of crowds delay another key's portraits, behind the proxy.

    FACE_AGE_KEY=... FACE_AGE_OTHER_KEY=... python -m bench.fairness --url https://localhost \
        --certificates /etc/face-age/certificate.pem --output table.md

One client sends portraits, one after the other; another sends images of a thousand faces over
more and more connections, as fast as it is let, and asks for as many of them as the proxy allows.
Prints a table of what the first one sees, and the machine; --output keeps it in a file as well.
"""

import argparse
import io
import os
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

from face_age_client.errors import ClientError
from face_age_client.rest import RestClient
from handler.cores import cores

ROOT = Path(__file__).resolve().parent.parent

CANNED = ROOT / "server" / "canned.jpg"
CONNECTIONS = (0, 2, 8, 16)
SIDE, ACROSS = 40, 32  # pixels of a face in the crowd; faces in a row and in a column
PACE = 0.12  # seconds from a portrait to the next: below the rate of a key


def portrait() -> bytes:
    """A 512 px image of one face."""
    return _jpeg(Image.open(CANNED).convert("RGB").resize((512, 512)))


def crowd() -> bytes:
    """An image of a thousand faces, side by side."""
    face = Image.open(CANNED).convert("RGB").resize((SIDE, SIDE))
    sheet = Image.new("RGB", (SIDE * ACROSS, SIDE * ACROSS))
    for place in range(ACROSS * ACROSS):
        sheet.paste(face, (SIDE * (place % ACROSS), SIDE * (place // ACROSS)))
    return _jpeg(sheet)


def _jpeg(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=90)
    return file.getvalue()


@contextmanager
def flood(
    address: str, certificates: Path | None, key: str, connections: int, max_faces: int
) -> Iterator[list[float]]:
    """Send crowds over `connections` until the block ends; yields the latencies in seconds."""
    answered: list[float] = []
    ended = threading.Event()

    def send(image: bytes) -> None:
        client = RestClient(address, api_key=key, ca_file=certificates, timeout=70)
        while not ended.is_set():
            started = time.monotonic()
            try:
                client.predict(image, max_faces=max_faces)
                answered.append(time.monotonic() - started)
            except ClientError:
                ended.wait(1)
        client.close()

    threads = [threading.Thread(target=send, args=(crowd(),)) for _ in range(connections)]
    for thread in threads:
        thread.start()
    try:
        yield answered
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def portraits(client: RestClient, seconds: float) -> tuple[list[float], int]:
    """Latencies of the portraits in seconds, and the number of failures."""
    image, took, failed = portrait(), [], 0
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        started = time.monotonic()
        try:
            client.predict(image)
        except ClientError:
            failed += 1
        took.append(time.monotonic() - started)
        time.sleep(max(0.0, PACE - took[-1]))
    return took, failed


def machine() -> str:
    """The processor, its cores, and the load average of the last minute."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return f"{(models or ['unknown'])[0]}, {cores()} cores, load {os.getloadavg()[0]:.1f} before"


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure what one key's crowds cost another.")
    parser.add_argument("--url", required=True)
    parser.add_argument("--certificates", type=Path, metavar="PEM")
    parser.add_argument("--seconds", type=float, default=30, help="for each line")
    parser.add_argument("--max-faces", type=int, default=300, help="that a crowd is asked for")
    parser.add_argument("--output", type=Path, metavar="FILE", help="the table is kept there too")
    given = parser.parse_args()
    key, other = os.environ.get("FACE_AGE_KEY", ""), os.environ.get("FACE_AGE_OTHER_KEY", "")
    table: list[str] = []

    def write(line: str) -> None:
        table.append(line)
        print(line, flush=True)
        if given.output:
            given.output.write_text("".join(f"{line}\n" for line in table))

    write(f"{machine()}; {given.max_faces} faces asked for; {given.seconds:g} s a line\n")
    write("| connections with crowds | portraits | failed | median | 95th percentile | crowds |")
    write("|---|---|---|---|---|---|")
    client = RestClient(given.url, api_key=key, ca_file=given.certificates, timeout=70)
    for connections in CONNECTIONS:
        flooded = flood(given.url, given.certificates, other, connections, given.max_faces)
        with flooded as answered:
            time.sleep(5 if connections else 0)
            took, failed = portraits(client, given.seconds)
            crowds = len(answered)
        high = statistics.quantiles(took, n=20)[-1] if len(took) > 1 else took[0]
        write(
            f"| {connections} | {len(took)} | {failed} | {statistics.median(took):.2f} s | "
            f"{high:.2f} s | {crowds} |"
        )
    client.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
