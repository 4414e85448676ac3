import pytest

from tests.unit.train.conftest import configuration
from train.provenance.terms import KNOWN, OWN, Terms, data_set, data_sets


@pytest.mark.parametrize(
    ("words", "use"),
    [
        ("CC BY-NC 4.0", "non-commercial"),
        ("cc-by-nc-sa-4.0", "non-commercial"),
        ("Noncommercial use", "non-commercial"),
        ("for academic research", "non-commercial"),
        ("CC BY 4.0", "licence"),
        ("apache-2.0", "licence"),
        ("our own images, with consent", "licence"),
        ("research use only", "non-commercial"),
        ("Acme Research Ltd, MIT", "licence"),
    ],
)
def test_what_stated_terms_come_to(words: str, use: str) -> None:
    assert Terms.stated(words).use == use


def test_words_are_kept_on_one_line() -> None:
    assert Terms.stated("  CC BY 4.0\n of ours ").words == "CC BY 4.0 of ours"


@pytest.mark.parametrize("name", ["utkface", "utkface_wild", "facial_age", "appa_real"])
def test_the_data_sets_with_readers_are_for_research(name: str) -> None:
    assert KNOWN[name].terms.use == "non-commercial"
    # nobody makes them free by stating something
    assert data_set(name, "CC0") == KNOWN[name]


@pytest.mark.parametrize("name", ["UTKFace", "appa-real", "APPA_REAL"])
def test_a_known_name_in_any_spelling(name: str) -> None:
    found = data_set(name)
    assert found.name == name
    assert found.terms.use == "non-commercial"


def test_one_s_own_data_and_what_is_stated_of_it() -> None:
    overrides = ["data=[own,utkface]", "+data.sources.more=b.csv", "+data.terms.more=CC BY 4.0"]
    of_name = {each.name: each.terms for each in data_sets(configuration(overrides))}
    assert of_name["own"] == OWN
    assert of_name["more"] == Terms("CC BY 4.0", "licence")
    assert of_name["utkface"] == KNOWN["utkface"].terms
    number = data_sets(configuration(["data=own", "data.terms.own=2026"]))
    assert number[0].terms.words == "2026"
    stated = data_sets(configuration(["data=own", "data.terms.own=CC BY-NC 4.0"]))
    assert [each.terms.use for each in stated] == ["non-commercial"]
