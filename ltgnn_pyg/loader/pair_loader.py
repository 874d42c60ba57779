from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torch_geometric.data import Data
from torch_geometric.loader.base import DataLoaderIterator
from torch_geometric.sampler import NegativeSampling

from ltgnn_pyg.batch.inner_steps import Round, Tables, micro_batches
from ltgnn_pyg.graph.adjacency import without
from ltgnn_pyg.loader.pair_batch_sampler import PairBatchSampler
from ltgnn_pyg.loader.pairs import (
    check_workers,
    items_only,
    log_q,
    normalize,
    read_graph,
    read_size,
    training_pairs,
)


class PairLoader(DataLoader):
    r"""Loads *rounds* of user-item pairs, each with the graph to predict them from.

    An epoch is cut into a fixed number of rounds. For each, a model that propagates
    over the whole graph does so once, and the objective then runs over its pairs in
    micro-batches: what an epoch costs is linear in the interactions, for every model
    whose encoder is (:class:`~ltgnn_pyg.nn.models.Recommender`).

    A batch is a round, a :class:`~torch_geometric.data.Data`:

    * :obj:`adj_t`: the normalised adjacency, sparse CSR, without the round's pairs, so
      that no edge helps to predict itself; the degrees stay those of all edges;
    * :obj:`n_id` :obj:`[num_seeds]`: the distinct nodes of each micro-batch, one
      micro-batch after the other;
    * :obj:`num_seeds`: how many they are;
    * :obj:`src_index`, :obj:`dst_pos_index` :obj:`[num_pairs]`: users and items as
      positions in :obj:`n_id`;
    * :obj:`dst_neg_index`, only with :obj:`neg_sampling`: likewise,
      :obj:`[num_pairs]`, :obj:`[num_pairs, amount]`, or, of negatives shared by a
      micro-batch, :obj:`[num_micro_batches, amount]`;
    * :obj:`pair_ptr`, :obj:`seed_ptr`: where each micro-batch starts and ends, lists
      of :obj:`num_micro_batches + 1` numbers;
    * :obj:`log_q` :obj:`[num_seeds]`, only if negatives are not drawn uniformly: the
      logarithm of the probability of each node;
    * :obj:`input_id` :obj:`[num_pairs]`: which of the training pairs they are.

    Args:
        data (torch_geometric.data.Data): The graph, both directions of each
            interaction: :obj:`data.edge_index` (and :obj:`data.edge_weight`), or
            else :obj:`data.adj_t`. It is normalised here, once;
            :obj:`loader.adj_t` is the whole matrix. :obj:`data.num_users` tells users
            and items apart.
        edge_label_index (torch.Tensor, optional): The training pairs
            :obj:`[2, num_pairs]`, users first. If :obj:`None`, the edges of
            :obj:`data` that lead from users to items. (default: :obj:`None`)
        batch_size (int, optional): Pairs in a micro-batch. (default: :obj:`1024`)
        num_rounds (int, optional): Rounds in an epoch, of a micro-batch at least.
            (default: :obj:`80`)
        inner_steps (bool, optional): Yields the micro-batches of a round one by one,
            for a step each, see :class:`~ltgnn_pyg.batch.InnerSteps`: more is learned
            of a pair, and fewer rounds do. For models that say their
            :attr:`~ltgnn_pyg.nn.models.Recommender.coefficients`. A batch has
            :obj:`round` and :obj:`is_last` in place of :obj:`adj_t`, :obj:`pair_ptr`
            and :obj:`seed_ptr`. (default: :obj:`False`)
        leave_out (bool, optional): Takes the pairs of a round out of its graph;
            otherwise all rounds share :attr:`adj_t`, and none costs O(E) to make.
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
        data: Data,
        edge_label_index: Tensor | None = None,
        *,
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
        self.num_users, self.num_nodes = read_size(data)
        edge_index, weight = read_graph(data)
        self.edge_label_index = training_pairs(
            edge_label_index, edge_index, self.num_users, self.num_nodes
        )
        # Among several processes, each makes its part of the matrix.
        partition = data.get("partition")
        make = normalize if partition is None else partition.normalize
        self.adj_t = make(edge_index, weight, self.num_nodes)
        self.leave_out = leave_out
        self.inner_steps = inner_steps
        self.neg_sampling = items_only(
            neg_sampling,
            self.num_users,
            self.num_nodes - self.num_users,
            generator,
            self.edge_label_index.device,
        )
        self._log_q = log_q(self.neg_sampling, self.num_users)
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

    def collate(self, index: list[int]) -> Data:
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
        key = torch.cat(parts).mul_(self.num_nodes).add_(torch.cat(ends))
        key, position = key.unique(return_inverse=True)
        bound = self.num_nodes * torch.arange(len(pair_ptr), device=key.device)
        out = position.split([end.numel() for end in ends])
        batch = Data(
            n_id=key % self.num_nodes,
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
        return batch

    def add_graph(self, batch: Data) -> Data:
        """Puts the graph of its round on a batch, in the main process."""
        batch.adj_t = self.adj_t
        if self.leave_out:
            pairs = self.edge_label_index[:, batch.input_id]
            batch.adj_t = without(self.adj_t, pairs.to(self.adj_t.device))
        return batch

    def __len__(self) -> int:
        sampler: Any = self.batch_sampler
        return sampler.num_batches if self.inner_steps else len(sampler)

    def __iter__(self) -> Any:
        rounds = DataLoaderIterator(super().__iter__(), self.add_graph)
        return self._inner(rounds) if self.inner_steps else rounds

    def _inner(self, rounds: Iterable[Data]) -> Iterator[Data]:
        """Cuts rounds into the micro-batches of their inner steps."""
        pool: list[Tables] = []
        for batch in rounds:
            state, num = Round(batch.adj_t, pool), len(batch.pair_ptr) - 1
            for i, part in enumerate(micro_batches(batch), start=1):
                part.round, part.is_last = state, i == num
                yield part
