"""The one protocol: epochs chosen on validation, then all interactions, then a test."""

import copy
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import FunctionType
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel
from torch_geometric.data import Data
from tqdm import tqdm

from ltgnn_pyg.datasets import Interactions, Split
from ltgnn_pyg.datasets.replace_file import replace_text
from ltgnn_pyg.distributed import (
    ShardedRecommender,
    ShardedVectors,
    is_distributed,
    is_first,
)
from ltgnn_pyg.distributed import evaluate as evaluate_sharded
from ltgnn_pyg.distributed.checkpoint import load_sharded, save_sharded
from ltgnn_pyg.evaluation import METRICS, evaluate
from ltgnn_pyg.graph.adjacency import normalized_adj
from ltgnn_pyg.graph.kernels import kernels
from ltgnn_pyg.inputs.row_adam import RowAdam
from ltgnn_pyg.loader import PairLoader
from ltgnn_pyg.nn.init import spectral_
from ltgnn_pyg.nn.models import Recommender
from ltgnn_pyg.scorers import Vectors
from ltgnn_pyg.train.checkpoint import load_checkpoint, save_checkpoint

UPDATES = 80  #: How often an epoch adds to the average.
CHECKPOINT, CURVE = "run.ckpt", "metrics.jsonl"


@dataclass
class Report:
    """What :func:`fit` chose, and why.

    Attributes:
        epochs (int): The epochs that the model was trained for in the end.
        reason (str): Why that many, a sentence.
        order (str): How the held-out interactions were chosen, see
            :class:`~ltgnn_pyg.datasets.Split`.
        validation (dict): The metrics of the validation part at that epoch; empty
            without one.
        curve (list): A dict for each epoch: phase, epoch, loss, seconds, metrics.
        train_seconds (float): What the epochs of the model took in the end.
        seconds (float): What all of it took, choosing and ranking included.
        interactions (Interactions): What the model was trained on in the end.
        vectors (Vectors): What it scores, over the graph of those; a
            :class:`~ltgnn_pyg.distributed.ShardedVectors` in several processes.
        settings (dict): Those of the model, its objective and its training, for the
            record.
        kernels (dict): The kernels that sums were taken by, which decide the last
            bits (see :class:`~ltgnn_pyg.graph.kernels.Kernels`), by their use.
    """

    epochs: int
    reason: str
    order: str
    validation: dict[str, float]
    curve: list[dict[str, Any]]
    train_seconds: float
    seconds: float
    interactions: Interactions
    vectors: Vectors | ShardedVectors
    settings: dict[str, Any]
    kernels: dict[str, str]

    def __str__(self) -> str:
        figures = "  ".join(f"{k} {v:.4f}" for k, v in self.validation.items())
        return (
            f"{self.epochs} epochs, {self.reason}. Held out by {self.order}. "
            f"Validation: {figures or 'none'}. {self.train_seconds:.0f} s of training, "
            f"{self.seconds:.0f} s in all."
        )


