"""A model whose table is held by several processes."""

from collections.abc import Callable, Iterable
from functools import partial
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import Module, Parameter
from torch.optim import Optimizer

from ltgnn_pyg.batch import PairBatch, Round
from ltgnn_pyg.datasets import Interactions
from ltgnn_pyg.distributed.adjacency import ShardedAdjacency
from ltgnn_pyg.distributed.exchange import SumLoss, pull_rows
from ltgnn_pyg.distributed.init import sharded_spectral_
from ltgnn_pyg.distributed.partition import Partition
from ltgnn_pyg.distributed.vectors import ShardedVectors
from ltgnn_pyg.graph import Graph
from ltgnn_pyg.inputs import Embeddings, Inputs
from ltgnn_pyg.loader import PairLoader
from ltgnn_pyg.nn.init import spectral_
from ltgnn_pyg.nn.loss.objective import Objective
from ltgnn_pyg.nn.loss.ranking_loss import RankingLoss
from ltgnn_pyg.nn.models import LTGNN, Recommender

#: Losses of an encoder's rows; what overrides them may need rows that are elsewhere.
LOSSES = (Recommender.loss, LTGNN.loss)


class ShardedRecommender(Module):
    r"""A model of whose table each process holds its own rows.

    The model's :meth:`~ltgnn_pyg.nn.models.Recommender.encode` runs as it is, over the
    rows of this process and a :class:`ShardedAdjacency`. A round's micro-batches are
    dealt out whole: process :math:`r` pulls the rows of the micro-batches :math:`r, r +
    P, \ldots`, runs the objective over them, and sends the gradient back. So each
    objective sees what it sees in one process, and loss and gradient are the same.

    Other parameters than the table are held by all; their gradients are summed before
    each step of the optimizer.

    Args:
        model (Recommender): The model, alike in all processes; it keeps this process's
            rows of its table and gives up the others.
        partition (Partition): The rows of each process.

    Raises:
        ValueError: If the model's loss needs more than rows of what it encodes, its
            objective is prepared with more than the density of the graph, or the model
            differs between the processes.

    *Cost:* N x dim / P numbers; O(num_seeds x dim / P) numbers sent a round beside
    those of the products.
    """

    def __init__(self, model: Recommender, partition: Partition) -> None:
        super().__init__()
        own = not isinstance(model, Recommender) or type(model).loss not in LOSSES
        if own or type(model).rows is not Recommender.rows:
            raise ValueError(
                f"Expected a model whose loss is that of 'Recommender' (got "
                f"{type(model).__name__}, whose own loss cannot be split among "
                "processes); override 'encode' only, or train in one process"
            )
        for each in model.loss_fn.modules():
            known = Objective.prepare, RankingLoss.prepare
            if isinstance(each, Objective) and type(each).prepare not in known:
                raise ValueError(
                    "Expected an objective that is told no more than the density of "
                    f"the graph (got '{type(each).__name__}', which is prepared with "
                    "all of it); take 'SoftmaxAtKLoss', or train in one process"
                )
        table = model.inputs.table()
        if table.size(0) != partition.num_nodes or not isinstance(table, Parameter):
            raise ValueError(
                f"Expected a model with all {partition.num_nodes} rows of its table "
                f"(got {model.inputs}); build anew one that was trained in several "
                "processes before, and train one that has no rows for some nodes in "
                "one process"
            )
        partition.check_alike(
            "model and torch generator",
            model,
            torch.get_rng_state(),
            *model.parameters(),
        )
        model.inputs = Embeddings.from_table(partition.take(table.detach()))
        self.model, self.partition = model, partition
        self.num_users, self.num_items = model.num_users, model.num_items
        self.num_nodes = partition.num_nodes

    @classmethod
    def of(
        cls,
        model: Recommender,
        train: Interactions,
        val: Interactions,
        settings: dict[str, Any],
    ) -> "ShardedRecommender":
        """Shards a model to be trained on some interactions.

        Args:
            model (Recommender): The model.
            train (Interactions): The interactions to train on.
            val (Interactions): Those that are trained on later.
            settings (dict): Those that must be alike in all processes.
        """
        users = torch.cat([train.user, val.user])
        degree = torch.bincount(users, minlength=train.num_users)
        partition = Partition(degree.cpu(), train.num_items)
        partition.check_alike("data and settings", sorted(settings.items()))
        return cls(model, partition)

    @property
    def coefficients(self) -> None:
        """None: inner steps would send rows for each micro-batch of a round."""
        return None

    @property
    def inputs(self) -> Inputs:
        """The rows of the table that this process holds."""
        return self.model.inputs

    @property
    def loss_fn(self) -> Objective:
        """The objective."""
        return self.model.loss_fn

    def graph(self, interactions: Interactions) -> Graph:
        """The graph of interactions, whose matrix all processes share."""
        graph = Graph.from_interactions(interactions).to(self.inputs.table().device)
        operator = ShardedAdjacency.build(self.partition, graph)
        return graph.with_operator(operator)

    def prepare(
        self,
        graph: Graph,
        loader: Iterable[PairBatch],
        optimizer: Optimizer,
        init: Callable[[Tensor, Graph], Any] | None,
    ) -> None:
        """Starts the table from where one process would, and makes the optimizer sum
        what all processes hold.

        Raises:
            ValueError: If the loader or the start is none that can be split.
        """
        if not isinstance(loader, PairLoader) or loader.inner_steps:
            raise ValueError(
                f"Expected a 'PairLoader' of rounds of a step each in several "
                f"processes (got a {type(loader).__name__} of other steps); leave "
                "'loader' out"
            )
        table = self.inputs.table()
        if init is not None:
            given = init.func if isinstance(init, partial) else init
            if given is not spectral_:
                raise ValueError(
                    f"Expected 'spectral_' or None as 'init' in several processes (got "
                    f"{init}); fill the table of the model before 'fit', with init=None"
                )
            settings = init.keywords if isinstance(init, partial) else {}
            matrix: Any = graph.operator
            sharded_spectral_(table, matrix, **settings)
        self.loss_fn.prepare(graph)
        held = [p for p in self.parameters() if p is not table and p.requires_grad]
        if held:
            optimizer.register_step_pre_hook(partial(self._sum_gradients, held))

    def _sum_gradients(self, params: list[Parameter], *args: Any) -> None:
        for param in params:
            if param.grad is None:  # Of all processes, or of this one alone.
                param.grad = torch.zeros_like(param)
            self.partition.sum_(param.grad)

    def loss(self, batch: Round) -> Tensor:
        """Returns the loss of a round, a scalar; its gradient is this process's part.

        Args:
            batch (Round): The round, alike in all processes.
        """
        size = self.partition.world_size
        n_id = [take_share(batch, rank, size).n_id for rank in range(size)]
        part = take_share(batch, self.partition.rank, size)
        z = pull_rows(self.model.encode(batch.graph), n_id, self.partition)
        x = None
        if self.model.weight_decay > 0.0:
            x = pull_rows(self.inputs.table(), n_id, self.partition)
        if part.num_pairs > 0:
            loss = self.model.objective(z, part)
            if x is not None:
                loss = loss + self.model.decay(x, part)
            loss = batch.share(part) * loss
        else:  # There are fewer micro-batches than processes.
            loss = z.sum() if x is None else z.sum() + x.sum()
        return SumLoss.apply(loss, self.partition)

    @torch.no_grad()
    def scorer(self, graph: Graph) -> ShardedVectors:
        """Returns this process's part of what is scored.

        Args:
            graph (Graph): The graph, such as :meth:`graph` makes.
        """
        z = self.model.encode(graph)
        if self.loss_fn.cosine:
            z = F.normalize(z, dim=-1)
        wide = torch.promote_types(z.dtype, torch.float32)
        bias = self.loss_fn.item_bias(graph.item_degree.to(z.device, wide))
        bias = None if bias is None else bias.to(z.dtype)
        user, rows = z.split(
            [self.partition.num_own_users, z.size(0) - self.partition.num_own_users]
        )
        return ShardedVectors(self.partition, user, rows, bias)


