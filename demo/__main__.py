"""Serves the page until Ctrl-C: scripts/demo.sh runs this in the demo's environment."""

import os
import signal
import subprocess  # nosec B404
import sys
import tempfile
import threading
from contextlib import nullcontext
from pathlib import Path

from demo import options, service


def serve(settings: options.Settings) -> None:
    """Serve until a signal to end. Raises ValueError and OSError, for which there is a line."""
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: ended.set())
    with tempfile.TemporaryDirectory(prefix="face-age-demo-") as folder:
        tempfile.tempdir = folder  # of parts of an upload
        os.environ["GRADIO_TEMP_DIR"] = folder
        os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
        os.environ["HF_HUB_OFFLINE"] = "1"
        from demo import page  # it reads the environment

        built = page.build(settings, Path(folder))
        try:
            address = page.launch(built, settings)
        except OSError:
            if settings.port is None:
                raise
            raise OSError(f"port {settings.port} is taken: give another by --port") from None
        print(f"open {address} (Ctrl-C ends it)", flush=True)
        ended.wait()
        built.close(verbose=False)


def main() -> int:
    settings = options.read(program="scripts/demo.sh")
    started = service.running(settings.url, settings.models)
    try:
        with started if settings.starts_service else nullcontext():
            serve(settings)
    except subprocess.CalledProcessError as error:
        return error.returncode
    except KeyboardInterrupt:  # while the service starts
        return 130
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
