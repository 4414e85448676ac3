"""Whatever path somebody has reaches the configuration as it was typed."""

import os
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import example, given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from train.configuration.overrides import escaped, quoted, split_elements

TYPED = [
    "plain folder/faces.csv", "Faces (2)/faces.csv", "Größe/", "照片/", "a=b/", "C#1", "a,b",
    "~backup", "Mom & Dad", "it's", "$HOME/x", "a${b", "${", "}{", " both ends ", "[x]", "[x",
    "{x}", "C:\\a\\b", "\\", "a\\", "'", '"', "'a", "a'\\", "\\'", "line\nbreak", "tab\t",
    "b\udce9.jpg", "null", "true", "1e3", "0x10", "choice(a,b)", "range(1,3)", "a:b",
    "key: value", "!tag", "*x", "&y", "%z", "@at", "`x`", "|", "?", "é\\\\${", "x'y\"z", "", "-1",
    "+1", "a;b", "<x>", "''a", "😀",
]  # fmt: skip


# Quotes around the whole are no part of it; ??? is how OmegaConf says that a value is missing
PATH = st.text(st.characters(exclude_characters="\0"), max_size=12).filter(
    lambda text: text != "???" and text[:1] + text[-1:] not in ("''", '""')
)


def parsed(override: str) -> object:
    return OverridesParser.create().parse_override(override).value()


def taken(override: str, sweeping: bool = False) -> object:
    """What OmegaConf makes of the value that Hydra reads."""
    return OmegaConf.create({"x": parsed(quoted(override, sweeping))}).x


@pytest.mark.parametrize("path", TYPED)
def test_a_path_is_taken_as_it_is_typed(path: str) -> None:
    assert taken(f"data.sources.own={path}") == path
    assert taken(f"+data.sources.more={path}") == path
    assert taken(f"run={path}") == path


@given(PATH)
@example("a\\\\'")
@example("${a\\${")
def test_any_text_is_a_path(path: str) -> None:
    if "${" not in path or escaped(path) != path:  # what is an interpolation, is one
        assert taken(f"data.sources.own={path}") == path
        assert taken(f"fit.start={path}") == (None if path == "null" else path)


@given(st.lists(PATH.map(str.strip).filter(lambda t: t and not set(t) & set(",$'\"")), min_size=1))
def test_any_texts_in_brackets_are_a_list(paths: list[str]) -> None:
    assert parsed(quoted(f"fit.teachers=[{','.join(paths)}]")) == paths
    assert parsed(quoted(f"fit.teachers=[ {' , '.join(paths)} ]")) == paths
    if not (paths[0].startswith("[") and paths[-1].endswith("]")) and paths != ["null"]:
        assert parsed(quoted(f"fit.teachers={','.join(paths)}")) == paths


@pytest.mark.parametrize(
    ("typed", "value"),
    [
        ("fit.teachers=[Faces (2)/a.ckpt,b=c/d.ckpt]", ["Faces (2)/a.ckpt", "b=c/d.ckpt"]),
        ("fit.teachers=['a,b.ckpt', \"it's\",it's]", ["a,b.ckpt", "it's", "it's"]),
        ("export.checkpoints=a.ckpt", ["a.ckpt"]),
        ("export.checkpoints=[007,1_000,1e3,true,null]", ["007", "1_000", "1e3", "true", "null"]),
        ("fit.teachers=[]", []),
        ("variants.prune=0.3,0.5", [0.3, 0.5]),
        ("variants.prune=[0.3, 1e-1]", [0.3, 0.1]),
        ("variants.prune=[]", []),
        ("variants.prune=half", ["half"]),
        ("data=[appa_real,own]", ["appa_real", "own"]),
        ("fit.start=null", None),
        ("run=null", "null"),
        ("fit.epochs=3", 3),
        ("fit.epochs=1,2", "1,2"),
        ("fit.epochs=(3", "(3"),
        ("fit.resume=true", True),
        ("fit.ema=null", None),
        ("hydra.run.dir=Faces (2)", "Faces (2)"),
        ("logger.save_dir=Größe", "Größe"),
        ("+trainer.devices=[0,1]", [0, 1]),
        ("+trainer.max_time={hours: 2}", {"hours": 2}),
        ("data.sources.own='Faces (2)/faces.csv'", "Faces (2)/faces.csv"),
        ('data.sources.own="it\'s"', "it's"),
    ],
)
def test_values_that_are_no_single_path(typed: str, value: object) -> None:
    assert parsed(quoted(typed)) == value


def test_a_file_whose_name_has_quotes_or_commas_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path('"quoted"').mkdir()
    assert parsed(quoted('data.sources.utkface="quoted"')) == '"quoted"'
    assert parsed(quoted('data.sources.utkface="other"')) == "other"
    Path("a, b").mkdir()
    assert parsed(quoted("export.checkpoints=[a, b]")) == ["a, b"]
    assert parsed(quoted("export.checkpoints=a, b")) == ["a, b"]
    assert parsed(quoted("export.checkpoints=[a, b/c]")) == ["a", "b/c"]


@pytest.mark.parametrize("text", ["${run}/best (2).ckpt", "${oc.env:HOME}/Größe", "\\${run}"])
def test_interpolations_go_through(text: str) -> None:
    config = OmegaConf.create({"run": "a b", "fit": {"start": parsed(quoted(f"fit.start={text}"))}})
    expanded = {"${run}": "a b", "${oc.env:HOME}": os.environ["HOME"], "\\a b": "${run}"}
    for old, new in expanded.items():
        text = text.replace(old, new)
    assert config.fit.start == text
    (inside,) = parsed(quoted("export.checkpoints=[${oc.env:NOPE,a}/x]"))
    assert inside == "${oc.env:NOPE,a}/x"


@pytest.mark.parametrize(
    ("typed", "each"),
    [
        ("fit.start=Faces (2)/a,b=c", ["'Faces (2)/a'", "'b=c'"]),
        ("fit.start=choice(a,b)", ["a", "b"]),
        ("fit.epochs=1,2", ["1", "2"]),
        ("fit.sigma=range(1,3)", ["1", "2"]),
        ("fit.teachers=[a],[b,c]", ["[a]", "[b,c]"]),
        ("model=resnet18,resnet34", ["resnet18", "resnet34"]),
    ],
)
def test_a_sweep_stays_one(typed: str, each: list[str]) -> None:
    override = OverridesParser.create().parse_override(quoted(typed, sweeping=True))
    assert list(override.sweep_string_iterator()) == each


def test_without_commas_a_path_in_a_sweep_is_a_path() -> None:
    assert taken("fit.start=Faces (2)/a", sweeping=True) == "Faces (2)/a"
    assert parsed(quoted("fit.teachers=[Faces (2)/a]", sweeping=True)) == ["Faces (2)/a"]


@pytest.mark.parametrize(
    "typed", ["fit", "~data.sources.own", "~fit.start=null", "--x", "+experiment=a"]
)
def test_the_rest_is_left_as_it_is(typed: str) -> None:
    assert quoted(typed) == typed


def test_parts() -> None:
    assert split_elements("a, 'b,c' ,\"d,e\",f'g,h',${x:1,${y:2,3}},${z,1") == [
        "a", "'b,c'", '"d,e"', "f'g", "h'", "${x:1,${y:2,3}}", "${z,1"
    ]  # fmt: skip
