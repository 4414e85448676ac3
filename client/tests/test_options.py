import pytest

from face_age_client.options import texts, trace

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_texts():
    assert texts(
        {
            "min_confidence": 0.0,
            "max_faces": 3,
            "attributes": ["age", "emotion"],
            "top_k": 2,
            "distribution": True,
            "quality": False,
            "relative": None,
            "rotate": "auto",
        }
    ) == {
        "min_confidence": "0.0",
        "max_faces": "3",
        "attributes": "age,emotion",
        "top_k": "2",
        "distribution": "true",
        "quality": "false",
        "rotate": "auto",
    }


@pytest.mark.parametrize("names", ["age", ("age",)])
def test_one_name(names):
    assert texts({"attributes": names}) == {"attributes": "age"}


@pytest.mark.parametrize("names", ["", (), None])
def test_all_attributes(names):
    assert texts({"attributes": names}) == {}


def test_unknown_name():
    with pytest.raises(TypeError, match="unexpected keyword argument 'max_face'"):
        texts({"max_face": 3})


@pytest.mark.parametrize("traceparent", [TRACEPARENT, f"01{TRACEPARENT[2:]}-more"])
def test_trace(traceparent):
    assert trace(traceparent) == {"traceparent": traceparent}


@pytest.mark.parametrize(
    "traceparent",
    ["", "1", TRACEPARENT.upper(), f"ff{TRACEPARENT[2:]}", f"00-{'0' * 32}-00f067aa0ba902b7-01",
     f"00-4bf92f3577b34da6a3ce929d0e0e4736-{'0' * 16}-01", f"{TRACEPARENT}\r\nX-Other: 1",
     f"{TRACEPARENT}\n", f" {TRACEPARENT}", f"{TRACEPARENT}-a b"],
)  # fmt: skip
def test_no_trace(traceparent):
    assert trace(traceparent) == {}
