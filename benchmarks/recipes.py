"""The trainings of the table of models: as in their papers, and by `fit`.

A recipe makes a model of a split, and what `fit` is told of its training. What papers
set is from their released code; where that chose the epoch on the test part, `fit`
chooses on validation. PinSage has no released code, and LightGODE's is of other sets.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain, islice, repeat
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter
from torch_geometric.data import Data

from ltgnn_pyg import LTGNN, ItemNegativeSampling, PairLoader, nn
from ltgnn_pyg.datasets import Interactions, Split
from ltgnn_pyg.scorers import Scorer, filters

Recipe = tuple[nn.Recommender, dict[str, Any]]
PARTS = 10  #: An epoch of `fit` is that part of a pass, so a budget may end within one.
#: As papers train; ten passes without a gain end it.
PLAIN: dict[str, Any] = {"average": 0.0, "patience": 10 * PARTS}
PAIRWISE = {"amount": 1, "reject_seen": True}
SHARED = {"amount": 800, "shared": True}


class Parts:
    """A part of a loader's batches at a time, each iteration those that come next."""

    def __init__(self, loader: PairLoader) -> None:
        self.size = -(-len(loader) // PARTS)
        self.batches = chain.from_iterable(repeat(loader))

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[Data]:
        return islice(self.batches, self.size)


def by_batch(size: int, negatives: dict[str, Any] | None) -> Callable[..., Parts]:
    """Batches of so many pairs, each a pass over the graph, as papers train."""

    def loader(data: Data, model: nn.Recommender) -> Parts:
        pairs = data.edge_index[:, data.edge_index[0] < model.num_users]
        drawn = None
        if negatives is not None:
            sizes = model.num_users, model.num_items
            known = pairs if negatives.get("reject_seen") else None
            drawn = ItemNegativeSampling(*sizes, edge_index=known, **negatives)
        return Parts(
            PairLoader(
                data,
                batch_size=size,
                num_rounds=-(-pairs.size(1) // size),
                leave_out=False,
                neg_sampling=drawn,
            )
        )

    return loader


def few_rounds(data: Data, model: nn.Recommender) -> PairLoader:
    """Fewer rounds an epoch, for encoders that cost much."""
    return PairLoader(data, num_rounds=20)


def xavier(weight: Tensor, adj_t: Tensor, num_users: int, normal: bool = False) -> None:
    """The start of most papers, which have a table of users and one of items."""
    draw = torch.nn.init.xavier_normal_ if normal else torch.nn.init.xavier_uniform_
    draw(weight[:num_users])
    draw(weight[num_users:])


def dense_adam(parameters: Iterable[Parameter], lr: float) -> torch.optim.Adam:
    """Adam that moves all rows in each step, also those without a gradient."""

    def densify(parameter: Tensor) -> None:
        if parameter.grad is not None and parameter.grad.is_sparse:
            parameter.grad = parameter.grad.to_dense()

    parameters = list(parameters)
    for parameter in parameters:
        parameter.register_post_accumulate_grad_hook(densify)
    return torch.optim.Adam(parameters, lr=lr)


def published(
    cls: Callable[..., nn.Recommender],
    batch_size: int,
    lr: float,
    loss_fn: Callable[[], nn.Objective] = nn.BPRLoss,
    negatives: dict[str, Any] | None = PAIRWISE,
    init: Any = xavier,
    **settings: Any,
) -> Callable[[Split, int], Recipe]:
    """A model with its paper's objective, batches and optimizer, dense Adam."""

    def make(split: Split, dim: int) -> Recipe:
        sizes = split.train.num_users, split.train.num_items
        model = cls(*sizes, dim, loss_fn=loss_fn(), **settings)
        training = {
            "loader": by_batch(batch_size, negatives),
            "optimizer": partial(dense_adam, lr=lr),
            "init": init,
        }
        return model, training | PLAIN

    return make


def here(cls: Callable[..., nn.Recommender], **training: Any) -> Any:
    """A model as `fit` trains it."""

    def make(split: Split, dim: int) -> Recipe:
        return cls(split.train.num_users, split.train.num_items, dim), training

    return make


def guided(num_users: int, num_items: int, dim: int) -> LTGNN:
    """LTGNN as examples/quickstart.py trains it."""
    return LTGNN(num_users, num_items, dim, loss_fn=nn.GuidedSoftmaxLoss(num_items))


HERE = {name: here(cls) for name, cls in {
    "mf": nn.MatrixFactorization, "lightgcn": nn.LightGCN,
    "lightgcn++": nn.LightGCNPlusPlus, "ngcf": nn.NGCF, "ultragcn": nn.UltraGCN,
    "sgl": nn.SGL, "simgcl": nn.SimGCL, "xsimgcl": nn.XSimGCL, "pinsage": nn.PinSage,
    "lightgode": nn.LightGODE, "ltgnn": LTGNN, "guided": guided,
}.items()}  # fmt: skip
HERE |= {"dgcf": here(nn.DGCF, loader=few_rounds)}
HERE |= {"egcf": here(nn.EGCF, loader=few_rounds)}
BOTH = "gowalla", "yelp2018"
ULTRAGCN = partial(published, nn.UltraGCN, init=None, init_std=1e-4, item_weight=5e-4)
#: What papers set, by model and set. LightGCN has its best figures with four layers.
#: The L2 term of SimGCL and XSimGCL as released is next to nothing, the norm of a
#: batch's rows over their number, and left out.
PUBLISHED: dict[str, dict[str, Callable[[Split, int], Recipe]]] = {
    "lightgcn": dict.fromkeys(BOTH, published(
        nn.LightGCN, 2048, 1e-3,
        init=None, init_std=0.1, num_layers=4, weight_decay=1e-4,
    )),
    "ngcf": dict.fromkeys(BOTH, published(nn.NGCF, 1024, 1e-4, weight_decay=1e-5)),
    "dgcf": {
        name: published(nn.DGCF, 2000, 1e-3, weight_decay=1e-3, num_cor_nodes=num)
        for name, num in zip(BOTH, (100, 61), strict=True)
    },
    "ultragcn": {
        "gowalla": ULTRAGCN(512, 1e-4, nn.UltraGCNLoss, {**SHARED, "amount": 1500}),
        "yelp2018": ULTRAGCN(
            1024, 1e-3, partial(nn.UltraGCNLoss, w1=1e-8, w3=1e-8), SHARED
        ),
    },
    "sgl": {"yelp2018": published(nn.SGL, 2048, 1e-3, weight_decay=1e-4)},
    "simgcl": {"yelp2018": published(nn.SimGCL, 2048, 1e-3)},
    "xsimgcl": {"yelp2018": published(nn.XSimGCL, 2048, 1e-3)},
    "egcf": {"yelp2018": published(
        nn.EGCF, 2048, 1e-3, lambda: nn.EGCFLoss(nn.BPRLoss()), weight_decay=1e-4,
    )},
    "lightgode": {"gowalla": published(
        nn.LightGODE, 256, 1e-3,
        partial(nn.DirectAULoss, gamma=10.0, cosine=False), None,
        init=partial(xavier, normal=True), T=3.0,
    )},
}  # fmt: skip


def build(name: str, setting: str, dataset: str, split: Split, dim: int) -> Recipe:
    """A model, and how it is trained."""
    recipe = HERE[name] if setting == "here" else PUBLISHED[name][dataset]
    return recipe(split, dim)


def bspm(known: Interactions, dataset: str) -> Scorer:
    """BSPM as its paper sets it for a set."""
    if dataset == "yelp2018":
        return filters.BSPM(
            known, rank=384, beta=0.3, T=1.2, solver_order=1, averaged=True
        )
    return filters.BSPM(known)


FILTERS: dict[str, Callable[[Interactions, str], Scorer]] = {
    name: lambda known, _, cls=cls: cls(known) for name, cls in {
        "popularity": filters.Popularity, "itemknn": filters.ItemKNN,
        "ease": filters.EASE, "sparse-ease": filters.SparseEASE,
        "gfcf": filters.GFCF, "chebycf": filters.ChebyCF,
    }.items()
}  # fmt: skip
FILTERS["bspm"] = bspm