@kernels.run()
def fit(
    model: Recommender,
    split: Split,
    *,
    loader: Callable[[Data, Recommender], Iterable[Data]] | None = None,
    optimizer: Callable[[Iterable[Parameter]], Optimizer] | None = None,
    max_epochs: int = 30,
    max_seconds: float | None = None,
    patience: int = 5,
    metric: str = "recall@20",
    average: float = 0.995,
    refit: bool = True,
    init: Callable[[Tensor, Tensor, int], Any] | None = spectral_,
    edge_weight: Callable[[Interactions], Tensor] | None = None,
    eval_users: int | None = None,
    folder: str | os.PathLike[str] | None = None,
    resume: bool = False,
    log: Callable[[dict[str, Any], int], Any] | None = None,
) -> Report:
    r"""Trains a model by one protocol: chooses the number of epochs on the validation
    part, then trains anew on training and validation interactions together.

    .. code-block:: python

        split = split_ratio(read_interactions("ratings.csv"))
        model = LTGNN(split.train.num_users, split.train.num_items)
        report = fit(model, split)
        evaluate(report.vectors, split.test.edge_label_index,
                 exclude_edge_index=report.interactions.edge_label_index)

    An epoch is PyTorch's own loop (see
    :class:`~ltgnn_pyg.nn.models.Recommender`), and equal to it to the bit. What is
    drawn comes from torch's global generator: :func:`torch.manual_seed` before makes a
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
        patience (int, optional): How many epochs without a gain end the choice.
            (default: :obj:`5`)
        metric (str, optional): What a gain is of, see
            :func:`~ltgnn_pyg.evaluation.evaluate`. (default: :obj:`"recall@20"`)
        average (float, optional): Scores with the exponential moving average of the
            parameters at this decay, taken 80 times an epoch (with fewer batches as
            often, at as much less decay); 0 for the parameters themselves.
            (default: :obj:`0.995`)
        refit (bool, optional): Trains anew on both parts; otherwise the model of the
            best epoch is kept. (default: :obj:`True`)
        init (callable, optional): Fills the table before training, given also the
            normalised graph and the number of users. :obj:`None` leaves it as it is.
            (default: :func:`~ltgnn_pyg.nn.init.spectral_`)
        edge_weight (callable, optional): Weighs the interactions of the graph that is
            scored over, not the one trained on, such as
            :func:`~ltgnn_pyg.datasets.recency_weight`. (default: :obj:`None`)
        eval_users (int, optional): Validates on a sample of so many users. If
            :obj:`None`, on all. (default: :obj:`None`)
        folder (str, optional): Where :obj:`metrics.jsonl` and a checkpoint are written
            after each epoch. If :obj:`None`, nothing is. (default: :obj:`None`)
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
    start, resumed = time.perf_counter(), False
    settings = {
        "model": repr(model), "loss_fn": repr(model.loss_fn),
        "weight_decay": model.weight_decay, "init_std": model.init_std,
        "loader": _name(loader or default_loader),
        "optimizer": _name(optimizer or _default_optimizer),
        "patience": patience, "metric": metric, "average": average, "refit": refit,
        "init": _name(init), "edge_weight": _name(edge_weight),
        "eval_users": eval_users, "order": split.order, "data": _digest(split),
    }  # fmt: skip
    save: Callable[..., None] = save_checkpoint
    load: Callable[..., dict[str, Any]] = load_checkpoint
    held_by: Any = model  # The model, or this process's share of it.
    if is_distributed():
        held_by = ShardedRecommender.of(model, split.train, split.val, settings)
        save, load = partial(save_sharded, held_by), partial(load_sharded, held_by)
    progress, initial = _Progress(), copy.deepcopy(held_by.state_dict())
    checkpoint = None if folder is None else Path(folder, CHECKPOINT)
    if checkpoint is not None:
        checkpoint.parent.mkdir(parents=True, exist_ok=True)
        if checkpoint.exists():
            if not resume:
                raise ValueError(
                    f"Expected a folder without a run (got '{checkpoint}'); pass "
                    "'resume=True' to go on with it, or another folder"
                )
            saved, resumed = load(checkpoint), True
            if saved["settings"] != settings:
                raise ValueError(
                    f"Expected the settings of the run in '{checkpoint}', "
                    f"{saved['settings']} (got {settings}); pass the same to go on"
                )
            progress, initial = _Progress(**saved["progress"]), saved["initial"]
            kernels.restore(saved["kernels"])
            if progress.phase > 0 and saved["max_epochs"] != max_epochs:
                raise ValueError(
                    f"Expected max_epochs={saved['max_epochs']}, as the number of "
                    f"epochs is chosen already (got {max_epochs}); start in another "
                    "folder to choose anew"
                )

    part, choosing = split.train, len(split.val) > 0
    for phase in range(progress.phase, 2 if refit and choosing else 1):
        if phase > progress.phase:
            progress.phase, progress.epoch, progress.train_seconds = phase, 0, 0.0
            held_by.load_state_dict(initial)
        if phase > 0:  # Not before: there are tables and scores to hold till then.
            part = Interactions.cat(split.train, split.val)
        run = _Training(held_by, part, loader, optimizer, average, init)
        if resumed and checkpoint is not None:
            load(checkpoint, **run.state())
            resumed = False
        while progress.epoch < (max_epochs if phase == 0 else progress.best_epoch):
            if phase == 0 and progress.epoch - progress.best_epoch >= patience:
                break
            late = max_seconds is not None and progress.train_seconds >= max_seconds
            if phase == 0 and late:
                break
            row = progress.count(*run.epoch(f"Epoch {progress.epoch + 1}"))
            if phase > 0:
                pass
            elif not choosing:
                progress.best_epoch = progress.epoch
            else:
                row |= _validate(run.vectors(edge_weight), split, metric, eval_users)
                if row[metric] > progress.best.get(metric, -1.0):
                    progress.best_epoch, progress.best = progress.epoch, row
                    if not refit:
                        progress.kept = [t.detach().clone() for t in run.scored()]
            if checkpoint is not None and is_first():
                lines = "".join(json.dumps(row) + "\n" for row in progress.curve)
                replace_text(checkpoint.with_name(CURVE), lines)
            if checkpoint is not None:
                seconds = progress.seconds + time.perf_counter() - start
                now = vars(replace(progress, seconds=seconds))
                held = {"progress": now, "initial": initial, "settings": settings,
                        "max_epochs": max_epochs, "kernels": kernels.chosen(),
                        }  # fmt: skip
                save(checkpoint, **held, **run.state())
            if log is not None and is_first():
                log(row, len(progress.curve))
        if phase == 0 and not choosing:
            progress.reason = "as many as asked for: there is no validation part"
        elif phase == 0 and progress.epoch - progress.best_epoch >= patience:
            progress.reason = (
                f"the best on validation, without a gain in {patience} more"
            )
        elif phase == 0 and progress.epoch < max_epochs:
            progress.reason = f"the best on validation, in {max_seconds:g} s"
        elif phase == 0:
            progress.reason = (
                f"the best on validation, of {max_epochs} at most: raise 'max_epochs'"
            )
    run.finish(progress.kept)
    return Report(
        progress.best_epoch,
        progress.reason,
        split.order,
        {name: value for name, value in progress.best.items() if "@" in name},
        progress.curve,
        progress.train_seconds,
        progress.seconds + time.perf_counter() - start,
        part,
        run.vectors(edge_weight),
        {**settings, "max_epochs": max_epochs},
        kernels.chosen(),
    )


def default_loader(data: Data, model: Recommender) -> Iterable[Data]:
    """The loader that :func:`fit` takes if none is given, a
    :class:`~ltgnn_pyg.PairLoader`: with inner steps of 4,096 pairs in 40 rounds an
    epoch for models that are linear in their table, otherwise as it is.
    """
    if model.coefficients is None:
        return PairLoader(data)
    return PairLoader(
        data,
        batch_size=4096,
        num_rounds=40,
        inner_steps=True,
        leave_out=len(model.coefficients) > 1,  # Otherwise the graph has no say.
    )


def _default_optimizer(
    parameters: Iterable[Parameter], loader: Iterable[Data]
) -> Optimizer:
    """The optimizer that :func:`fit` takes if none is given."""
    if isinstance(loader, PairLoader):
        return RowAdam(parameters, lr=0.003 if loader.inner_steps else 0.007)
    return RowAdam(parameters, lr=0.001)


@dataclass
class _Progress:
    """How far a run has come."""

    phase: int = 0  # 0 chooses the epochs, 1 trains anew on both parts.
    epoch: int = 0  # Of this phase.
    best_epoch: int = 0
    reason: str = ""  # Why that one.
    best: dict[str, Any] = field(default_factory=dict)
    curve: list[dict[str, Any]] = field(default_factory=list)
    kept: list[Tensor] | None = None
    train_seconds: float = 0.0  # Of this phase.
    seconds: float = 0.0  # Of all before this process.

    def count(self, loss: float, seconds: float) -> dict[str, Any]:
        """Counts an epoch, and returns its row."""
        self.epoch += 1
        self.train_seconds += seconds
        row = {"phase": self.phase, "epoch": self.epoch, "loss": loss}
        row["seconds"] = round(self.train_seconds, 3)
        self.curve.append(row)
        return row


class _Training:
    """A model in training on some interactions."""

    def __init__(
        self,
        model: Recommender | ShardedRecommender,
        interactions: Interactions,
        loader: Callable[[Data, Recommender], Iterable[Data]] | None,
        optimizer: Callable[[Iterable[Parameter]], Optimizer] | None,
        average: float,
        init: Callable[[Tensor, Tensor, int], Any] | None,
    ) -> None:
        self.model, self.interactions = model, interactions
        if isinstance(model, ShardedRecommender):
            data = model.partition.to_data(interactions)
        else:
            data = interactions.to_data()
        self.data = data.to(model.embedding.weight.device)
        make_loader: Any = loader or default_loader
        self.loader = make_loader(self.data, model)
        if isinstance(model, Recommender):
            adj_t = normalized_adj(self.data.edge_index, num_nodes=model.num_nodes)
            if init is not None:
                model.init_table(init, adj_t)
        if optimizer is None:
            self.optimizer = _default_optimizer(model.parameters(), self.loader)
        else:
            self.optimizer = optimizer(model.parameters())
        if isinstance(model, ShardedRecommender):
            model.prepare(self.data, self.loader, self.optimizer, init)
        if isinstance(model, Recommender):
            model.loss_fn.prepare(adj_t, model.num_users)
        self.averaged = None
        if average > 0.0:
            # Of as many epochs, however many updates an epoch has.
            decay = average ** (UPDATES / min(UPDATES, len(self.loader)))
            self.averaged = AveragedModel(model, multi_avg_fn=moving_average(decay))

    def epoch(self, title: str) -> tuple[float, float]:
        """Trains for an epoch; returns the mean loss and the seconds."""
        start, num, size = time.perf_counter(), 0, len(self.loader)
        total = torch.zeros((), device=self.model.embedding.weight.device)
        self.model.train()
        quiet = None if is_first() else True  # None: off where there is no terminal.
        for batch in tqdm(self.loader, title, leave=False, disable=quiet):
            self.optimizer.zero_grad()
            loss = self.model.loss(batch)
            loss.backward()
            self.optimizer.step()
            num += 1
            # Evenly spread, however many steps an epoch has.
            if self.averaged and num * UPDATES // size > (num - 1) * UPDATES // size:
                self.averaged.update_parameters(self.model)
            total += loss.detach()
        return float(total) / num, time.perf_counter() - start

    def scored(self) -> list[Tensor]:
        """The parameters and buffers that score: the average, if there is one."""
        return _tensors(self.averaged.module if self.averaged else self.model)

    def vectors(
        self, edge_weight: Callable[[Interactions], Tensor] | None
    ) -> Vectors | ShardedVectors:
        """What is scored, over the graph of the interactions."""
        model: Any = self.averaged.module if self.averaged else self.model
        weight = None if edge_weight is None else edge_weight(self.interactions)
        if weight is not None:
            directions = self.data.edge_index.size(1) // weight.numel()
            weight = weight.repeat(directions).to(self.data.edge_index.device)
        model.eval()
        return model.vectors(self.data.edge_index, weight)

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds of it."""
        out = {"model": self.model, "optimizer": self.optimizer}
        return out | ({"averaged": self.averaged} if self.averaged else {})

    @torch.no_grad()
    def finish(self, kept: list[Tensor] | None) -> None:
        """Leaves what scores on the model."""
        kept = self.scored() if kept is None else kept
        for tensors in (self.scored(), _tensors(self.model)):
            for tensor, value in zip(tensors, kept, strict=True):
                tensor.copy_(value)
        self.model.eval()


