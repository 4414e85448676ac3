"""List held-out images with near duplicates in other splits.

    python -m train.duplicates

Writes `duplicates.csv` into the folder of prepared crops, by descending correlation.
"""

from collections import Counter
from pathlib import Path

from omegaconf import DictConfig

from train.configuration.command_line import command
from train.configuration.settings import prepared_folders
from train.data.duplicates import find, write


@command
def main(config: DictConfig) -> None:
    """Print the number of copies per split and data set, and the path of the list."""
    found = find(prepared_folders(config), config.crop.size)
    listed = Path(config.data.prepared) / "duplicates.csv"
    write(found, listed)
    images = {(copy.held_out.source, copy.held_out.file): copy for copy in found}
    counts = Counter((copy.held_out.split, copy.held_out.source) for copy in images.values())
    for (split, source), count in sorted(counts.items()):
        print(f"{split}: {count} images of {source} have a near copy in another split")
    print(f"{len(found)} pairs: {listed}")


if __name__ == "__main__":
    main()
