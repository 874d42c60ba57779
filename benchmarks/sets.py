"""The sets that benchmarks run on, by name."""

from pathlib import Path

from ltgnn_pyg.datasets import (
    Gowalla,
    LightGCNText,
    Split,
    Yelp2018,
    split_ratio,
    synthetic_interactions,
)

HELP = "gowalla, yelp2018, synthetic, or a folder with train.txt and test.txt"


def load_split(name: str, root: str, val_ratio: float = 0.0) -> Split:
    """The parts of a set, which lies under a root if it is a published one."""
    if name in ("gowalla", "yelp2018"):
        dataset = {"gowalla": Gowalla, "yelp2018": Yelp2018}[name](root)
        return dataset.split(val_ratio)
    if name == "synthetic":
        return split_ratio(synthetic_interactions(), val_ratio=val_ratio)
    if not Path(name).is_dir():
        raise SystemExit(f"Expected --dataset to be {HELP} (got {name})")
    return LightGCNText(name).split(val_ratio)