def _tensors(module: Any) -> list[Tensor]:
    return [*module.parameters(), *module.buffers()]


def moving_average(decay: float) -> Callable[..., None]:
    r"""The exponential moving average of parameters for
    :class:`torch.optim.swa_utils.AveragedModel`, without the weight of the start:

    .. math::
        \bar{\theta}_n = \frac{1 - \beta}{1 - \beta^n} \sum_{m=1}^{n} \beta^{n-m}
        \theta_m

    Args:
        decay (float): :math:`\beta` in :math:`[0, 1)`.
    """

    @torch.no_grad()
    def update(average: Any, current: Any, num: Any) -> None:
        weight = (1.0 - decay) / (1.0 - decay ** (int(num) + 1))
        torch._foreach_lerp_(average, current, weight)

    return update


def _digest(split: Split) -> str:
    """Tells the interactions of two splits apart."""
    out = hashlib.sha256()
    for part in (split.train, split.val):
        out.update(part.edge_label_index.cpu().numpy().tobytes())
    return out.hexdigest()


def _name(function: Any) -> str | None:
    """What a function is called, with the arguments it is given beforehand."""
    if isinstance(function, partial):
        return f"{_name(function.func)}{function.args}{function.keywords}"
    if isinstance(function, type | FunctionType):
        return function.__qualname__
    return None if function is None else type(function).__qualname__


def _validate(
    vectors: Vectors | ShardedVectors,
    split: Split,
    metric: str,
    num_users: int | None,
) -> dict[str, float]:
    """The metrics of the validation part, of a sample of its users that stays."""
    name, _, k = metric.partition("@")
    user = None
    if num_users is not None:
        user = split.val.user.unique()
        perm = torch.randperm(len(user), generator=torch.Generator().manual_seed(0))
        user = user[perm[:num_users]]
    sharded = isinstance(vectors, ShardedVectors)
    measure: Callable[..., dict[str, float]] = evaluate_sharded if sharded else evaluate
    return measure(
        vectors,
        split.val.edge_label_index,
        exclude_edge_index=split.train.edge_label_index,
        k=int(k),
        metrics=sorted({"recall", "ndcg", name}),
        user=user,
    )