def take_share(batch: Round, rank: int, world_size: int) -> Round:
    """The micro-batches of a round that are dealt to one process, as a round."""
    ends = list(zip(pairwise(batch.pair_ptr), pairwise(batch.seed_ptr), strict=True))
    ends = ends[rank::world_size]
    device = batch.n_id.device
    none = torch.empty(0, dtype=torch.long, device=device)
    pairs = [torch.arange(*pair, device=device) for pair, _ in ends]
    seeds = [torch.arange(*seed, device=device) for _, seed in ends]
    pair, seed = torch.cat([none, *pairs]), torch.cat([none, *seeds])
    place = torch.empty_like(batch.n_id)
    place[seed] = torch.arange(seed.numel(), device=device)
    out = Round(
        n_id=batch.n_id[seed],
        num_seeds=seed.numel(),
        num_nodes=seed.numel(),
        src_index=place[batch.src_index[pair]],
        dst_pos_index=place[batch.dst_pos_index[pair]],
        pair_ptr=_to_ptr(pairs),
        seed_ptr=_to_ptr(seeds),
        input_id=batch.input_id[pair],
    )
    if (neg := batch.negatives) is not None:
        shared = neg.size(0) == batch.num_micro_batches
        rows = neg[rank::world_size] if shared else neg[pair]
        out.dst_neg_index = place[rows]
    if batch.get("weight") is not None:
        out.weight = batch.weight[pair]
    if batch.get("log_q") is not None:
        out.log_q = batch.log_q[seed]
    return out


def _to_ptr(parts: list[Tensor]) -> list[int]:
    ptr = [0]
    for part in parts:
        ptr.append(ptr[-1] + part.numel())
    return ptr
