import copy
import warnings
from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.loader import LinkLoader
from torch_geometric.sampler import BaseSampler, NegativeSampling, SamplerOutput
from torch_geometric.typing import WITH_PYG_LIB

from ltgnn_pyg.graph.adjacency import inv_sqrt_degree
from ltgnn_pyg.inputs.history import History
from ltgnn_pyg.loader.pair_batch_sampler import PairBatchSampler
from ltgnn_pyg.loader.pairs import (
    check_symmetric,
    check_workers,
    items_only,
    log_q,
    normalize,
    read_graph,
    read_size,
    training_pairs,
)
from ltgnn_pyg.sampler import LinkSampler, StratifiedNeighborSampler


class HasHistory(Protocol):
    """What the loader asks of a model."""

    history: History

    def refresh(self, adj_t: Tensor) -> None:
        """Fills the history, or renews its snapshot, over a normalised graph."""


class VRNeighborLoader(LinkLoader):
    r"""A link loader that samples neighbours and keeps the sampling honest with a
    control variate, from `"Linear-Time Graph Neural Networks for Scalable
    Recommendations" <https://arxiv.org/abs/2402.13973>`_.

    For each distinct node :math:`r` of a batch of user-item pairs and their
    negatives, the *seeds*, it draws neighbours :math:`S(r)` and pulls from the
    history of the model the unbiased estimate

    .. math::
        \mathbf{a}_r = M_r + \sum_{j \in S(r)} c_{rj} \hat{A}_{rj}
        (Z_{hist} - Z_{ref})_j
        \quad \text{of} \quad (\hat{A} Z_{hist})_r

    with :math:`M = \hat{A} Z_{ref}` and :math:`c_{rj}` the inverse inclusion
    probability. The snapshot :math:`Z_{ref}` is renewed when an epoch starts. Rows
    are pulled in the main process when a batch is handed out, so no worker can serve a
    stale one.

    A batch is a :class:`~torch_geometric.data.Data` in PyG's form, which any
    PyG training step can consume:

    * :obj:`n_id`: node ids, the seeds first, then their neighbours;
    * :obj:`num_seeds`: how many of them are seeds;
    * :obj:`src_index`, :obj:`dst_pos_index` :obj:`[batch_size]` and
      :obj:`dst_neg_index` (:obj:`[batch_size]`, :obj:`[batch_size, amount]`,
      :obj:`[1, amount]` if shared, absent without negatives): positions in
      :obj:`n_id`;
    * :obj:`edge_index`, :obj:`edge_weight`: the sampled edges in positions of
      :obj:`n_id`, neighbour to seed, and :math:`c_{rj} \hat{A}_{rj}`; at most
      :obj:`num_neighbors x num_seeds`;
    * :obj:`aggregate` :obj:`[num_seeds, dim]`: :math:`\mathbf{a}_r`;
    * :obj:`history_id`: tells the history the rows are of;
    * :obj:`log_q` :obj:`[num_seeds]`, only if negatives are not drawn uniformly: the
      logarithm of the probability of each node;
    * :obj:`input_id`: which pairs of :obj:`edge_label_index` the batch holds;
    * what else lies on :obj:`data`, filtered as PyG does.

    Args:
        data (torch_geometric.data.Data): The graph, both directions of each
            interaction: :obj:`data.edge_index` (and :obj:`data.edge_weight`), or
            else :obj:`data.adj_t`. It is normalised here, once;
            :obj:`loader.adj_t` is the whole matrix. :obj:`data.num_users` tells users
            and items apart.
        model (torch.nn.Module): The model to train, such as
            :class:`~ltgnn_pyg.LTGNN`, of the fixed point that is trained so
            (:obj:`K=None`): its :obj:`history` is pulled from, and its
            :obj:`refresh(adj_t)` called when an epoch starts.
        num_neighbors (int, optional): The most neighbours of a seed; :obj:`-1`
            takes all. With the control variate five learn what fifteen do, faster.
            (default: :obj:`5`)
        edge_label_index (torch.Tensor, optional): The training pairs
            :obj:`[2, num_pairs]`, users first. If :obj:`None`, the edges of
            :obj:`data` that lead from users to items. (default: :obj:`None`)
        batch_size (int, optional): Pairs in a batch. (default: :obj:`1024`)
        neg_sampling (NegativeSampling or str or dict, optional): An
            :class:`~ltgnn_pyg.ItemNegativeSampling`, or a triplet
            :class:`~torch_geometric.sampler.NegativeSampling` (or
            :obj:`"triplet"`), which is made to draw items only. :obj:`None` draws
            no negatives, for losses that take them from the batch.
            (default: :obj:`None`)
        sampler (BaseSampler, optional): Any one-hop
            :class:`~torch_geometric.sampler.BaseSampler` over the same graph that
            draws uniformly. PyG's :obj:`NeighborSampler` on torch-sparse 0.6.18
            does so with :obj:`replace=True` only. If :obj:`None`, a
            :class:`~ltgnn_pyg.StratifiedNeighborSampler`; one of your own lends
            the loader its matrix, and :obj:`data` needs no edges.
            (default: :obj:`None`)
        shuffle (bool, optional): Draws the order of the pairs anew each epoch.
            (default: :obj:`True`)
        drop_last (bool, optional): Drops the last batch if it is smaller.
            (default: :obj:`False`)
        transform (callable, optional): Applied to each batch last.
            (default: :obj:`None`)
        generator (torch.Generator, optional): Draws pairs, negatives and
            neighbours, all from one state (of each worker's own generator, seeded
            from it, with workers). If :obj:`None`, torch's global generator does.
            (default: :obj:`None`)
        **kwargs (optional): Further arguments of
            :class:`torch.utils.data.DataLoader`, such as :obj:`num_workers`.

    Raises:
        ValueError: If :obj:`num_users` is missing, the pairs do not lead from
            users to items, the graph is not symmetric, or history, negatives and
            graph differ in size.

    *Cost:* O(batch_size x num_neighbors x dim) time a batch, whatever the size
    of the graph, and O(E x dim) when an epoch starts.
    """

    def __init__(
        self,
        data: Data,
        model: HasHistory,
        num_neighbors: int = 5,
        edge_label_index: Tensor | None = None,
        batch_size: int = 1024,
        neg_sampling: NegativeSampling | str | dict[str, Any] | None = None,
        sampler: BaseSampler | None = None,
        *,
        shuffle: bool = True,
        drop_last: bool = False,
        transform: Callable[[Data], Data] | None = None,
        generator: torch.Generator | None = None,
        **kwargs: Any,
    ) -> None:
        check_workers(kwargs)
        num_users, num_nodes = read_size(data)
        if not isinstance(getattr(model, "history", None), History):
            raise ValueError(
                f"Expected a model with a 'history' (got {type(model).__name__}); "
                "train it by rounds, with a 'PairLoader'"
            )
        if model.history.num_nodes != num_nodes:
            raise ValueError(
                f"Expected a history of the graph's {num_nodes} nodes (got "
                f"{model.history.num_nodes}); call 'history.resize({num_nodes})'"
            )
        ours = sampler is None or isinstance(sampler, StratifiedNeighborSampler)
        edge_index = weight = None
        if edge_label_index is None or not isinstance(
            sampler, StratifiedNeighborSampler
        ):
            edge_index, weight = read_graph(data)
        edge_label_index = training_pairs(
            edge_label_index, edge_index, num_users, num_nodes
        )
        if edge_index is None or isinstance(sampler, StratifiedNeighborSampler):
            assert isinstance(sampler, StratifiedNeighborSampler)
            self.adj_t = sampler.adj_t
            check_symmetric(self.adj_t)
        else:
            self.adj_t = normalize(edge_index, weight, num_nodes)
        if sampler is None:
            sampler = StratifiedNeighborSampler(self.adj_t, num_neighbors, generator)
        data = copy.copy(data)
        data.num_nodes = num_nodes
        data.pop("adj_t", None)
        if ours:  # The matrix holds all of it.
            data.pop("edge_index", None)
            data.pop("edge_weight", None)
        else:
            assert edge_index is not None
            if not WITH_PYG_LIB and getattr(sampler, "replace", None) is False:
                warnings.warn(
                    "Without replacement torch-sparse draws the last neighbours of "
                    "a node less often than the others, which biases the estimate; "
                    "pass 'replace=True' to the sampler or install pyg-lib",
                    stacklevel=2,
                )
            data.edge_index = edge_index
            self._inv_sqrt = inv_sqrt_degree(edge_index[1], weight, num_nodes)
            sampler = LinkSampler(sampler, num_nodes)
        self.model = model
        self.batch_transform = transform
        negatives = items_only(
            neg_sampling, num_users, num_nodes - num_users, generator, self.adj_t.device
        )
        self._log_q = log_q(negatives, num_users)
        super().__init__(
            data,
            sampler,
            edge_label_index=edge_label_index,
            neg_sampling=negatives,
            filter_per_worker=False,  # Workers would serve stale rows.
            batch_sampler=PairBatchSampler(
                edge_label_index.size(1),
                batch_size,
                shuffle=shuffle,
                drop_last=drop_last,
                generator=generator,
            ),
            generator=generator,
            **kwargs,
        )
        # PyG has copied the pairs; these are views of the caller's.
        self.input_data.row, self.input_data.col = edge_label_index.cpu()

    def __iter__(self) -> Any:
        self.model.refresh(self.adj_t)
        return super().__iter__()

    def filter_fn(self, out: SamplerOutput) -> Data:
        """Makes a batch of a sampler output: pulls the rows of its seeds."""
        batch = super().filter_fn(out)
        batch.edge_index = torch.stack([out.row, out.col])
        if self.neg_sampling is None:
            batch.src_index, batch.dst_pos_index = batch.edge_label_index
            del batch.edge_label_index, batch.edge_label, batch.edge_label_time
        batch.num_seeds = num_seeds = batch.num_sampled_nodes[0]
        seed = batch.n_id[:num_seeds]
        if isinstance(self.link_sampler, StratifiedNeighborSampler):
            neighbor, weight, ptr = batch.n_id[num_seeds:], out.edge_weight, out.ptr
        else:
            neighbor, weight, ptr = self._weigh(batch, seed)
        batch.edge_weight = weight
        if self._log_q is not None:
            batch.log_q = self._log_q[seed]
        pull = self.model.history.pull
        batch.aggregate = pull("aggregate", seed)
        batch.aggregate += pull("difference", neighbor, weight, ptr)
        batch.history_id = id(self.model.history)
        return batch if self.batch_transform is None else self.batch_transform(batch)

    def _weigh(self, batch: Data, seed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Weighs the edges of a foreign sampler, c = degree / number drawn."""
        row, col = batch.edge_index
        if col.numel() and int(col.max()) >= seed.numel():
            raise ValueError(
                "Expected a one-hop 'sampler' (got edges between neighbours); the "
                "histories stand for all further hops"
            )
        col, perm = col.sort(stable=True)
        row = row[perm]
        batch.edge_index = torch.stack([row, col])
        neighbor, num_seeds = batch.n_id[row], seed.numel()
        weight = batch.get("edge_weight")
        weight = 1.0 if weight is None else weight[perm]
        count = torch.bincount(col, minlength=num_seeds)
        rowptr = self.adj_t.crow_indices()
        degree = rowptr[seed + 1] - rowptr[seed]
        scale = self._inv_sqrt[seed] * degree / count.clamp(min=1)
        ptr = torch.cat([count.new_zeros(1), count.cumsum(0)])
        return neighbor, self._inv_sqrt[neighbor] * weight * scale[col], ptr
