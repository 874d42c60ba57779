"""What each process of a test does; one process does it without a group."""

import shutil
from functools import partial
from importlib import import_module

import torch
import torch.distributed as dist
from torch.nn import Linear, Parameter

from ltgnn_pyg import Graph, ItemNegativeSampling, PairLoader, fit
from ltgnn_pyg.datasets import split_ratio, synthetic_interactions
from ltgnn_pyg.distributed import (
    Partition,
    ShardedAdjacency,
    ShardedVectors,
    is_distributed,
)
from ltgnn_pyg.distributed import evaluate as evaluate_sharded
from ltgnn_pyg.distributed.init import sharded_spectral_
from ltgnn_pyg.evaluation import BEYOND_ACCURACY, evaluate
from ltgnn_pyg.graph import propagate
from ltgnn_pyg.nn import LTGNN, BPRLoss, LightGCN, Recommender
from ltgnn_pyg.nn.init import spectral_
from ltgnn_pyg.retrieval import top_k

DIM = 8
place = import_module("ltgnn_pyg.train.place")


def split():
    data = synthetic_interactions(90, 70, 1500, seed=1)
    return split_ratio(data, val_ratio=0.2, order="random")


class WithLayers(Recommender):
    """Parameters beside the table, those of the objective too."""

    def __init__(self, num_users, num_items, embedding_dim, **kwargs):
        kwargs["loss_fn"] = Scaled()
        super().__init__(num_users, num_items, embedding_dim, **kwargs)
        self.layer = Linear(embedding_dim, embedding_dim)

    def encode(self, graph):
        x = self.inputs.table()
        return x + self.layer(graph.operator @ x).tanh()


class Scaled(BPRLoss):
    def __init__(self):
        super().__init__(in_batch=True)
        self.scale = Parameter(torch.ones(()))

    def scores(self, z, batch, neg_index):
        return super().scores(z * self.scale, batch, neg_index)


def few_rounds(graph, model):
    return PairLoader(graph, batch_size=64, num_rounds=3)


def drawn(graph, model, **settings):
    """Rounds with negatives of each pair, or shared by a micro-batch."""
    sizes = graph.num_users, graph.num_items
    pairs = graph.pairs(split().train)
    negatives = ItemNegativeSampling(*sizes, 3, edge_index=pairs, **settings)
    return PairLoader(graph, batch_size=64, num_rounds=3, neg_sampling=negatives)


def by_user(graph, model):
    return drawn(graph, model, reject_seen=True)


def shared(graph, model):
    return drawn(graph, model, shared=True, power=0.75)


def one_round(graph, model):
    """Fewer micro-batches than processes."""
    return PairLoader(graph, batch_size=600, num_rounds=1, leave_out=False)


def weights(interactions):
    return torch.linspace(0.5, 1.5, len(interactions))


#: Trainings: a model, its arguments, a loader, and arguments of fit.
CASES = {
    "ltgnn": (LTGNN, {}, few_rounds, {}),
    "light_gcn": (LightGCN, {"weight_decay": 0.1}, few_rounds, {"refit": False}),
    "by_user": (LTGNN, {"loss_fn": BPRLoss()}, by_user, {"average": 0.0}),
    "shared": (LightGCN, {"loss_fn": BPRLoss(hardness=1.0)}, shared, {}),
    "layers": (WithLayers, {}, few_rounds, {}),
    "one_round": (LTGNN, {"weight_decay": 0.1}, one_round, {}),
    "start": (LTGNN, {}, few_rounds, {"init": spectral_}),
    "weights": (LTGNN, {}, few_rounds, {"edge_weight": weights, "eval_users": 30}),
}


def build(cls, seed=7, **kwargs):
    torch.manual_seed(seed)
    train = split().train
    return cls(train.num_users, train.num_items, DIM, init_std=0.1, **kwargs).double()


def train(name, **kwargs):
    cls, settings, loader, options = CASES[name]
    options = {"metric": "ndcg@5", "max_epochs": 2, "init": None, **options, **kwargs}
    return fit(build(cls, **settings), split(), loader=loader, **options)


