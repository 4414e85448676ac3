"""What of an image is left behind the proxy, in any file of it, of TorchServe, or elsewhere."""

import json
import time
from pathlib import Path

from tests.proxy.proxy import Proxy
from tests.service.traces import Marker, held_open, kept, processes, strewn, traces
from tests.torchserve import await_logged


def remains(proxy: Proxy, marker: Marker, started: float) -> list[str]:
    """The files that the marker is in, and those that should be gone.

    `started`: when the first image was sent, seconds since 1970.
    """
    last = f"/{marker.text[:20]}"  # no marker: half of it
    proxy.ask(path=last, method="GET")
    await_logged(proxy.folder / "access.log", last)
    time.sleep(0.3)
    state = proxy.service.logs.parent
    folder = Path(json.loads((state / "state.json").read_text())["folder"])
    pids = [*proxy.workers(), *processes(str(folder))]
    files = [*kept((proxy.folder, state, folder)), *held_open(pids), *strewn(started)]
    assert {proxy.folder / "access.log", proxy.folder / "error.log"} <= set(files)
    temporary = [str(file) for file in kept([proxy.folder]) if file.parent != proxy.folder]
    return traces(marker, files) + temporary
