"""What `import face_age_client` needs and gives."""

import subprocess
import sys

import pytest

import face_age_client

HIDDEN = ("aiohttp", "google", "grpc", "numpy", "PIL", "torch", "ts", "yarl")


def python(*lines: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "\n".join(lines)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_public_names():
    assert sorted(face_age_client.__all__) == [
        "Answer",
        "Category",
        "ClientError",
        "Explanation",
        "Face",
        "Interrupted",
        "Malformed",
        "Ordinal",
        "Quality",
        "Refused",
        "RestClient",
        "Unreachable",
        "__version__",
    ]
    assert [name for name in face_age_client.__all__ if not hasattr(face_age_client, name)] == []


def test_needs_only_the_standard_library():
    done = python(
        "import sys",
        f"sys.modules.update(dict.fromkeys({HIDDEN}))",
        "import face_age_client, face_age_client.pool, face_age_client.testing",
        "with face_age_client.testing.serving() as server:",
        "    print(face_age_client.RestClient(server.url).predict(b'x').width)",
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "1\n", "")


def test_all_of_it_imports_neither_torch_nor_pillow_nor_torchserve():
    done = python(
        "import sys",
        "import face_age_client.aio, face_age_client.rpc",
        "print(sorted({'torch', 'PIL', 'ts', 'numpy'} & set(sys.modules)))",
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")


@pytest.mark.parametrize(
    ("module", "hidden", "extra"),
    [("aio", "aiohttp", "async"), ("rpc", "grpc", "grpc"), ("rpc", "google", "grpc")],
)
def test_a_missing_extra_is_named(module, hidden, extra):
    done = python(
        "import sys",
        f"sys.modules[{hidden!r}] = None",
        "try:",
        f"    import face_age_client.{module}",
        "except ModuleNotFoundError as error:",
        "    print(error.name.partition('.')[0], error, sep=': ')",
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{hidden}: {hidden}")
    assert done.stdout.endswith(f" is not installed: it comes with face-age-client[{extra}]\n")
