"""The one protocol: epochs chosen on validation, then all interactions, then a test."""

import copy
import hashlib
import os
import time
from functools import partial
from types import FunctionType
from typing import Any

from torch import Tensor

from ltgnn_pyg.datasets import Split
from ltgnn_pyg.evaluation import METRICS
from ltgnn_pyg.graph import Graph
from ltgnn_pyg.graph.kernels import kernels
from ltgnn_pyg.nn.init import spectral_
from ltgnn_pyg.nn.models import Recommender
from ltgnn_pyg.train.place import Init, Place
from ltgnn_pyg.train.report import Report
from ltgnn_pyg.train.run import Log, Run
from ltgnn_pyg.train.training import (
    MakeLoader,
    MakeOptimizer,
    Training,
    Weigh,
    default_loader,
    default_optimizer,
)


@kernels.run()
def fit(
    model: Recommender,
    split: Split,
    *,
    graph: Graph | None = None,
    loader: MakeLoader | None = None,
    optimizer: MakeOptimizer | None = None,
    max_epochs: int = 30,
    max_seconds: float | None = None,
    patience: int = 5,
    metric: str = "recall@20",
    average: float = 0.995,
    refit: bool = True,
    init: Init | None = spectral_,
    edge_weight: Weigh | None = None,
    eval_users: int | None = None,
    folder: str | os.PathLike[str] | None = None,
    resume: bool = False,
    log: Log | None = None,
) -> Report:
    r"""Trains a model by one protocol: chooses the number of epochs on the validation
    part, then trains anew on training and validation interactions together.

    .. code-block:: python

        split = split_ratio(read_interactions("ratings.csv"))
        model = LTGNN(split.train.num_users, split.train.num_items)
        report = fit(model, split)
        evaluate(report.scorer, split.test, exclude=report.interactions)

    An epoch is PyTorch's own loop (see
    :class:`~ltgnn_pyg.nn.models.Recommender`), and equal to it to the bit. All is
    drawn from torch's global generator: :func:`torch.manual_seed` before makes a
    run reproducible, to the bit with as many threads on the like hardware. The model
    starts from the state it is given with, for either training, and holds the result in
    the end.

    In several processes (see :mod:`ltgnn_pyg.distributed`) all call it alike, and share
    one run with the figures of one process: each holds, and keeps in the end, its own
    rows of the table only.

    Args:
        model (Recommender): The model.
        split (Split): The parts; the test part is not looked at. Without a validation
            part the model is trained for :obj:`max_epochs`.
        graph (Graph, optional): The graph of all else, beside the interactions of the
            split: nodes and edges of other types. Its own edges of the type that is
            recommended are left out, so that nothing held out is looked at. If
            :obj:`None`, nothing. (default: :obj:`None`)
        loader (callable, optional): Makes of a graph and the model the loader of an
            epoch. If :obj:`None`, :func:`default_loader`. (default: :obj:`None`)
        optimizer (callable, optional): Makes the optimizer of the parameters. If
            :obj:`None`, :class:`~ltgnn_pyg.inputs.row_adam.RowAdam` with a learning
            rate of 0.003 for inner steps, 0.007 for rounds of a step each, and 0.001
            for the paper's steps. (default: :obj:`None`)
        max_epochs (int, optional): The most epochs. (default: :obj:`30`)
        max_seconds (float, optional): Ends the choice after the epoch in which the
            seconds of training reach that many. If :obj:`None`, nothing does.
            (default: :obj:`None`)
        patience (int, optional): The epochs without a gain that end the choice.
            (default: :obj:`5`)
        metric (str, optional): The metric that is to gain, see
            :func:`~ltgnn_pyg.evaluation.evaluate`. (default: :obj:`"recall@20"`)
        average (float, optional): Scores with the exponential moving average of the
            parameters at this decay, taken 80 times an epoch (with fewer batches as
            often, at as much less decay); 0 for the parameters themselves.
            (default: :obj:`0.995`)
        refit (bool, optional): Trains anew on both parts; otherwise the model of the
            best epoch is kept. (default: :obj:`True`)
        init (callable, optional): Fills the inputs' table before training, given also
            the graph. :obj:`None` leaves it as it is.
            (default: :func:`~ltgnn_pyg.nn.init.spectral_`)
        edge_weight (callable, optional): Weighs the interactions of the graph that is
            scored over, not the one trained on, such as
            :func:`~ltgnn_pyg.datasets.recency_weight`. (default: :obj:`None`)
        eval_users (int, optional): Validates on a sample of so many users. If
            :obj:`None`, on all. (default: :obj:`None`)
        folder (str, optional): The folder that :obj:`metrics.jsonl` and a checkpoint
            are written to after each epoch. If :obj:`None`, nothing is. (default:
            :obj:`None`)
        resume (bool, optional): Goes on from the checkpoint in :obj:`folder`, if there
            is one, as if nothing had happened, by the kernels it was begun with.
            (default: :obj:`False`)
        log (callable, optional): Called with the metrics of an epoch and its number,
            *e.g.*, :obj:`lambda m, step: wandb.log(m, step)`; of several processes, by
            the first one. (default: :obj:`None`)

    Returns:
        A :class:`Report`.

    Raises:
        ValueError: If an argument is out of range, or :obj:`folder` holds a run
            already and :obj:`resume` is not set, or the run there has other settings.

    *Cost:* Twice that of the epochs, with full rankings of the validation part after
    each of the first ones; three tables beside the optimizer's.
    """
    if max_seconds is not None and not max_seconds > 0.0:
        raise ValueError(f"Expected a positive 'max_seconds' (got {max_seconds})")
    if min(max_epochs, patience) < 1 or not 0.0 <= average < 1.0:
        raise ValueError(
            "Expected positive 'max_epochs', 'patience' and 'average' in [0, 1) (got "
            f"{max_epochs}, {patience} and {average})"
        )
    name, _, k = metric.partition("@")
    if name not in METRICS or not k.isdecimal() or int(k) < 1:
        raise ValueError(
            f"Expected 'metric' as 'NAME@K', NAME one of {list(METRICS)} (got "
            f"{metric!r})"
        )
    size = split.train.num_users, split.train.num_items
    if size != (model.num_users, model.num_items):
        raise ValueError(
            f"Expected a model of {size[0]} users and {size[1]} items, as the split "
            f"has (got one of {model.num_users} and {model.num_items})"
        )
    start = time.perf_counter()
    settings = {
        "model": repr(model), "loss_fn": repr(model.loss_fn),
        "weight_decay": model.weight_decay, "init_std": model.init_std,
        "loader": _name(loader or default_loader),
        "optimizer": _name(optimizer or default_optimizer),
        "patience": patience, "metric": metric, "average": average, "refit": refit,
        "init": _name(init), "edge_weight": _name(edge_weight),
        "eval_users": eval_users, "order": split.order, "data": _digest(split, graph),
    }  # fmt: skip
    place = Place.of(model, split, settings)
    initial = copy.deepcopy(place.held.state_dict())
    run = Run(place, split, settings, max_epochs, folder, resume, log, start, initial)
    made = partial(
        Training,
        base=graph,
        loader=loader,
        optimizer=optimizer,
        average=average,
        init=init,
        edge_weight=edge_weight,
    )
    choosing = len(split.val) > 0
    if run.progress.phase == 0:
        training = run.begin(made(place, split.train))
        run.choose(training, max_seconds, patience, metric, eval_users, refit)
        if refit and choosing:
            run.next_phase()
    if run.progress.phase == 1:
        # Not before: there are tables and scores to hold till then.
        training = run.begin(made(place, split.known))
        run.train_again(training)
    return run.report(training)


def _digest(split: Split, graph: Graph | None) -> str:
    """Tells the interactions of two splits apart, and what is known beside."""
    out = hashlib.sha256(repr(split.train.behaviors).encode())
    tensors: list[Tensor | None] = []
    for part in (split.train, split.val):
        tensors += [part.user, part.item, part.weight, part.behavior]
    if graph is not None:
        out.update(repr(sorted(graph.type_weight.items())).encode())
        out.update(repr((graph.numbering, graph.edge_types)).encode())
        tensors += [graph.edges.index, graph.edges.type, graph.edges.weight]
    for tensor in tensors:
        if tensor is not None:
            out.update(tensor.cpu().numpy().tobytes())
    return out.hexdigest()


def _name(function: Any) -> str | None:
    """The name of a function, with the arguments it is given beforehand."""
    if isinstance(function, partial):
        return f"{_name(function.func)}{function.args}{function.keywords}"
    if isinstance(function, type | FunctionType):
        return function.__qualname__
    return None if function is None else type(function).__qualname__
