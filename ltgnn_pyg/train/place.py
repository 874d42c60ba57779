"""The place where a model is trained: in one process, or shared by several."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any

from torch import Tensor
from torch.nn import Module
from torch.optim import Optimizer

from ltgnn_pyg.batch import PairBatch
from ltgnn_pyg.datasets import Interactions, Split
from ltgnn_pyg.distributed import ShardedRecommender, is_distributed, is_first
from ltgnn_pyg.distributed import evaluate as evaluate_sharded
from ltgnn_pyg.distributed.checkpoint import load_sharded, save_sharded
from ltgnn_pyg.evaluation import evaluate
from ltgnn_pyg.graph import Graph
from ltgnn_pyg.nn.models import Recommender
from ltgnn_pyg.train.checkpoint import load_checkpoint, save_checkpoint

Init = Callable[[Tensor, Graph], Any]
Loader = Iterable[PairBatch]


class Place(ABC):
    """The place where a model is trained."""

    #: The model, or this process's share of it.
    held: Any
    #: True in one process, and in the first of several.
    is_first: bool = True

    @staticmethod
    def of(model: Recommender, split: Split, settings: dict[str, Any]) -> Place:
        """The place of this process: several, if they form a group.

        Args:
            model (Recommender): The model.
            split (Split): The interactions.
            settings (dict): Those of the run, which must be alike in all processes.
        """
        if is_distributed():
            return SeveralProcesses(model, split, settings)
        return OneProcess(model)

    @abstractmethod
    def graph(self, interactions: Interactions, base: Graph | None) -> Graph:
        """The graph of some interactions, on the device of the model.

        Args:
            interactions (Interactions): The interactions.
            base (Graph, optional): The graph of all else.
        """

    @abstractmethod
    def start(
        self, graph: Graph, loader: Loader, optimizer: Optimizer, init: Init | None
    ) -> None:
        """Starts the table, and tells the objective what it is to know of the graph."""

    @abstractmethod
    def evaluate(
        self, scorer: Any, held_out: Interactions, **kwargs: Any
    ) -> dict[str, float]:
        """The metrics of what scores, see :func:`~ltgnn_pyg.evaluation.evaluate`."""

    @abstractmethod
    def save(self, path: str | os.PathLike[str], **state: Any) -> None:
        """Writes a checkpoint."""

    @abstractmethod
    def load(self, path: str | os.PathLike[str], **state: Any) -> dict[str, Any]:
        """Restores objects from a checkpoint, and returns what else it holds."""


class OneProcess(Place):
    """A model in one process."""

    def __init__(self, model: Recommender) -> None:
        self.held: Module = model
        self.model = model

    def graph(self, interactions: Interactions, base: Graph | None) -> Graph:
        """The graph of some interactions, on the device of the model."""
        if base is None:
            graph = Graph.from_interactions(interactions)
        else:
            graph = base.with_interactions(interactions.to(base.device))
        return graph.to(next(self.model.parameters()).device)

    def start(
        self, graph: Graph, loader: Loader, optimizer: Optimizer, init: Init | None
    ) -> None:
        """Fills the table, and prepares the objective."""
        if init is not None:
            self.model.init_table(init, graph)
        self.model.loss_fn.prepare(graph)

    def evaluate(
        self, scorer: Any, held_out: Interactions, **kwargs: Any
    ) -> dict[str, float]:
        """The metrics of what scores."""
        return evaluate(scorer, held_out, **kwargs)

    def save(self, path: str | os.PathLike[str], **state: Any) -> None:
        """Writes a checkpoint, one file."""
        save_checkpoint(path, **state)

    def load(self, path: str | os.PathLike[str], **state: Any) -> dict[str, Any]:
        """Restores objects from a checkpoint."""
        return load_checkpoint(path, **state)


class SeveralProcesses(Place):
    """A model whose rows several processes share."""

    def __init__(
        self, model: Recommender, split: Split, settings: dict[str, Any]
    ) -> None:
        self.held = ShardedRecommender.of(model, split.train, split.val, settings)
        self.is_first = is_first()

    def graph(self, interactions: Interactions, base: Graph | None) -> Graph:
        """The graph of some interactions, whose matrix all processes share.

        Raises:
            ValueError: If more is known than them.
        """
        if base is not None:
            raise ValueError(
                "Expected interactions alone in several processes (got a 'graph' of "
                "more); train in one process"
            )
        return self.held.graph(interactions)

    def start(
        self, graph: Graph, loader: Loader, optimizer: Optimizer, init: Init | None
    ) -> None:
        """Fills this process's rows, and makes the optimizer sum what all hold."""
        self.held.prepare(graph, loader, optimizer, init)

    def evaluate(
        self, scorer: Any, held_out: Interactions, **kwargs: Any
    ) -> dict[str, float]:
        """The metrics of what scores, of all users."""
        return evaluate_sharded(scorer, held_out, **kwargs)

    def save(self, path: str | os.PathLike[str], **state: Any) -> None:
        """Writes a checkpoint, to which each process adds its rows."""
        save_sharded(self.held, path, **state)

    def load(self, path: str | os.PathLike[str], **state: Any) -> dict[str, Any]:
        """Restores objects from a checkpoint."""
        return load_sharded(self.held, path, **state)
