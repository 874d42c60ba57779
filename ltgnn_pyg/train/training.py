"""A model in training on some interactions, epoch by epoch."""

import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel
from tqdm import tqdm

from ltgnn_pyg.batch import PairBatch
from ltgnn_pyg.datasets import Interactions
from ltgnn_pyg.graph import Graph
from ltgnn_pyg.inputs import RowAdam
from ltgnn_pyg.loader import PairLoader
from ltgnn_pyg.nn.models import Recommender
from ltgnn_pyg.train.average import UPDATES, moving_average
from ltgnn_pyg.train.place import Init, Place

MakeLoader = Callable[[Graph, Recommender], Iterable[PairBatch]]
MakeOptimizer = Callable[[Iterable[Parameter]], Optimizer]
Weigh = Callable[[Interactions], Tensor]


class Training:
    """A model in training on some interactions.

    Args:
        place (Place): The model, and the place where it is trained.
        interactions (Interactions): The interactions.
        base (Graph, optional): The graph of all else.
        loader (callable, optional): Makes the loader of an epoch.
        optimizer (callable, optional): Makes the optimizer.
        average (float): The decay of the moving average; 0 for none.
        init (callable, optional): Fills the table.
        edge_weight (callable, optional): Weighs the graph that is scored over.
    """

    def __init__(
        self,
        place: Place,
        interactions: Interactions,
        base: Graph | None,
        loader: MakeLoader | None,
        optimizer: MakeOptimizer | None,
        average: float,
        init: Init | None,
        edge_weight: Weigh | None,
    ) -> None:
        self.model, self.interactions = place.held, interactions
        graph = place.graph(interactions, base)
        make: Any = loader or default_loader
        self.loader: Any = make(graph, self.model)
        if optimizer is None:
            self.optimizer = default_optimizer(self.model.parameters(), self.loader)
        else:
            self.optimizer = optimizer(self.model.parameters())
        place.start(graph, self.loader, self.optimizer, init)
        #: The graph that is scored over.
        self.graph = graph
        if edge_weight is not None:
            weighed = replace(interactions, weight=edge_weight(interactions))
            self.graph = place.graph(weighed, base)
        self.averaged: Any = None
        if average > 0.0:
            # Of as many epochs, however many updates an epoch has.
            decay = average ** (UPDATES / min(UPDATES, len(self.loader)))
            moving: Any = moving_average(decay)
            self.averaged = AveragedModel(self.model, multi_avg_fn=moving)
        self.is_first = place.is_first

    def epoch(self, title: str) -> tuple[float, float]:
        """Trains for an epoch; returns the mean loss and the seconds."""
        start, num, size = time.perf_counter(), 0, len(self.loader)
        total = torch.zeros((), device=self.graph.device)
        self.model.train()
        quiet = None if self.is_first else True  # None: off where there is no terminal.
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

    def scorer(self) -> Any:
        """The scorer of the model as it is now, or of its average."""
        model: Any = self.averaged.module if self.averaged else self.model
        model.eval()
        return model.scorer(self.graph)

    def state(self) -> dict[str, Any]:
        """The objects that a checkpoint holds."""
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


def default_loader(graph: Graph, model: Recommender) -> Iterable[PairBatch]:
    """The loader that :func:`fit` takes if none is given, a
    :class:`~ltgnn_pyg.PairLoader`: with inner steps of 4,096 pairs in 40 rounds an
    epoch for models that are a polynomial of the graph, otherwise as it is.
    """
    if model.coefficients is None:
        return PairLoader(graph)
    return PairLoader(
        graph,
        batch_size=4096,
        num_rounds=40,
        inner_steps=True,
        leave_out=len(model.coefficients) > 1,  # Otherwise the graph has no say.
    )


def default_optimizer(
    parameters: Iterable[Parameter], loader: Iterable[PairBatch]
) -> Optimizer:
    """The optimizer that :func:`fit` takes if none is given."""
    if isinstance(loader, PairLoader):
        return RowAdam(parameters, lr=0.003 if loader.inner_steps else 0.007)
    return RowAdam(parameters, lr=0.001)


def _tensors(module: Any) -> list[Tensor]:
    return [*module.parameters(), *module.buffers()]
