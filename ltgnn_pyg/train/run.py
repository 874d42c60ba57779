"""A run of training, and the checkpoint that it goes on from."""

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ltgnn_pyg.datasets import Split
from ltgnn_pyg.datasets.replace_file import replace_text
from ltgnn_pyg.graph.kernels import kernels
from ltgnn_pyg.train.place import Place
from ltgnn_pyg.train.report import Report
from ltgnn_pyg.train.training import Training

CHECKPOINT, CURVE = "run.ckpt", "metrics.jsonl"
Log = Callable[[dict[str, Any], int], Any]


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


class Run:
    """A run of :func:`fit`: its progress, and the folder that it is kept in.

    Args:
        place (Place): The place of the model.
        split (Split): The parts.
        settings (dict): Those of the run, which a run that goes on must have, too.
        max_epochs (int): The most epochs.
        folder (str, optional): The folder.
        resume (bool): Goes on from a checkpoint there.
        log (callable, optional): Called with the metrics of an epoch and its number.
        start (float): The time when the run began.
        initial (dict): The state that the model starts from.

    Raises:
        ValueError: If the folder holds a run already and :obj:`resume` is not set, or
            one of other settings.
    """

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
