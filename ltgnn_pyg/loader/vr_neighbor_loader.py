import copy
import warnings
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.loader import LinkLoader
from torch_geometric.sampler import BaseSampler, NegativeSampling, SamplerOutput
from torch_geometric.typing import WITH_PYG_LIB
from torch_geometric.utils import scatter

from ltgnn_pyg.adjacency import normalized_adj
from ltgnn_pyg.history import History
from ltgnn_pyg.loader.pair_batch_sampler import PairBatchSampler
from ltgnn_pyg.sampler import (
    ItemNegativeSampling,
    LinkSampler,
    StratifiedNeighborSampler,
)


class VRNeighborLoader(LinkLoader):
    r"""A link loader that samples neighbours and keeps the sampling honest with a
    control variate, from `"Linear-Time Graph Neural Networks for Scalable
    Recommendations" <https://arxiv.org/abs/2402.13973>`_.

    For each distinct node :math:`r` of a batch of user-item pairs and their
    negatives, the *seeds*, it draws neighbours :math:`S(r)` and pulls from the
    history the unbiased estimate

    .. math::
        \mathbf{a}_r = M_r + \sum_{j \in S(r)} c_{rj} \hat{A}_{rj}
        (Z_{hist} - Z_{ref})_j
        \quad \text{of} \quad (\hat{A} Z_{hist})_r

    with :math:`M = \hat{A} Z_{ref}` and :math:`c_{rj}` the inverse inclusion
    probability. Rows are pulled in the main process when a batch is handed out,
    so no worker can serve a stale one.

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
    * :obj:`aggregate` :obj:`[num_seeds, dim]`: :math:`\mathbf{a}_r`, if there is a
      history; :obj:`grad_aggregate` likewise, if the history keeps gradients:
      :math:`\sum_j c_{rj} \hat{A}_{rj} V_{hist,j}`, where each term is weighed by
      the visits of :math:`j` over those of :math:`r` if it counts visits;
    * :obj:`input_id`: which pairs of :obj:`edge_label_index` the batch holds;
    * what else lies on :obj:`data`, filtered as PyG does.

    Args:
        data (torch_geometric.data.Data): The graph. A sparse CSR
            :obj:`data.adj_t` is taken as the normalised adjacency as it is;
            otherwise :obj:`data.edge_index` (and :obj:`data.edge_weight`) is
            normalised here. :obj:`data.num_users` tells users and items apart.
        history (History, optional): The history of the model to train;
            :obj:`None` samples only. (default: :obj:`None`)
        num_neighbors (int, optional): The most neighbours of a seed; :obj:`-1`
            takes all. (default: :obj:`15`)
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
            :class:`~ltgnn_pyg.StratifiedNeighborSampler`. (default: :obj:`None`)
        add_self_loops (bool, optional): Propagates over :math:`A + I`, as the
            model must too. (default: :obj:`False`)
        shuffle (bool, optional): Draws the order of the pairs anew each epoch.
            (default: :obj:`True`)
        user_balanced (bool, optional): Draws users first, then one of their pairs.
            (default: :obj:`False`)
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
            users to items, or history and graph differ in size.

    *Cost:* O(batch_size x num_neighbors x dim) time a batch, whatever the size
    of the graph.
    """

    def __init__(
        self,
        data: Data,
        history: History | None = None,
        num_neighbors: int = 15,
        edge_label_index: Tensor | None = None,
        batch_size: int = 1024,
        neg_sampling: NegativeSampling | str | dict[str, Any] | None = None,
        sampler: BaseSampler | None = None,
        *,
        add_self_loops: bool = False,
        shuffle: bool = True,
        user_balanced: bool = False,
        drop_last: bool = False,
        transform: Callable[[Data], Data] | None = None,
        generator: torch.Generator | None = None,
        **kwargs: Any,
    ) -> None:
        num_nodes, num_users = data.num_nodes, data.get("num_users")
        if num_users is None or num_nodes is None or not 0 < num_users < num_nodes:
            raise ValueError(
                f"Expected 'data.num_users' between 0 and 'data.num_nodes' (got "
                f"{num_users} of {num_nodes}); set both"
            )
        if history is not None and history.num_nodes != num_nodes:
            raise ValueError(
                f"Expected a history of the graph's {num_nodes} nodes (got "
                f"{history.num_nodes}); call 'history.resize({num_nodes})'"
            )
        if edge_label_index is None:
            edge_label_index = data.edge_index[:, data.edge_index[0] < num_users]
        _check_pairs(edge_label_index, num_users, num_nodes)
        if sampler is None:
            adj_t = data.get("adj_t")
            if adj_t is None:
                adj_t = normalized_adj(
                    data.edge_index, data.get("edge_weight"), num_nodes, add_self_loops
                )
            sampler = StratifiedNeighborSampler(adj_t, num_neighbors, generator)
        else:
            if add_self_loops:
                raise ValueError(
                    "Expected self-loops in 'data.edge_index' for a 'sampler' of "
                    "your own (got 'add_self_loops=True'); add them there"
                )
            if not WITH_PYG_LIB and getattr(sampler, "replace", None) is False:
                warnings.warn(
                    "Without replacement torch-sparse draws the last neighbours of "
                    "a node less often than the others, which biases the estimate; "
                    "pass 'replace=True' to the sampler or install pyg-lib",
                    stacklevel=2,
                )
            self._degree = scatter(  # Of all edges, and of their weights.
                torch.stack([e := _weight(data), torch.ones_like(e)]),
                data.edge_index[1],
                dim=1,
                dim_size=num_nodes,
            )
            sampler = LinkSampler(sampler, num_nodes)
        data = copy.copy(data)
        data.pop("adj_t", None)
        self.history = history
        self.batch_transform = transform
        super().__init__(
            data,
            sampler,
            edge_label_index=edge_label_index,
            neg_sampling=_items_only(
                neg_sampling, num_users, num_nodes - num_users, generator
            ),
            filter_per_worker=False,  # Workers would serve stale rows.
            batch_sampler=PairBatchSampler(
                edge_label_index[0],
                batch_size,
                shuffle,
                user_balanced,
                drop_last,
                generator,
            ),
            generator=generator,
            **kwargs,
        )

    def filter_fn(self, out: SamplerOutput) -> Data:
        """Makes a batch of a sampler output: pulls the rows of its seeds."""
        batch = super().filter_fn(out)
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
        if self.history is not None:
            self._pull(batch, seed, neighbor, weight, ptr)
        return batch if self.batch_transform is None else self.batch_transform(batch)

    def _pull(
        self, batch: Data, seed: Tensor, neighbor: Tensor, weight: Tensor, ptr: Tensor
    ) -> None:
        history = self.history
        assert history is not None
        pull = history.pull
        batch.aggregate = pull("aggregate", seed)
        batch.aggregate += pull("difference", neighbor, weight, ptr)
        if "gradient" in history:
            if "visits" in history:
                visits = pull("visits", seed).view(-1).clamp_(min=1.0)
                weight = weight / visits.repeat_interleave(ptr.diff())
                weight = weight * pull("visits", neighbor).view(-1)
            batch.grad_aggregate = pull("gradient", neighbor, weight, ptr)

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
        weight = _weight(batch)[perm]
        strength, degree = self._degree
        inv_sqrt = strength.pow(-0.5)
        count = torch.bincount(col, minlength=num_seeds)
        scale = inv_sqrt[seed] * degree[seed] / count.clamp(min=1)
        ptr = torch.cat([count.new_zeros(1), count.cumsum(0)])
        return neighbor, weight * inv_sqrt[neighbor] * scale[col], ptr


