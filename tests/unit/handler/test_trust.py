"""What the serving and the learning half never do, read from their code."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from scripts.audit import CODE

ROOT = Path(__file__).resolve().parents[3]
# Modules of the standard library and of what is installed that open connections.
NETWORK = {
    *("aiohttp", "asyncio", "ftplib", "grpc", "http", "httpx", "huggingface_hub", "requests"),
    *("smtplib", "socket", "socketserver", "ssl", "urllib", "urllib3", "webbrowser", "xmlrpc"),
}
UNPICKLING = {"pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}


def trees(*folders: str) -> Iterator[tuple[Path, ast.Module]]:
    for folder in folders:
        for file in sorted((ROOT / folder).rglob("*.py")):
            yield file.relative_to(ROOT), parsed(file)


@cache
def parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text())


def imported(tree: ast.AST) -> Iterator[str]:
    """The packages that a module imports, wherever in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name.partition(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]


def called(tree: ast.AST, name: str) -> Iterator[ast.Call]:
    """The calls of a dotted name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == name:
            yield node


def test_the_handler_opens_no_connection() -> None:
    found = {str(file): NETWORK & set(imported(tree)) for file, tree in trees("handler")}
    assert len(found) > 15
    assert not {file: names for file, names in found.items() if names}


@cache
def unparsed(tree: ast.Module) -> str:
    return ast.unparse(tree)


@pytest.mark.parametrize("name", ["torch.hub", "torch.utils.model_zoo", "load_state_dict_from_url"])
def test_the_handler_downloads_no_weights(name: str) -> None:
    assert not [str(file) for file, tree in trees("handler") if name in unparsed(tree)]


def test_nothing_is_unpickled() -> None:
    found = {str(file): UNPICKLING & set(imported(tree)) for file, tree in trees(*CODE)}
    assert not {file: names for file, names in found.items() if names}


def test_weights_are_read_as_weights_only() -> None:
    """torch.load alone would run code from the file."""
    loads = [
        (str(file), call) for file, tree in trees(*CODE) for call in called(tree, "torch.load")
    ]
    assert loads  # or this test looks for the wrong name
    for file, call in loads:
        given = {word.arg: word.value for word in call.keywords}
        assert isinstance(given.get("weights_only"), ast.Constant), file
        assert given["weights_only"].value is True, file
