"""The one protocol: epochs chosen on validation, then all interactions, then a test."""

import copy
import hashlib
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import FunctionType
from typing import Any

import torch
from torch import Tensor

from ltgnn_pyg.datasets import Split
from ltgnn_pyg.datasets.replace_file import replace_text
from ltgnn_pyg.evaluation import METRICS
from ltgnn_pyg.graph import Graph
from ltgnn_pyg.graph.kernels import kernels
from ltgnn_pyg.nn.init import spectral_
from ltgnn_pyg.nn.models import Recommender
from ltgnn_pyg.train.place import Init, Place
from ltgnn_pyg.train.report import Report
from ltgnn_pyg.train.training import (
    MakeLoader,
    MakeOptimizer,
    Training,
    Weigh,
    default_loader,
    default_optimizer,
)

CHECKPOINT, CURVE = "run.ckpt", "metrics.jsonl"
Log = Callable[[dict[str, Any], int], Any]


@kernels.run()
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
        graph (Graph, optional): What is known beside the interactions of the split:
            nodes and edges of other types. Its own edges of the type that is
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
        init (callable, optional): Fills the inputs' table before training, given also
            the graph. :obj:`None` leaves it as it is.
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
    run = _Run(place, split, settings, max_epochs, folder, resume, log, start, initial)
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


