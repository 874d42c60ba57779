"""The sets that scripts run on, by name, and what needs no training on them."""

import hashlib
import os
from pathlib import Path
from tempfile import gettempdir

import torch
from expand import expand
from record import SETS

from ltgnn_pyg import Graph, Vectors
from ltgnn_pyg.datasets import (
    Gowalla,
    Interactions,
    LightGCNText,
    Split,
    Yelp2018,
    read_interactions,
    split_ratio,
    synthetic_interactions,
)
from ltgnn_pyg.nn.init import spectral_

PUBLISHED = {"gowalla": Gowalla, "yelp2018": Yelp2018}
CACHE = Path(gettempdir(), "ltgnn_pyg_expansions")  #: The folder of expansions.
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
        raise SystemExit(f"Expected --dataset to be {SETS} (got {name})")
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
    where = repr([source, os.path.abspath(root), num_interactions, seed, SHARES])
    code = (Path(__file__).with_name(f"{name}.py") for name in ("expand", "cities"))
    about = where.encode() + b"".join(path.read_bytes() for path in code)
    digest = hashlib.sha256(about).hexdigest()[:12]
    path = cache / f"{Path(source).name}_{num_interactions}_{seed}_{digest}.pt"
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
        parts = {name: getattr(split, name) for name in PARTS}
        pairs = {k: torch.stack([v.user, v.item]).int() for k, v in parts.items()}
        cache.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(f".{os.getpid()}")
        torch.save({"size": size, **pairs}, beside)
        os.replace(beside, path)
    saved = torch.load(path)
    parts = (Interactions(*saved[name].long(), *saved["size"]) for name in PARTS)
    return Split(*parts)


def sample_users(part: Interactions, num: int) -> torch.Tensor:
    """Some users of a part, the ones that `fit` validates on."""
    user = part.user.unique()
    perm = torch.randperm(len(user), generator=torch.Generator().manual_seed(0))
    return user[perm[:num]]


def spectral(known: Interactions, dim: int = 64) -> Vectors:
    """The leading singular vectors of the normalised interactions, which training
    starts from.
    """
    graph = Graph.from_interactions(known)
    z = spectral_(torch.empty(graph.num_nodes, dim), graph)
    value = (graph.operator @ z * z).sum(0) / z.square().sum(0)
    z *= graph.matrix.degree.sqrt().unsqueeze(1)
    return Vectors(z[graph.nodes("user")] * value, z[graph.nodes("item")])
