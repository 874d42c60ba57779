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

from ltgnn_pyg.batch import HistoryRows
from ltgnn_pyg.graph import Graph
from ltgnn_pyg.graph.csr_operator import inv_sqrt
from ltgnn_pyg.graph.from_pyg import coo_of
from ltgnn_pyg.inputs import History
from ltgnn_pyg.loader.pair_batch_sampler import PairBatchSampler
from ltgnn_pyg.loader.pairs import (
    as_graph,
    check_matrix,
    check_workers,
    items_only,
    log_q,
    pair_weights,
    training_pairs,
)
from ltgnn_pyg.sampler import LinkSampler, StratifiedNeighborSampler


class HasHistory(Protocol):
    """The part of a model that the loader asks for."""

    history: History

    def refresh(self, graph: Graph) -> None:
        """Fills the history, or renews its snapshot, over a graph."""


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

    A batch is a :class:`~ltgnn_pyg.batch.HistoryRows`, in PyG's form, which any PyG
    training step can consume; what else lies on :obj:`data` is there, filtered as PyG
    does.

    Args:
        data (Graph or torch_geometric.data.Data): The graph, which is normalised once;
            of PyG's data see :meth:`~ltgnn_pyg.graph.Graph.from_data`.
        model (torch.nn.Module): The model to train, such as
            :class:`~ltgnn_pyg.LTGNN`, of the fixed point that is trained so
            (:obj:`K=None`): its :obj:`history` is pulled from, and its
            :obj:`refresh(graph)` called when an epoch starts.
        num_neighbors (int, optional): The most neighbours of a seed; :obj:`-1`
            takes all. With the control variate five learn what fifteen do, faster.
            (default: :obj:`5`)
        edge_label_index (torch.Tensor, optional): The training pairs
            :obj:`[2, num_pairs]`, users first. If :obj:`None`, the edges that are
            recommended. (default: :obj:`None`)
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
            :class:`~ltgnn_pyg.StratifiedNeighborSampler`. (default: :obj:`None`)
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
        data: Data | Graph,
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
        graph = self.graph = as_graph(data)
        if not isinstance(getattr(model, "history", None), History):
            raise ValueError(
                f"Expected a model with a 'history' (got {type(model).__name__}); "
                "train it by rounds, with a 'PairLoader'"
            )
        if model.history.num_nodes != graph.num_nodes:
            raise ValueError(
                f"Expected a history of the graph's {graph.num_nodes} nodes (got "
                f"{model.history.num_nodes}); append others by 'model.append(graph)'"
            )
        self._pair_weight = pair_weights(edge_label_index, None, graph)
        edge_label_index = training_pairs(edge_label_index, graph)
        if sampler is None:
            sampler = StratifiedNeighborSampler(graph.matrix, num_neighbors, generator)
        elif isinstance(sampler, StratifiedNeighborSampler):
            check_matrix(sampler.operator, graph)
        given = data
        data = Data() if isinstance(data, Graph) else copy.copy(data)
        data.num_nodes = graph.num_nodes
        for name in ("adj_t", "edge_index", "edge_weight"):  # The graph holds them.
            data.pop(name, None)
        if not isinstance(sampler, StratifiedNeighborSampler):
            if not WITH_PYG_LIB and getattr(sampler, "replace", None) is False:
                warnings.warn(
                    "Without replacement torch-sparse draws the last neighbours of "
                    "a node less often than the others, which biases the estimate; "
                    "pass 'replace=True' to the sampler or install pyg-lib",
                    stacklevel=2,
                )
            # In the order that it samples from.
            coo = given.coo() if isinstance(given, Graph) else coo_of(given)
            data.edge_index, weight = coo
            if weight is not None:
                data.edge_weight = weight
            self._inv_sqrt = inv_sqrt(graph.matrix.degree)
            sampler = LinkSampler(sampler, graph.num_nodes)
        self.model = model
        self.batch_transform = transform
        negatives = items_only(neg_sampling, graph, generator, graph.device)
        self._log_q = log_q(negatives, graph)
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
        self.model.refresh(self.graph)
        return super().__iter__()

    def filter_fn(self, out: SamplerOutput) -> HistoryRows:
        """Makes a batch of a sampler output: pulls the rows of its seeds."""
        batch = HistoryRows.from_dict(super().filter_fn(out).to_dict())
        batch.edge_index = torch.stack([out.row, out.col])
        if self.neg_sampling is None:
            batch.src_index, batch.dst_pos_index = batch.edge_label_index
            del batch.edge_label_index, batch.edge_label, batch.edge_label_time
        batch.num_seeds = num_seeds = batch.num_sampled_nodes[0]
        seed = batch.seeds
        if isinstance(self.link_sampler, StratifiedNeighborSampler):
            neighbor, weight, ptr = batch.n_id[num_seeds:], out.edge_weight, out.ptr
        else:
            neighbor, weight, ptr = self._weigh(batch, seed)
        batch.edge_weight = weight
        if self._log_q is not None:
            batch.log_q = self._log_q[seed]
        if self._pair_weight is not None:
            batch.weight = self._pair_weight[batch.input_id]
        pull = self.model.history.pull
        batch.aggregate = pull("aggregate", seed)
        batch.aggregate += pull("difference", neighbor, weight, ptr)
        batch.history = self.model.history
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
        rowptr = self.graph.matrix.rowptr
        degree = rowptr[seed + 1] - rowptr[seed]
        scale = self._inv_sqrt[seed] * degree / count.clamp(min=1)
        ptr = torch.cat([count.new_zeros(1), count.cumsum(0)])
        return neighbor, self._inv_sqrt[neighbor] * weight * scale[col], ptr
