"""Compares the answers of two services to the same photos, key by key.

    python -m bench.answers URL OTHER_URL FOLDER

For a change that must not change answers: one service runs the code before it, the other the code
after it. Prints a table, and the places in which answers differ. Exits with 1 where one does.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from commands.image_search import shown
from face_age_client import ClientError, Refused, RestClient

FEW: Final = 10  # differences that are printed of each photo


@dataclass(frozen=True)
class Difference:
    """A place in the answer's JSON, with what each service has there."""

    place: str
    one: object
    other: object

    def __str__(self) -> str:
        return f"{self.place}: {self.one} and {self.other}"


def differences(one: Any, other: Any, place: str = "answer") -> Iterator[Difference]:
    """The leaves in which two JSON values differ; lists of different lengths are one leaf."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        for key in one:
            yield from differences(one[key], other[key], f"{place}.{key}")
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for index, pair in enumerate(zip(one, other, strict=True)):
            yield from differences(*pair, f"{place}[{index}]")
    elif one != other:
        yield Difference(place, one, other)


def answer(client: RestClient, image: bytes) -> dict[str, Any]:
    """The JSON of an answer or of a refusal; raises ClientError where there is neither."""
    try:
        return client.predict(image).content
    except Refused as error:
        return {"code": error.code, "type": error.type, "message": error.message}


def main() -> int:
    """Run the command; exit code 1 where an answer differs, or a service does not answer."""
    parser = argparse.ArgumentParser(description="Compare the answers of two services.")
    parser.add_argument("url", help="of one service, such as http://127.0.0.1:8080")
    parser.add_argument("other", metavar="other_url", help="of the other")
    parser.add_argument("folder", type=Path, help="every file in it is sent")
    given = parser.parse_args()
    counts: Counter[str] = Counter()
    try:
        with RestClient(given.url) as one, RestClient(given.other) as other:
            for path in sorted(path for path in given.folder.rglob("*") if path.is_file()):
                image = path.read_bytes()
                answers = answer(one, image), answer(other, image)
                counts["photos"] += 1
                counts["faces"] += len(answers[0].get("faces", ()))
                counts["refused"] += "code" in answers[0]
                found = list(differences(*answers))
                counts["equal"] += not found
                for difference in found[:FEW]:
                    print(f"{shown(path)}: {difference}")
    except (ClientError, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for name in ("photos", "faces", "refused", "equal"):
        print(f"{name:<8} {counts[name]:>6}")
    return int(not counts["photos"] or counts["equal"] < counts["photos"])


if __name__ == "__main__":
    sys.exit(main())
