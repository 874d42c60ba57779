from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torch_geometric.data import Data
from torch_geometric.loader.base import DataLoaderIterator
from torch_geometric.sampler import NegativeSampling

from ltgnn_pyg.batch import InnerStep, InnerSteps, Round
from ltgnn_pyg.batch.inner_steps import Tables
from ltgnn_pyg.graph import Graph
from ltgnn_pyg.loader.pair_batch_sampler import PairBatchSampler
from ltgnn_pyg.loader.pairs import (
    as_graph,
    check_workers,
    items_only,
    log_q,
    pair_weights,
    training_pairs,
)


class PairLoader(DataLoader):
    r"""Loads *rounds* of user-item pairs, each with the graph to predict them from.

    An epoch is cut into a fixed number of rounds. For each, a model that propagates
    over the whole graph does so once, and the objective then runs over its pairs in
    micro-batches: what an epoch costs is linear in the interactions, for every model
    whose encoder is (:class:`~ltgnn_pyg.nn.models.Recommender`).

    A batch is a :class:`~ltgnn_pyg.batch.Round`, in PyG's form.

    Args:
        data (Graph or torch_geometric.data.Data): The graph, which is normalised once;
            of PyG's data see :meth:`~ltgnn_pyg.graph.Graph.from_data`.
        edge_label_index (torch.Tensor, optional): The training pairs
            :obj:`[2, num_pairs]`, users first. If :obj:`None`, the edges that are
            recommended. (default: :obj:`None`)
        edge_label_weight (torch.Tensor, optional): The weights of the pairs in the
            objective :obj:`[num_pairs]`. If :obj:`None`, those of the graph's edges,
            or ones for pairs that are given. (default: :obj:`None`)
        batch_size (int, optional): Pairs in a micro-batch. (default: :obj:`1024`)
        num_rounds (int, optional): Rounds in an epoch, of a micro-batch at least.
            (default: :obj:`80`)
        inner_steps (bool, optional): Yields the micro-batches of a round one by one,
            for a step each, :class:`~ltgnn_pyg.batch.InnerStep`: more is learned of a
            pair, and fewer rounds do. For models that say their
            :attr:`~ltgnn_pyg.nn.models.Recommender.coefficients`. (default:
            :obj:`False`)
        leave_out (bool, optional): Takes the pairs of a round out of its graph;
            otherwise all rounds share :attr:`graph`, and none costs O(E) to make.
            (default: :obj:`True`)
        neg_sampling (NegativeSampling or str or dict, optional): An
            :class:`~ltgnn_pyg.ItemNegativeSampling`, or a triplet
            :class:`~torch_geometric.sampler.NegativeSampling` (or
            :obj:`"triplet"`), which is made to draw items only. :obj:`None` draws
            no negatives, for objectives that take them from the micro-batch.
            (default: :obj:`None`)
        shuffle (bool, optional): Draws the order of the pairs anew each epoch.
            (default: :obj:`True`)
        drop_last (bool, optional): Drops the last micro-batch if it is smaller.
            (default: :obj:`False`)
        generator (torch.Generator, optional): Draws pairs and negatives. If
            :obj:`None`, torch's global generator does. (default: :obj:`None`)
        **kwargs (optional): Further arguments of
            :class:`torch.utils.data.DataLoader`, such as :obj:`num_workers`.

    Raises:
        ValueError: If :obj:`num_users` is missing, the pairs do not lead from
            users to items, the graph is not symmetric, or sizes differ.

    *Cost:* O(E + num_pairs log(num_pairs)) time a round, O(num_pairs) without
    :obj:`leave_out`.
    """

    def __init__(
        self,
        data: Data | Graph,
        edge_label_index: Tensor | None = None,
        *,
        edge_label_weight: Tensor | None = None,
        batch_size: int = 1024,
        num_rounds: int = 80,
        leave_out: bool = True,
        inner_steps: bool = False,
        neg_sampling: NegativeSampling | str | dict[str, Any] | None = None,
        shuffle: bool = True,
        drop_last: bool = False,
        generator: torch.Generator | None = None,
        **kwargs: Any,
    ) -> None:
        check_workers(kwargs)
        self.graph = as_graph(data)
        weight = pair_weights(edge_label_index, edge_label_weight, self.graph)
        self.edge_label_weight = weight
        self.edge_label_index = training_pairs(edge_label_index, self.graph)
        self.leave_out = leave_out
        self.inner_steps = inner_steps
        self.neg_sampling = items_only(
            neg_sampling, self.graph, generator, self.edge_label_index.device
        )
        self._log_q = log_q(self.neg_sampling, self.graph)
        sampler = PairBatchSampler(
            self.edge_label_index.size(1),
            batch_size,
            num_rounds,
            shuffle,
            drop_last,
            generator,
        )
        super().__init__(
            range(self.edge_label_index.size(1)),  # type: ignore[arg-type]
            batch_sampler=sampler,
            collate_fn=self.collate,
            generator=generator,
            **kwargs,
        )
        self.micro_batch_size = batch_size

    def collate(self, index: list[int]) -> Round:
        """Makes a round of pairs, but for its graph; may run in a worker."""
        input_id = torch.tensor(index, device=self.edge_label_index.device)
        src, dst = self.edge_label_index[:, input_id].long()
        size, num_pairs = self.micro_batch_size, len(index)
        pair_ptr = [*range(0, num_pairs, size), num_pairs]
        part = torch.arange(num_pairs, device=src.device) // size
        ends = [src, dst]
        parts = [part, part]
        if self.neg_sampling is not None:
            if self.neg_sampling.shared:
                each = [self.neg_sampling.sample_for(src) for _ in pair_ptr[1:]]
                neg = torch.cat(each)
            else:
                neg = self.neg_sampling.sample_for(src)
            of_row = part if neg.size(0) == num_pairs else part[::size]
            ends.append(neg.view(-1))
            parts.append(of_row.repeat_interleave(neg[0].numel()))
        # A node stands once in each micro-batch: they are told apart by their number.
        num_nodes = self.graph.num_nodes
        key = torch.cat(parts).mul_(num_nodes).add_(torch.cat(ends))
        key, position = key.unique(return_inverse=True)
        bound = num_nodes * torch.arange(len(pair_ptr), device=key.device)
        out = position.split([end.numel() for end in ends])
        batch = Round(
            n_id=key % num_nodes,
            num_seeds=key.numel(),
            num_nodes=key.numel(),
            src_index=out[0],
            dst_pos_index=out[1],
            pair_ptr=pair_ptr,
            seed_ptr=torch.searchsorted(key, bound).tolist(),
            input_id=input_id,
        )
        if self.neg_sampling is not None:
            batch.dst_neg_index = out[2].view_as(neg)
        if self._log_q is not None:
            batch.log_q = self._log_q[batch.n_id]
        if self.edge_label_weight is not None:
            batch.weight = self.edge_label_weight[input_id]
        return batch

    def add_graph(self, batch: Round) -> Round:
        """Puts the graph of its round on a batch, in the main process."""
        batch["graph"] = self.graph
        if self.leave_out:
            batch["graph"] = self.graph.without(
                self.edge_label_index[:, batch.input_id]
            )
        return batch

    def __len__(self) -> int:
        sampler: Any = self.batch_sampler
        return sampler.num_batches if self.inner_steps else len(sampler)

    def __iter__(self) -> Any:
        rounds = DataLoaderIterator(super().__iter__(), self.add_graph)
        return self._inner(rounds) if self.inner_steps else rounds

    def _inner(self, rounds: Iterable[Round]) -> Iterator[InnerStep]:
        """Cuts rounds into the micro-batches of their inner steps."""
        pool: list[Tables] = []
        for batch in rounds:
            steps, num = InnerSteps(batch.graph, pool), batch.num_micro_batches
            for i, part in enumerate(batch.micro_batches(), start=1):
                step = InnerStep.from_dict(part.to_dict())
                step.steps, step.is_last = steps, i == num
                yield step
