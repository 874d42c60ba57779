"""How models are trained for the table of models: as in their papers, and by `fit`.

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

from ltgnn_pyg import LTGNN, ItemNegativeSampling, PairLoader
from ltgnn_pyg.datasets import Interactions, Split
from ltgnn_pyg.nn import (
    DGCF,
    EGCF,
    NGCF,
    SGL,
    BPRLoss,
    DirectAULoss,
    EGCFLoss,
    GuidedSoftmaxLoss,
    LightGCN,
    LightGCNPlusPlus,
    LightGODE,
    MatrixFactorization,
    Objective,
    PinSage,
    Recommender,
    SimGCL,
    UltraGCN,
    UltraGCNLoss,
    XSimGCL,
)
from ltgnn_pyg.scorers import Scorer
from ltgnn_pyg.scorers.filters import (
    BSPM,
    EASE,
    GFCF,
    ChebyCF,
    ItemKNN,
    Popularity,
    SparseEASE,
)

Recipe = tuple[Recommender, dict[str, Any]]
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

    def loader(data: Data, model: Recommender) -> Parts:
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


def few_rounds(data: Data, model: Recommender) -> PairLoader:
    """Fewer rounds an epoch, for encoders that cost much."""
    return PairLoader(data, num_rounds=20)


def xavier(weight: Tensor, adj_t: Tensor, num_users: int, normal: bool = False) -> None:
    """The start of most papers, which have a table of users and one of items."""
    draw = torch.nn.init.xavier_normal_ if normal else torch.nn.init.xavier_uniform_
    draw(weight[:num_users])
    draw(weight[num_users:])


def densify(parameter: Tensor) -> None:
    """Makes a gradient of all rows of one of some."""
    if parameter.grad is not None and parameter.grad.is_sparse:
        parameter.grad = parameter.grad.to_dense()


def dense_adam(parameters: Iterable[Parameter], lr: float) -> torch.optim.Adam:
    """Adam that moves all rows in each step, also those without a gradient."""
    parameters = list(parameters)
    for parameter in parameters:
        parameter.register_post_accumulate_grad_hook(densify)
    return torch.optim.Adam(parameters, lr=lr)


def published(
    cls: Callable[..., Recommender],
    batch_size: int,
    lr: float,
    loss_fn: Callable[[], Objective] = BPRLoss,
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


def here(cls: Callable[..., Recommender], **training: Any) -> Any:
    """A model as `fit` trains it."""

    def make(split: Split, dim: int) -> Recipe:
        return cls(split.train.num_users, split.train.num_items, dim), training

    return make


def guided(num_users: int, num_items: int, dim: int) -> LTGNN:
    """LTGNN as examples/quickstart.py trains it."""
    return LTGNN(num_users, num_items, dim, loss_fn=GuidedSoftmaxLoss(num_items))


HERE = {
    "mf": here(MatrixFactorization),
    "lightgcn": here(LightGCN),
    "lightgcn++": here(LightGCNPlusPlus),
    "ngcf": here(NGCF),
    "dgcf": here(DGCF, loader=few_rounds),
    "ultragcn": here(UltraGCN),
    "sgl": here(SGL),
    "simgcl": here(SimGCL),
    "xsimgcl": here(XSimGCL),
    "lightgode": here(LightGODE),
    "egcf": here(EGCF, loader=few_rounds),
    "pinsage": here(PinSage),
    "ltgnn": here(LTGNN),
    "guided": here(guided),
}
BOTH = "gowalla", "yelp2018"
ULTRAGCN = partial(published, UltraGCN, init=None, init_std=1e-4, item_weight=5e-4)
#: What papers set, by model and set. LightGCN has its best figures with four layers.
#: The L2 term of SimGCL and XSimGCL as released is next to nothing, the norm of a
#: batch's rows over their number, and left out.
PUBLISHED: dict[str, dict[str, Callable[[Split, int], Recipe]]] = {
    "lightgcn": dict.fromkeys(BOTH, published(
        LightGCN, 2048, 1e-3,
        init=None, init_std=0.1, num_layers=4, weight_decay=1e-4,
    )),
    "ngcf": dict.fromkeys(BOTH, published(NGCF, 1024, 1e-4, weight_decay=1e-5)),
    "dgcf": {
        name: published(DGCF, 2000, 1e-3, weight_decay=1e-3, num_cor_nodes=num)
        for name, num in zip(BOTH, (100, 61), strict=True)
    },
    "ultragcn": {
        "gowalla": ULTRAGCN(512, 1e-4, UltraGCNLoss, {**SHARED, "amount": 1500}),
        "yelp2018": ULTRAGCN(
            1024, 1e-3, partial(UltraGCNLoss, w1=1e-8, w3=1e-8), SHARED
        ),
    },
    "sgl": {"yelp2018": published(SGL, 2048, 1e-3, weight_decay=1e-4)},
    "simgcl": {"yelp2018": published(SimGCL, 2048, 1e-3)},
    "xsimgcl": {"yelp2018": published(XSimGCL, 2048, 1e-3)},
    "egcf": {"yelp2018": published(
        EGCF, 2048, 1e-3, lambda: EGCFLoss(BPRLoss()), weight_decay=1e-4,
    )},
    "lightgode": {"gowalla": published(
        LightGODE, 256, 1e-3,
        partial(DirectAULoss, gamma=10.0, cosine=False), None,
        init=partial(xavier, normal=True), T=3.0,
    )},
}  # fmt: skip


def build(name: str, setting: str, dataset: str, split: Split, dim: int) -> Recipe:
    """A model, and how it is trained."""
    recipe = HERE[name] if setting == "here" else PUBLISHED[name][dataset]
    return recipe(split, dim)


def _bspm(known: Interactions, dataset: str) -> Scorer:
    if dataset == "yelp2018":
        return BSPM(known, rank=384, beta=0.3, T=1.2, solver_order=1, averaged=True)
    return BSPM(known)


FILTERS: dict[str, Callable[[Interactions, str], Scorer]] = {
    "popularity": lambda known, dataset: Popularity(known),
    "itemknn": lambda known, dataset: ItemKNN(known),
    "ease": lambda known, dataset: EASE(known),
    "sparse-ease": lambda known, dataset: SparseEASE(known),
    "gfcf": lambda known, dataset: GFCF(known),
    "bspm": _bspm,
    "chebycf": lambda known, dataset: ChebyCF(known),
}
