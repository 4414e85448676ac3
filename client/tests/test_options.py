import pytest

from face_age_client.options import texts


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
