import copy
import warnings
from collections.abc import Callable, Iterator
from typing import Any, cast

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.loader import LinkLoader
from torch_geometric.sampler import BaseSampler, NegativeSampling, SamplerOutput
from torch_geometric.typing import WITH_PYG_LIB

from ltgnn_pyg.adjacency import inv_sqrt_degree, normalized_adj, to_coo
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
    * :obj:`log_q` :obj:`[num_seeds]`: the logarithm of the probability with which
      the node is drawn as a negative, unless that is the same for all items;
    * :obj:`teacher` :obj:`[num_seeds, any_dim]`: the rows of :obj:`data.teacher`, one
      for each node, if there are any; see :class:`~ltgnn_pyg.nn.loss.SoftmaxLoss`;
    * :obj:`round_edge_index` :obj:`[2, num_round_pairs]`, only on the first batch of a
      round and only for a history without a control variate: all pairs of the
      round, node ids, users first;
    * :obj:`input_id`: which pairs of :obj:`edge_label_index` the batch holds;
    * what else lies on :obj:`data`, filtered as PyG does.

    Args:
        data (torch_geometric.data.Data): The graph, both directions of each
            interaction: :obj:`data.edge_index` (and :obj:`data.edge_weight`), or
            else :obj:`data.adj_t`. It is normalised here, once;
            :obj:`loader.adj_t` is the matrix to refresh the model with.
            :obj:`data.num_users` tells users and items apart.
        history (History, optional): The history of the model to train;
            :obj:`None` samples only. (default: :obj:`None`)
        num_neighbors (int, optional): The most neighbours of a seed; :obj:`-1`
            takes all. None are drawn for a history without a control variate.
            (default: :obj:`15`)
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
        add_self_loops (bool, optional): Propagates over :math:`A + I`, as the
            model must too. (default: :obj:`False`)
        rounds (int, optional): In how many rounds an epoch comes, for a history
            without a control variate. (default: :obj:`80`)
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
            users to items, a direction of the graph is missing, or history,
            negatives, teacher and graph differ in size.

    *Cost:* O(batch_size x num_neighbors x dim) time a batch, whatever the size
    of the graph; O(batch_size) for a history without a control variate.
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
        rounds: int = 80,
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
        if kwargs.get("persistent_workers"):
            raise ValueError(
                "Expected 'persistent_workers=False' (got True): workers are seeded "
                "anew for each epoch, or a resumed run would differ"
            )
        ours = sampler is None or isinstance(sampler, StratifiedNeighborSampler)
        if edge_label_index is None or not isinstance(
            sampler, StratifiedNeighborSampler
        ):
            graph = "adj_t" if data.get("edge_index") is None else "edge_index"
            edge_index, weight = to_coo(data[graph], data.get("edge_weight"))
            to_item = _user_to_item(edge_index, num_users)
            if edge_label_index is None:
                edge_label_index = edge_index[:, to_item]
        _check_pairs(edge_label_index, num_users, num_nodes)
        if isinstance(sampler, StratifiedNeighborSampler):
            self.adj_t = sampler.adj_t
        else:
            self.adj_t = normalized_adj(edge_index, weight, num_nodes, add_self_loops)
        if rounds < 1:
            raise ValueError(f"Expected a positive 'rounds' (got {rounds})")
        self.rounds = 0
        if history is not None and "difference" not in history:
            num_neighbors, self.rounds = 0, rounds  # There is nothing to sample.
        if sampler is None:
            sampler = StratifiedNeighborSampler(self.adj_t, num_neighbors, generator)
        if not ours:
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
            self._inv_sqrt = inv_sqrt_degree(edge_index[1], weight, num_nodes)
            sampler = LinkSampler(sampler, num_nodes)
        data = copy.copy(data)
        data.num_nodes = num_nodes
        data.pop("adj_t", None)
        self._teacher = data.pop("teacher", None)
        if self._teacher is not None:
            if self._teacher.size(0) != num_nodes:
                raise ValueError(
                    f"Expected 'data.teacher' with a row for each of {num_nodes} nodes "
                    f"(got {list(self._teacher.size())})"
                )
            self._teacher = self._teacher.to(self.adj_t.device)
        if ours:  # The matrix holds all of it.
            data.pop("edge_index", None)
            data.pop("edge_weight", None)
        else:
            data.edge_index = edge_index
        self.history = history
        self.batch_transform = transform
        negatives = _items_only(
            neg_sampling, num_users, num_nodes - num_users, generator, self.adj_t
        )
        self._log_q = _log_q(negatives, edge_label_index, num_nodes, user_balanced)
        if self._log_q is not None:
            self._log_q = self._log_q.to(self.adj_t.device)
        super().__init__(
            data,
            sampler,
            edge_label_index=edge_label_index,
            neg_sampling=negatives,
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
        # PyG has copied the pairs; these are views of the caller's.
        self.input_data.row, self.input_data.col = edge_label_index.cpu()

    def _get_iterator(self) -> Any:
        """The batches of an epoch, numbered if they come in rounds."""
        iterator = super()._get_iterator()
        if self.rounds > 0:
            starts = self._round_starts()
            iterator.transform_fn = lambda out: self.filter_fn(out, next(starts))
        return iterator

    def _round_starts(self) -> Iterator[Tensor | None]:
        """For each batch of an epoch that starts a round, the pairs of the round."""
        sampler, num_batches = cast(PairBatchSampler, self.batch_sampler), len(self)
        rounds, size, order = min(self.rounds, num_batches), sampler.batch_size, None
        for number in range(num_batches):
            order = sampler.order if order is None else order
            part = number * rounds // num_batches  # The round this batch is of.
            first, end = (-(-r * num_batches // rounds) for r in (part, part + 1))
            if number == first:
                pair = order[first * size : end * size]
                row, col = self.input_data.row[pair], self.input_data.col[pair]
                yield torch.stack([row, col])
            else:
                yield None

    def filter_fn(
        self, out: SamplerOutput, round_edge_index: Tensor | None = None
    ) -> Data:
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
        if round_edge_index is not None:
            batch.round_edge_index = round_edge_index.to(seed)
        if self._log_q is not None:
            batch.log_q = self._log_q[seed]
        if self._teacher is not None:
            batch.teacher = self._teacher[seed]
        if self.history is not None and "difference" in self.history:
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
        weight = batch.get("edge_weight")
        weight = 1.0 if weight is None else weight[perm]
        count = torch.bincount(col, minlength=num_seeds)
        rowptr = self.adj_t.crow_indices()
        degree = rowptr[seed + 1] - rowptr[seed]
        scale = self._inv_sqrt[seed] * degree / count.clamp(min=1)
        ptr = torch.cat([count.new_zeros(1), count.cumsum(0)])
        return neighbor, self._inv_sqrt[neighbor] * weight * scale[col], ptr


def _user_to_item(edge_index: Tensor, num_users: int) -> Tensor:
    """Masks the edges from users to items, which all must have their way back."""
    to_item = (edge_index[0] < num_users) & (edge_index[1] >= num_users)
    to_user = (edge_index[0] >= num_users) & (edge_index[1] < num_users)
    if (there := int(to_item.sum())) != (back := int(to_user.sum())):
        raise ValueError(
            f"Expected both directions of each interaction in the graph (got {there} "
            f"edges from users to items and {back} back); append 'edge_index.flip(0)'"
        )
    return to_item


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


def _log_q(
    negatives: ItemNegativeSampling | None,
    pairs: Tensor,
    num_nodes: int,
    user_balanced: bool,
) -> Tensor | None:
    """How likely each item is drawn as a negative; None if all are alike."""
    if negatives is not None:
        q = negatives.q
        if q is None:
            return None
        q = torch.cat([q.new_ones(negatives.num_users), q])
    elif user_balanced:  # The items of the batch: of a user first, then of a pair.
        degree = torch.bincount(pairs[0])
        weight = degree[pairs[0]].double().reciprocal() / (degree > 0).sum()
        q = torch.bincount(pairs[1], weight, minlength=num_nodes)
    else:
        q = torch.bincount(pairs[1], minlength=num_nodes) / pairs.size(1)
    return q.float().clamp(min=torch.finfo(torch.float32).tiny).log()


def _items_only(
    neg_sampling: NegativeSampling | str | dict[str, Any] | None,
    num_users: int,
    num_items: int,
    generator: torch.Generator | None,
    adj_t: Tensor,
) -> ItemNegativeSampling | None:
    """Turns PyG's triplet sampling into one that draws items only."""
    if neg_sampling is None:
        return None
    given = cast(NegativeSampling, NegativeSampling.cast(neg_sampling))
    if isinstance(given, ItemNegativeSampling):
        if (given.num_users, given.num_items) != (num_users, num_items):
            raise ValueError(
                f"Expected negatives among {num_users} users and {num_items} items "
                f"(got an 'ItemNegativeSampling' of {given.num_users} and "
                f"{given.num_items})"
            )
        out = copy.copy(given)
    elif given.is_triplet() and given.dst_weight is None:
        out = ItemNegativeSampling(num_users, num_items, int(given.amount))
    else:
        raise ValueError(
            "Expected 'neg_sampling' to be an 'ItemNegativeSampling' or an "
            f"unweighted 'triplet' NegativeSampling (got {given}); use "
            "'ItemNegativeSampling(..., power=...)' for weights"
        )
    if out.generator is None:
        out.generator = generator
    return out.to(adj_t.device)
