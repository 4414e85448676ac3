import base64
import re

from demo.cards import Found, card, rows, table
from demo.wording import Trouble
from face_age_client import Answer, Category, Face, Ordinal, Quality

AGE = Ordinal(39.74, (29.1, 58.9))
EMOTION = Category("happy", 0.934, {"happy": 0.934, "sad": 0.05}, ("happy",))
EYES = ((0.0, 0.0),) * 5


def test_rows_of_faces() -> None:
    first = Face((10, 20, 50.4, 70), 0.9996, EYES, {"age": AGE, "emotion": EMOTION})
    second = Face((-2, 0, 20, 25), 0.91, EYES, {"age": AGE}, quality=Quality(310.4, 0.456, -7.6))
    assert rows(Answer(100, 100, (first, second), "faces", "1.0", {})) == [
        {
            "what": "face 1",
            "age": "39.7",
            "age, 90 % interval": "29 to 59",
            "emotion": "happy 93 %",
            "emotion, next": "sad 5 %",
            "confidence": "100.0 %",
            "box, pixels": "40 x 50 at 10, 20",
        },
        {
            "what": "face 2",
            "age": "39.7",
            "age, 90 % interval": "29 to 59",
            "confidence": "91.0 %",
            "box, pixels": "22 x 25 at -2, 0",
            "sharpness": "310",
            "brightness": "0.46",
            "roll": "-8°",
        },
    ]


def test_row_of_the_whole_image() -> None:
    answer = Answer(100, 100, (), "birds", "1.0", {}, image={"birds": EMOTION})
    expected = {"what": "whole image", "birds": "happy 93 %", "birds, next": "sad 5 %"}
    assert rows(answer) == [expected]


def test_a_table_has_each_column_once_and_a_cell_in_each() -> None:
    html = table([{"what": "a", "x": "1"}, {"what": "b", "y": "<2>"}])
    assert re.findall(r'<th scope="col">(.*?)</th>', html) == ["what", "x", "y"]
    lines = re.findall(r'<tr><th scope="row">(.*?)</th>(.*?)</tr>', html)
    assert lines == [
        ("a", "<td>1</td><td></td>"),
        ("b", "<td></td><td>&lt;2&gt;</td>"),
    ]
    assert table([]) == ""


def test_card_of_an_answer() -> None:
    face = Face((10, 20, 50, 70), 0.99, EYES, {"age": AGE})
    html = card('"<me>.jpg', Found(Answer(9, 9, (face,), "age", "1.0", {}), b"a picture"))
    assert "<me>" not in html
    assert '<img alt="&quot;&lt;me&gt;.jpg, with what was found drawn on it"' in html
    (source,) = re.findall(r'src="data:image/jpeg;base64,(.*?)"', html)
    assert base64.b64decode(source) == b"a picture"
    assert "<p>1 face</p>" in html
    assert "<td>39.7</td>" in html


def test_card_of_trouble() -> None:
    html = card("a.pdf", Trouble("No <photo>.", "a & b"))
    assert '<div role="alert"><p>No &lt;photo&gt;.</p>' in html
    assert "<small>The service says: a &amp; b</small>" in html
    assert "<img" not in html
    assert "<small>" not in card("a.pdf", Trouble("No photo."))
