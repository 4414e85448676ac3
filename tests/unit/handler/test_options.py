"""The options of tasks: their names and values, in headers, parts and JSON."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handler.errors import InvalidOption
from handler.options import HEADERS, NAMES, Options, checked, of_headers, of_parts

TASKS = ("age", "tint", "colour")


def refused(values: dict[str, object], tasks: tuple[str, ...] = TASKS) -> str:
    with pytest.raises(InvalidOption) as caught:
        checked(values, {}, tasks)
    return caught.value.message


def test_each_has_a_header() -> None:
    assert HEADERS == {
        "x-min-confidence": "min_confidence",
        "x-max-faces": "max_faces",
        "x-attributes": "attributes",
        "x-top-k": "top_k",
        "x-distribution": "distribution",
        "x-quality": "quality",
        "x-relative": "relative",
        "x-rotate": "rotate",
        "x-annotate": "annotate",
    }
    assert set(HEADERS.values()) == set(NAMES)


def test_by_default_all_attributes_and_nothing_more() -> None:
    options = checked({}, {}, TASKS)
    assert options == Options()
    assert options.attributes == ()
    assert options.top_k == 5
    assert (options.distribution, options.quality, options.relative) == (False, False, False)
    assert (options.rotate, options.annotate) == ("", "")


def test_in_headers() -> None:
    values = of_headers(
        {
            "x-attributes": "tint, age",
            "x-top-k": "3",
            "x-distribution": "true",
            "x-quality": " True ",
            "x-relative": "false",
            "x-rotate": " Auto ",
            "host": "any",
        }
    )
    assert checked(values, {}, TASKS) == Options(
        attributes=("age", "tint"), top_k=3, distribution=True, quality=True, rotate="auto"
    )


def test_in_parts() -> None:
    parts = {"attributes": b"colour", "top_k": bytearray(b"1"), "relative": "true"}
    assert checked(of_parts(parts), {}, TASKS) == Options(
        attributes=("colour",), top_k=1, relative=True
    )


class TestAttributes:
    @pytest.mark.parametrize(
        ("value", "chosen"),
        [
            ("age", ("age",)),
            ("colour,age", ("age", "colour")),  # in the archive's order
            (" tint ,age ", ("age", "tint")),
            ("age,age", ("age",)),
            (["tint", "age"], ("age", "tint")),
            (["tint"], ("tint",)),
        ],
    )
    def test_chosen(self, value: object, chosen: tuple[str, ...]) -> None:
        assert checked({"attributes": value}, {}, TASKS).attributes == chosen

    @pytest.mark.parametrize(
        "value",
        ["", ",", "age,", "Age", "emotion", "age;tint", "age tint", [], [""], [1], [["age"]], 5,
         None, True, {"age": 1}],
    )  # fmt: skip
    def test_refused(self, value: object) -> None:
        assert refused({"attributes": value}).startswith(
            "attributes must be one or more of age, tint, colour, with commas between them, not "
        )

    def test_of_an_archive_of_one_task(self) -> None:
        assert refused({"attributes": "emotion"}, ("age",)) == (
            "attributes must be one or more of age, with commas between them, not 'emotion'"
        )

    def test_a_long_value_is_shortened(self) -> None:
        assert len(refused({"attributes": "x" * 5000})) < 150


class TestFlags:
    @pytest.mark.parametrize("name", ["distribution", "quality", "relative"])
    @pytest.mark.parametrize("value", ["", "1", "yes", "on", "truee", b"0"])
    def test_refused_as_text(self, name: str, value: object) -> None:
        message = refused(of_parts({name: value}))
        assert message.startswith(f"{name} must be true or false, not ")

    @pytest.mark.parametrize("name", ["distribution", "quality", "relative"])
    @pytest.mark.parametrize("value", [0, 1, None, "true", [], 1.0])
    def test_refused_in_json(self, name: str, value: object) -> None:
        assert refused({name: value}).startswith(f"{name} must be true or false, not ")

    @pytest.mark.parametrize("text", ["true", "True", "TRUE"])
    def test_in_any_case(self, text: str) -> None:
        assert checked(of_parts({"quality": text}), {}, TASKS).quality is True


class TestRotate:
    @pytest.mark.parametrize("text", ["auto", "Auto", b" AUTO "])
    def test_taken(self, text: object) -> None:
        assert checked(of_parts({"rotate": text}), {}, TASKS).rotate == "auto"

    @pytest.mark.parametrize("value", ["", "90", 90, 0, True, False, None, "true", ["auto"]])
    def test_refused(self, value: object) -> None:
        assert refused({"rotate": value}).startswith("rotate must be auto, not ")


class TestTopK:
    @pytest.mark.parametrize("value", [0, 1001, -1, 1.0, True, None, "5", [5]])
    def test_refused(self, value: object) -> None:
        assert refused({"top_k": value}).startswith(
            "top_k must be a whole number from 1 to 1000, not "
        )

    @pytest.mark.parametrize("value", [1, 1000])
    def test_taken(self, value: int) -> None:
        assert checked({"top_k": value}, {}, TASKS).top_k == value


@pytest.mark.parametrize(
    "name",
    ["x-attribute", "x-attrs", "x_attributes", "x-attributs", "x-top-n", "x-topk", "x_top_k",
     "x-distributions", "x-relative-box", "x-relative-boxes", "x-annotated", "x-annotation",
     "x-rotation", "x-rotat", "x-rottate", "x-auto-rotate", "x_rotate"],
)  # fmt: skip
def test_a_header_that_looks_like_an_option(name: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        of_headers({name: "1"})
    assert caught.value.message == (
        f"there is no option {name!r}; known headers are X-Min-Confidence, X-Max-Faces, "
        "X-Attributes, X-Top-K, X-Distribution, X-Quality, X-Relative, X-Rotate, X-Annotate"
    )


@pytest.mark.parametrize(
    "name",
    ["x-attack-id", "x-att-deviceid", "x-top-domain", "x-quality-of-service", "x-relay", "x-topic",
     "x-rotor", "x-rotation-policy",
     "accept-quality", "attributes", "distribution"],
)  # fmt: skip
def test_headers_of_others(name: str) -> None:
    assert of_headers({name: "1"}) == {}


def test_an_unknown_name() -> None:
    assert refused({"attribute": "age"}) == (
        "there is no option 'attribute'; known are data, min_confidence, max_faces, attributes, "
        "top_k, distribution, quality, relative, rotate, annotate"
    )


class TestAnnotate:
    @pytest.mark.parametrize("text", ["png", " PNG ", b"png"])
    def test_in_parts(self, text: object) -> None:
        assert checked(of_parts({"annotate": text}), {}, TASKS).annotate == "png"

    @pytest.mark.parametrize("value", ["gif", "", True, None, "PNG", ["png"]])
    def test_refused_in_json(self, value: object) -> None:
        assert refused({"annotate": value}).startswith("annotate must be jpeg or png, not ")


any_value: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


def outcome(values: dict[str, object]) -> Options | InvalidOption:
    try:
        return checked(values, {}, TASKS)
    except InvalidOption as failure:
        return failure


@given(name=st.sampled_from(NAMES), value=any_value)
def test_any_value_of_json_is_taken_or_refused(name: str, value: Any) -> None:
    found = outcome({name: value})
    if isinstance(found, Options):
        assert type(getattr(found, name)) in (int, float, bool, tuple)
    else:
        assert found.message.startswith(f"{name} must be ")
        assert "\n" not in found.message


@given(name=st.sampled_from(NAMES), value=st.binary() | st.text())
def test_any_part_is_taken_or_refused(name: str, value: bytes | str) -> None:
    found = outcome(of_parts({name: value}))
    assert isinstance(found, Options) or found.message.startswith(f"{name} must be ")