def _weight(data: Data) -> Tensor:
    weight = data.get("edge_weight")
    if weight is None:
        num_edges, device = data.edge_index.size(1), data.edge_index.device
        weight = torch.ones(num_edges, device=device)
    return weight


def _check_pairs(edge_label_index: Tensor, num_users: int, num_nodes: int) -> None:
    if edge_label_index.dim() != 2 or edge_label_index.size(0) != 2:
        raise ValueError(
            f"Expected 'edge_label_index' of shape [2, num_pairs] (got "
            f"{list(edge_label_index.size())})"
        )
    if edge_label_index.numel() == 0:
        raise ValueError("Expected at least one training pair (got none)")
    (u_min, i_min), (u_max, i_max) = (
        edge_label_index.amin(1).tolist(),
        edge_label_index.amax(1).tolist(),
    )
    if u_min < 0 or u_max >= num_users or i_min < num_users or i_max >= num_nodes:
        raise ValueError(
            f"Expected pairs of users [0, {num_users}) and items [{num_users}, "
            f"{num_nodes}) (got [{u_min}, {u_max}] and [{i_min}, {i_max}]); add the "
            "number of users to item ids"
        )


def _items_only(
    neg_sampling: NegativeSampling | str | dict[str, Any] | None,
    num_users: int,
    num_items: int,
    generator: torch.Generator | None,
) -> ItemNegativeSampling | None:
    """Turns PyG's triplet sampling into one that draws items only."""
    if neg_sampling is None:
        return None
    given = cast(NegativeSampling, NegativeSampling.cast(neg_sampling))
    if isinstance(given, ItemNegativeSampling):
        out = given
    else:
        if not given.is_triplet() or given.dst_weight is not None:
            raise ValueError(
                "Expected 'neg_sampling' to be an 'ItemNegativeSampling' or an "
                f"unweighted 'triplet' NegativeSampling (got {neg_sampling}); use "
                "'ItemNegativeSampling(..., power=...)' for weights"
            )
        out = ItemNegativeSampling(num_users, num_items, int(given.amount))
    if out.generator is None:
        out.generator = generator
    return out
