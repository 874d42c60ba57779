"""The sets that benchmarks run on, by name."""

import hashlib
import inspect
import os
import sys
from pathlib import Path
from tempfile import gettempdir

import numpy as np
import torch

from ltgnn_pyg.datasets import (
    Gowalla,
    Interactions,
    LightGCNText,
    Split,
    Yelp2018,
    expand,
    read_interactions,
    split_ratio,
    synthetic_interactions,
)
from ltgnn_pyg.datasets.cities import Cities

HELP = "gowalla, yelp2018, synthetic, a folder with train.txt and test.txt, or a file"
SOURCE = "gowalla, yelp2018, or a folder with train.txt and test.txt"
PUBLISHED = {"gowalla": Gowalla, "yelp2018": Yelp2018}
CACHE = Path(gettempdir(), "ltgnn_pyg_expansions")  #: Where expansions are kept.
SHARES = {"test_ratio": 0.1, "val_ratio": 0.1}  #: Of an expansion, held out at random.
PARTS = ("train", "val", "test")


def load_split(
    name: str, root: str, val_ratio: float = 0.0, order: str | None = None
) -> Split:
    """The parts of a set, which lies under a root if it is a published one; of a set
    without parts, those of seed 0, the same for every run.
    """
    cut = {"val_ratio": val_ratio, "order": order, "seed": 0}
    if name in PUBLISHED:
        return PUBLISHED[name](root).split(**cut)
    if name == "synthetic":
        return split_ratio(synthetic_interactions(), **cut)
    if Path(name).is_dir():
        return LightGCNText(name).split(**cut)
    if not Path(name).is_file():
        raise SystemExit(f"Expected --dataset to be {HELP} (got {name})")
    return split_ratio(read_interactions(name), **cut)


def load_expansion(
    source: str,
    root: str,
    num_interactions: int,
    seed: int = 0,
    cache: Path = CACHE,
    make: bool = False,
) -> Split:
    """A set expanded to about as many interactions, training and test part together,
    and split at random anew. It is made once, if asked to, and kept in a folder.
    """
    where = [source, os.path.abspath(root), num_interactions, seed, SHARES]
    sources = [expand.__module__, Cities.__module__, __name__]
    about = repr(where) + "".join(inspect.getsource(sys.modules[m]) for m in sources)
    digest = hashlib.sha256(about.encode()).hexdigest()[:12]
    path = cache / f"{Path(source).name}_{num_interactions}_{seed}_{digest}.npz"
    if make and not path.exists():
        parts = load_split(source, root)
        whole = Interactions.cat(parts.train, parts.test)
        whole = expand(whole, num_interactions / len(whole), seed=seed)
        # Its ids go city by city; those of a file would not.
        generator = torch.Generator().manual_seed(seed)
        size = whole.num_users, whole.num_items
        user, item = (torch.randperm(num, generator=generator) for num in size)
        whole = Interactions(user[whole.user], item[whole.item], *size)
        split = split_ratio(whole, **SHARES, order="random", seed=seed)
        pairs = {
            f"{name}_{side}": getattr(getattr(split, name), side).int().numpy()
            for name in PARTS
            for side in ("user", "item")
        }
        cache.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(f".{os.getpid()}.npz")
        np.savez(beside, size=np.array(size), **pairs)
        os.replace(beside, path)
    saved = np.load(path)
    num_users, num_items = saved["size"].tolist()
    return Split(
        *(
            Interactions(
                *(
                    torch.from_numpy(saved[f"{name}_{side}"]).long()
                    for side in ("user", "item")
                ),
                num_users,
                num_items,
            )
            for name in PARTS
        )
    )


def sample_users(part: Interactions, num: int) -> torch.Tensor:
    """Some users of a part, the ones that `fit` validates on."""
    user = part.user.unique()
    perm = torch.randperm(len(user), generator=torch.Generator().manual_seed(0))
    return user[perm[:num]]
