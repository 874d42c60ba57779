"""The published sets by name, or a folder with train.txt and test.txt."""

from pathlib import Path

from ltgnn_pyg.datasets import Gowalla, InteractionDataset, LightGCNText, Yelp2018

HELP = "gowalla, yelp2018, or a folder with train.txt and test.txt"


def open_dataset(name: str, root: str) -> InteractionDataset:
    """The dataset of a name, which lies under a root, or of a folder."""
    if name in ("gowalla", "yelp2018"):
        return {"gowalla": Gowalla, "yelp2018": Yelp2018}[name](root)
    if not Path(name).is_dir():
        raise SystemExit(f"Expected --dataset to be {HELP} (got {name})")
    return LightGCNText(name)
