"""The page of an evaluation that lacks what others have."""

from html.parser import HTMLParser
from pathlib import Path

from tests.unit.train.evaluation.test_report import held_out, report

TITLES = [
    "The model and its figures",
    "Predicted against true",
    "Error by age",
    "Error by gender and race group",
    "The interval",
    "Cumulative score",
    "Portraits",
    "The worst faces",
    "Learning curves",
    "Every decade",
]


class Page(HTMLParser):
    """The tags and texts of a page, parsed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def all(self, tag: str, attribute: str) -> list[str]:
        """The values of an attribute of all tags of a name."""
        return [str(a[attribute]) for name, a in self.tags if name == tag and attribute in a]


def test_a_page_without_portraits_labels_and_logs(tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    faces = held_out(3, known=False)  # fewer than are shown of the worst
    report(faces).write(file)
    text = file.read_text(encoding="utf-8")
    assert [t for t in TITLES if f">{t}</h2>" in text] == [t for t in TITLES if t != "Portraits"]
    assert "No data set here has labels of either." in text
    assert "The evaluated file has no TensorBoard log beside it." in text
    assert len(Page(text).all("img", "src")) == 4 + 3