class _Run:
    """A run of :func:`fit`: its progress, and the folder that it is kept in."""

    def __init__(
        self,
        place: Place,
        split: Split,
        settings: dict[str, Any],
        max_epochs: int,
        folder: str | os.PathLike[str] | None,
        resume: bool,
        log: Log | None,
        start: float,
        initial: dict[str, Any],
    ) -> None:
        self.place, self.split, self.settings = place, split, settings
        self.max_epochs, self.log = max_epochs, log
        self.start, self.initial = start, initial
        self.progress, self.resumed = _Progress(), False
        self.checkpoint = None if folder is None else Path(folder, CHECKPOINT)
        if self.checkpoint is None:
            return
        self.checkpoint.parent.mkdir(parents=True, exist_ok=True)
        if self.checkpoint.exists():
            if not resume:
                raise ValueError(
                    f"Expected a folder without a run (got '{self.checkpoint}'); pass "
                    "'resume=True' to go on with it, or another folder"
                )
            self._resume(self.checkpoint)

    def _resume(self, checkpoint: Path) -> None:
        saved = self.place.load(checkpoint)
        if saved["settings"] != self.settings:
            raise ValueError(
                f"Expected the settings of the run in '{checkpoint}', "
                f"{saved['settings']} (got {self.settings}); pass the same to go on"
            )
        self.progress, self.initial = _Progress(**saved["progress"]), saved["initial"]
        self.resumed = True
        kernels.restore(saved["kernels"])
        if self.progress.phase > 0 and saved["max_epochs"] != self.max_epochs:
            raise ValueError(
                f"Expected max_epochs={saved['max_epochs']}, as the number of "
                f"epochs is chosen already (got {self.max_epochs}); start in another "
                "folder to choose anew"
            )

    def begin(self, training: Training) -> Training:
        """Takes over what a checkpoint holds of a training."""
        if self.resumed and self.checkpoint is not None:
            self.place.load(self.checkpoint, **training.state())
        self.resumed = False
        return training

    def next_phase(self) -> None:
        """Goes back to where the model started from."""
        progress = self.progress
        progress.phase, progress.epoch, progress.train_seconds = 1, 0, 0.0
        self.place.held.load_state_dict(self.initial)

    def choose(
        self,
        training: Training,
        max_seconds: float | None,
        patience: int,
        metric: str,
        eval_users: int | None,
        refit: bool,
    ) -> None:
        """Trains until the validation part gains nothing more."""
        progress, choosing = self.progress, len(self.split.val) > 0
        limit = float("inf") if max_seconds is None else max_seconds
        while progress.epoch < self.max_epochs:
            if progress.epoch - progress.best_epoch >= patience:
                break
            if progress.train_seconds >= limit:
                break
            row = self._epoch(training)
            if not choosing:
                progress.best_epoch = progress.epoch
            else:
                row |= self._validate(training, metric, eval_users)
                if row[metric] > progress.best.get(metric, -1.0):
                    progress.best_epoch, progress.best = progress.epoch, row
                    if not refit:
                        kept = [t.detach().clone() for t in training.scored()]
                        progress.kept = kept
            self._keep(training, row)
        if not choosing:
            progress.reason = "as many as asked for: there is no validation part"
        elif progress.epoch - progress.best_epoch >= patience:
            progress.reason = (
                f"the best on validation, without a gain in {patience} more"
            )
        elif progress.epoch < self.max_epochs:
            progress.reason = f"the best on validation, in {max_seconds:g} s"
        else:
            progress.reason = (
                f"the best on validation, of {self.max_epochs} at most: raise "
                "'max_epochs'"
            )

    def train_again(self, training: Training) -> None:
        """Trains for as many epochs as were chosen."""
        while self.progress.epoch < self.progress.best_epoch:
            self._keep(training, self._epoch(training))

    def report(self, training: Training) -> Report:
        """Leaves the result on the model, and says how it went."""
        progress = self.progress
        training.finish(progress.kept)
        return Report(
            epochs=progress.best_epoch,
            reason=progress.reason,
            order=self.split.order,
            validation={k: v for k, v in progress.best.items() if "@" in k},
            curve=progress.curve,
            train_seconds=progress.train_seconds,
            seconds=progress.seconds + time.perf_counter() - self.start,
            interactions=training.interactions,
            graph=training.graph,
            scorer=training.scorer(),
            settings={**self.settings, "max_epochs": self.max_epochs},
            kernels=kernels.chosen(),
        )

    def _epoch(self, training: Training) -> dict[str, Any]:
        """Trains for an epoch, and returns its row."""
        return self.progress.count(*training.epoch(f"Epoch {self.progress.epoch + 1}"))

    def _validate(
        self, training: Training, metric: str, num_users: int | None
    ) -> dict[str, float]:
        """The metrics of the validation part, of a sample of its users that stays."""
        name, _, k = metric.partition("@")
        user = None
        if num_users is not None:
            user = self.split.val.user.unique()
            perm = torch.randperm(len(user), generator=torch.Generator().manual_seed(0))
            user = user[perm[:num_users]]
        return self.place.evaluate(
            training.scorer(),
            self.split.val,
            exclude=self.split.train_seen,
            k=int(k),
            metrics=sorted({"recall", "ndcg", name}),
            user=user,
        )

    def _keep(self, training: Training, row: dict[str, Any]) -> None:
        """Writes the curve and a checkpoint, and logs an epoch."""
        progress = self.progress
        if self.checkpoint is not None:
            if self.place.is_first:
                lines = "".join(json.dumps(row) + "\n" for row in progress.curve)
                replace_text(self.checkpoint.with_name(CURVE), lines)
            seconds = progress.seconds + time.perf_counter() - self.start
            held = {
                "progress": vars(replace(progress, seconds=seconds)),
                "initial": self.initial,
                "settings": self.settings,
                "max_epochs": self.max_epochs,
                "kernels": kernels.chosen(),
            }
            self.place.save(self.checkpoint, **held, **training.state())
        if self.log is not None and self.place.is_first:
            self.log(row, len(progress.curve))


@dataclass
class _Progress:
    """The progress of a run."""

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


def _digest(split: Split, graph: Graph | None) -> str:
    """Tells the interactions of two splits apart, and what is known beside."""
    out = hashlib.sha256()
    tensors: list[Tensor | None] = []
    for part in (split.train, split.val):
        tensors += [part.user, part.item, part.weight]
    if graph is not None:
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
