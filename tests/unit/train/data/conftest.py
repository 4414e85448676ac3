from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.unit.train.data.crops import COUNTS, crop, label
from train.data.cache import Shard, write_shard


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two data sets, the first in two shards: crops of the colours 0 to 27."""
    splits = [split for split, count in COUNTS.items() for _ in range(count)]
    order = np.random.default_rng(0).permutation(len(splits))
    labels = [label(int(number), splits[number]) for number in order]
    crops = np.stack([crop(int(number)) for number in order])
    root = tmp_path_factory.mktemp("crops")
    parts = [("one", 0, slice(0, 10)), ("one", 1, slice(10, 15)), ("other", 0, slice(15, None))]
    for name, index, part in parts:
        (root / name).mkdir(exist_ok=True)
        write_shard(root / name, index, Shard(crops[part], labels[part], {}))
    return [root / "one", root / "other"]


@pytest.fixture
def voted(tmp_path: Path) -> list[Path]:
    """Three ages of 30; people said 33 of the first, nothing of the second, 50 of the third."""
    votes = [(33.0, 4.0), None, (50.0, 2.0)]
    labels = [replace(label(i, "train"), votes=each) for i, each in enumerate(votes)]
    labels.append(label(3, "val"))
    crops = np.stack([crop(number) for number in range(4)])
    write_shard(tmp_path, 0, Shard(crops, labels, {}))
    return [tmp_path]