def figures(report):
    """What a training has found, whole in each process."""
    scorer, known = report.scorer, report.interactions
    sharded = isinstance(scorer, ShardedVectors)
    result = (evaluate_sharded if sharded else evaluate)(
        scorer,
        split().test,
        exclude=known,
        k=[5, 10],
        metrics=["recall", "ndcg", "coverage", *BEYOND_ACCURACY],
        item_vector=torch.eye(70)[:, :5] + torch.arange(70.0).view(-1, 1),
    )
    whole = scorer.gather() if sharded else report.vectors
    curve = [{k: v for k, v in row.items() if k != "seconds"} for row in report.curve]
    if sharded:
        _, score, item = scorer.top_k(5, exclude=known)
        first = scorer.partition.users.start
    else:
        score, item = top_k(scorer, 5, exclude=known)
        first = 0
    return {
        "user": whole.user, "item": whole.item, "bias": whole.item_bias,
        "curve": curve, "result": result, "epochs": report.epochs,
        "top_k": (first, score, item),
    }  # fmt: skip


def products(seed=3):
    """The product, its gradient, edges left out, and the spectral start."""
    data, generator = split().train, torch.Generator().manual_seed(seed)
    graph = Graph.from_interactions(data)
    pairs, num = graph.target_edges, graph.num_nodes
    x, grad = torch.randn(2, num, DIM, generator=generator, dtype=torch.double)
    if is_distributed():
        p = Partition(
            torch.bincount(data.user, minlength=data.num_users), data.num_items
        )
        graph = graph.with_operator(ShardedAdjacency.build(p, graph))
        take, gather = p.take, p.gather
    else:
        take = gather = lambda table: table
    x = take(x).requires_grad_()
    out = propagate(graph.without(pairs[:, ::3]).operator, x)
    (found,) = torch.autograd.grad(out, x, take(grad))
    starts = []
    for dtype in (torch.float, torch.double):
        start = take(torch.empty(num, DIM, dtype=dtype))
        torch.manual_seed(5)
        if is_distributed():
            sharded_spectral_(start, graph.operator)
        else:
            spectral_(start, graph)
        starts.append(gather(start))
    return {"out": gather(out.detach()), "grad": gather(found), "starts": starts}


def everything(names, folder):
    """All of it, saved by each process."""
    out = {name: figures(train(name)) for name in names}
    out |= {"products": products(), "errors": errors()}
    torch.save(out, folder / str(dist.get_rank()))


class OwnLoss(LightGCN):
    """A model that does not leave its loss to its rows."""

    def loss(self, batch):
        return super().loss(batch) + self.inputs.table().sum()


def errors():
    """What is said of what cannot be split."""
    orders = {
        "model": partial(build, OwnLoss),
        "inner_steps": partial(build, LTGNN),
        "loader": partial(build, LTGNN),
        "init": partial(build, LTGNN),
        "trained": partial(build, LTGNN),
        "seed": partial(build, LTGNN, seed=dist.get_rank()),
        "settings": partial(build, LTGNN),
    }
    options = {
        "loader": {"loader": no_rounds},
        "inner_steps": {"loader": inner_steps},
        "init": {"init": torch.nn.init.zeros_},
        "settings": {"patience": 1 + dist.get_rank()},
    }
    out = {}
    for name, make in orders.items():
        model = make()
        settings = {"max_epochs": 1, "loader": few_rounds, "init": None}
        settings |= options.get(name, {})
        if name == "trained":
            fit(model, split(), **settings)
        try:
            fit(model, split(), **settings)
        except ValueError as error:
            out[name] = str(error)
    return out


def inner_steps(graph, model):
    """More steps than rounds."""
    return PairLoader(graph, inner_steps=True)


def no_rounds(graph, model):
    return [graph]


#: A run that is cut and goes on.
RUN = {"max_epochs": 2}


class Cut(Exception):
    """The end of a run before its time."""


def train_until(last, folder):
    """A run that ends after some epochs, in all processes."""
    saved = place.save_sharded

    def save(*args, **kwargs):
        saved(*args, **kwargs)
        if len(kwargs["progress"]["curve"]) == last:
            raise Cut

    place.save_sharded = save
    try:
        train("layers", folder=folder, **RUN)
    except Cut:
        pass
    else:
        raise AssertionError("the run was not cut")


def go_on(start, folder):
    """The rest of it, in any number of processes."""
    if dist.get_rank() == 0:
        shutil.copytree(start, folder)
    dist.barrier()
    torch.randn(dist.get_rank())
    report = train("layers", folder=folder, resume=True, **RUN)
    torch.save(figures(report), folder / f"out.{dist.get_rank()}")
