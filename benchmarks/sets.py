"""The sets that benchmarks run on, by name."""

from pathlib import Path

from ltgnn_pyg.datasets import (
    Gowalla,
    LightGCNText,
    Split,
    Yelp2018,
    read_interactions,
    split_ratio,
    synthetic_interactions,
)

HELP = "gowalla, yelp2018, synthetic, a folder with train.txt and test.txt, or a file"


def load_split(
    name: str, root: str, val_ratio: float = 0.0, order: str | None = None
) -> Split:
    """The parts of a set, which lies under a root if it is a published one; of a set
    without parts, those of seed 0, the same for every run.
    """
    cut = {"val_ratio": val_ratio, "order": order, "seed": 0}
    published = {"gowalla": Gowalla, "yelp2018": Yelp2018}
    if name in published:
        return published[name](root).split(**cut)
    if name == "synthetic":
        return split_ratio(synthetic_interactions(), **cut)
    if Path(name).is_dir():
        return LightGCNText(name).split(**cut)
    if not Path(name).is_file():
        raise SystemExit(f"Expected --dataset to be {HELP} (got {name})")
    return split_ratio(read_interactions(name), **cut)
