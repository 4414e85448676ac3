"""Answers like the service, from the comment in an image alone."""

import json
import re
from typing import Any, Final

COMMENT: Final = re.compile(rb" (\d+)x(\d+) (\d+)\xff")  # see `loadtests.images.marked`
HEAD: Final = 400  # bytes in which it must be
FACE: Final = {
    "box": [1.0, 1.0, 9.0, 9.0],
    "confidence": 1.0,
    "landmarks": [[3.0, 3.0], [6.0, 3.0], [5.0, 5.0], [3.0, 7.0], [6.0, 7.0]],
    "age": 30.4,
    "age_interval": [18.0, 42.7],
}


class EmptyHandler:
    """The handler that the empty archive names."""

    def initialize(self, context: Any) -> None:
        """There is nothing to load."""

    def handle(self, data: list[dict[str, Any]], context: Any) -> list[bytes]:
        """An answer for each request, as long as a real one."""
        return [_answer(bytes((row.get("data") or row["body"])[:HEAD])) for row in data]


def _answer(head: bytes) -> bytes:
    """Images without the comment, such as the readiness probe, get one face."""
    comment = COMMENT.search(head)
    width, height, faces = map(int, comment.groups()) if comment else (10, 10, 1)
    model = {"name": "age", "version": "1.0", "weights": "0" * 12}
    content = {"width": width, "height": height, "faces": [FACE] * faces, "model": model}
    return json.dumps(content, separators=(",", ":")).encode()
