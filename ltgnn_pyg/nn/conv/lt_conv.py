from typing import Any

import torch
from torch import Tensor
from torch_geometric import EdgeIndex
from torch_geometric.nn.conv import MessagePassing
from torch_geometric.nn.conv.gcn_conv import gcn_norm
from torch_geometric.typing import Adj, OptTensor, SparseTensor
from torch_geometric.utils import is_torch_sparse_tensor, spmm

from ltgnn_pyg.graph import CSROperator, propagate
from ltgnn_pyg.graph.normalize import inv_sqrt_degree, to_coo
from ltgnn_pyg.nn.conv.exact_steps import exact_steps


class LTConv(MessagePassing):
    r"""The linear-time propagation layer of `"Linear-Time Graph Neural Networks
    for Scalable Recommendations" <https://arxiv.org/abs/2402.13973>`_ (WWW 2024).

    It takes :math:`K` exact steps from :math:`Z^{(0)} = X`,

    .. math::
        Z^{(k)} = (1 - \alpha) \hat{A} Z^{(k-1)} + \alpha X, \qquad
        \hat{A} = D^{-1/2} A D^{-1/2},

    towards the fixed point of personalised propagation. It is a drop-in for
    :class:`~torch_geometric.nn.conv.APPNP` and, with :obj:`alpha=0, K=1`, for
    :class:`~torch_geometric.nn.conv.LGConv`. Beside it,
    :func:`~ltgnn_pyg.nn.conv.solve` goes on to the fixed point itself and
    :func:`~ltgnn_pyg.nn.conv.history_step` takes one step from a history.

    Args:
        alpha (float, optional): Teleport probability in :math:`[0, 1]`: the weight
            of :math:`X`. (default: :obj:`0.2`)
        K (int, optional): The number of steps. (default: :obj:`1`)
        add_self_loops (bool, optional): Propagates over :math:`A + I`.
            (default: :obj:`False`)
        normalize (bool, optional): Applies the symmetric normalisation; otherwise
            the weights are used as they are. (default: :obj:`True`)
        cached (bool, optional): Normalises on the first call only. For one graph
            that never changes. (default: :obj:`False`)
        **kwargs (optional): Further arguments of
            :class:`~torch_geometric.nn.conv.MessagePassing`.

    Shapes:
        - **input:** node features :math:`(|V|, F)` or
          :math:`((|V_s|, F), (|V_t|, F))` for a bipartite graph; edge indices
          :math:`(2, |E|)` (a tensor, :class:`~torch_geometric.EdgeIndex`,
          :obj:`torch.sparse` or :obj:`torch_sparse` matrix with the targets as
          rows; a :class:`~ltgnn_pyg.graph.CSROperator` is taken as it is, normalised
          or not); edge weights :math:`(|E|)` *(optional)*
        - **output:** :math:`(|V|, F)` or :math:`(|V_t|, F)`

    Raises:
        ValueError: If :obj:`alpha` or :obj:`K` is out of range.

    *Cost:* O(K x E x F) time. A sparse matrix and an
    :class:`~torch_geometric.EdgeIndex` sorted by column take the fused path,
    :func:`~ltgnn_pyg.graph.propagate`, with O(N x F) memory; a plain
    :obj:`edge_index`, a bipartite graph and weights that need a gradient gather
    their messages, O(E x F) memory. For one graph, training is the fastest with
    an operator, of :func:`~ltgnn_pyg.normalized_adj` or a graph, or with
    :obj:`cached=True`.
    """

    def __init__(
        self,
        alpha: float = 0.2,
        K: int = 1,
        *,
        add_self_loops: bool = False,
        normalize: bool = True,
        cached: bool = False,
        **kwargs: Any,
    ) -> None:
        if not 0.0 <= alpha <= 1.0:
            raise ValueError(f"Expected 'alpha' in [0, 1] (got {alpha})")
        if K < 1 or K != int(K):
            raise ValueError(f"Expected 'K' to be a positive integer (got {K})")
        kwargs.setdefault("aggr", "add")
        super().__init__(**kwargs)
        self.alpha = alpha
        self.K = K
        self.add_self_loops = add_self_loops
        self.normalize = normalize
        self.cached = cached
        self._cache: tuple[Adj, OptTensor] | None = None

    def reset_parameters(self) -> None:
        """Forgets the cached normalisation; the layer has no parameters."""
        super().reset_parameters()
        self._cache = None

    def forward(
        self,
        x: Tensor | tuple[Tensor, Tensor],
        edge_index: Adj | CSROperator,
        edge_weight: OptTensor = None,
        *,
        z: OptTensor = None,
    ) -> Tensor:
        r"""Takes :attr:`K` exact steps; ordinary autograd.

        A bipartite pair :obj:`(x_src, x_dst)` takes one step,
        :math:`Z_t = (1 - \alpha) \hat{A} X_s + \alpha X_t`.

        Args:
            x (torch.Tensor or tuple): Node features, or a pair of them.
            edge_index (torch.Tensor or SparseTensor): The graph.
            edge_weight (torch.Tensor, optional): Edge weights :obj:`[num_edges]`.
                The result has the common type of features and weights; a sparse
                matrix takes that of the features. (default: :obj:`None`)
            z (torch.Tensor, optional): Starts from other embeddings than :obj:`x`,
                such as a history. (default: :obj:`None`)

        Raises:
            ValueError: If a bipartite input meets :obj:`K > 1`, self-loops or
                :obj:`z`.
        """
        if isinstance(edge_index, EdgeIndex) and self.flow != "source_to_target":
            edge_index = edge_index.as_tensor()  # PyG would fuse the other way round.
        given = edge_weight
        if isinstance(x, Tensor):
            num_nodes = x.shape[self.node_dim]
            size = (num_nodes, num_nodes)
            edge_index, edge_weight = self._norm(
                edge_index, edge_weight, num_nodes, x.dtype
            )
            if isinstance(edge_index, CSROperator):
                if self.aggr not in ("add", "sum"):
                    edge_index = edge_index.tensor()
                elif z is None:
                    dtype = x.dtype if given is None else given.dtype
                    x = x.to(torch.promote_types(x.dtype, dtype))
                    return exact_steps(x, edge_index, self.alpha, self.K)
            z = x if z is None else z
        else:
            if self.K > 1 or self.add_self_loops or z is not None or x[1] is None:
                raise ValueError(
                    "Expected 'K=1', 'add_self_loops=False', no 'z' and features of "
                    f"both sides for a bipartite graph (got K={self.K}, "
                    f"add_self_loops={self.add_self_loops}): the step leads from "
                    "sources to targets"
                )
            z, x = x
            size = (z.shape[self.node_dim], x.shape[self.node_dim])
            edge_index, edge_weight = to_coo(edge_index, edge_weight)
            if self.normalize:
                edge_weight = self._norm_bipartite(edge_index, edge_weight, size, x)
        dtype = torch.promote_types(x.dtype, z.dtype)
        if given is not None:
            dtype = torch.promote_types(dtype, given.dtype)
        x, z = x.to(dtype), z.to(dtype)
        for _ in range(self.K):
            if isinstance(edge_index, CSROperator):
                a = propagate(edge_index, z)
            else:
                # propagate_type: (x: Tensor, edge_weight: OptTensor)
                a = self.propagate(edge_index, x=z, edge_weight=edge_weight, size=size)
            a = a.to(dtype)
            out = None if torch.is_grad_enabled() else a
            z = torch.lerp(a, x, self.alpha, out=out)
        return z

    def _norm(
        self,
        edge_index: Adj | CSROperator,
        edge_weight: OptTensor,
        num_nodes: int,
        dtype: torch.dtype,
    ) -> tuple[Adj | CSROperator, OptTensor]:
        """The graph, normalised and in the form of its product."""
        if isinstance(edge_index, CSROperator):
            return edge_index, None
        if not self.normalize:
            return self._fused(edge_index, edge_weight, num_nodes)
        if self._cache is not None:
            return self._cache
        if is_torch_sparse_tensor(edge_index) and edge_index.layout == torch.sparse_csc:
            edge_index = edge_index.to_sparse_csr()
        out = gcn_norm(
            edge_index,
            edge_weight,
            num_nodes,
            False,
            self.add_self_loops,
            self.flow,
            torch.promote_types(dtype, torch.float32),
        )
        graph, weight = (out, None) if isinstance(edge_index, SparseTensor) else out
        if isinstance(edge_index, EdgeIndex) and self.add_self_loops:
            # The added loops broke the order, without which there is no fused path.
            graph, perm = EdgeIndex(
                to_coo(graph, None)[0], sparse_size=(num_nodes, num_nodes)
            ).sort_by("col")
            weight = weight if perm is None or weight is None else weight[perm]
        out = self._fused(graph, weight, num_nodes)
        if self.cached:
            self._cache = out
        return out

    def _fused(
        self, edge_index: Adj, edge_weight: OptTensor, num_nodes: int
    ) -> tuple[Adj | CSROperator, OptTensor]:
        """The graph as an operator, where it has that form already."""
        if isinstance(edge_index, EdgeIndex):
            grad = edge_weight is not None and edge_weight.requires_grad
            size = edge_index.get_sparse_size()
            if edge_index.is_sorted_by_col and not grad and max(size) <= num_nodes:
                return _to_csr(edge_index, edge_weight, num_nodes), None
        elif isinstance(edge_index, SparseTensor):
            if not edge_index.requires_grad():
                matrix = edge_index.to_torch_sparse_csr_tensor()
                return CSROperator.from_tensor(matrix), None
        elif is_torch_sparse_tensor(edge_index):
            matrix = edge_index.to_sparse_csr()
            if not matrix.requires_grad:
                return CSROperator.from_tensor(matrix), None
            return matrix, None
        return edge_index, edge_weight

    def _norm_bipartite(
        self,
        edge_index: Tensor,
        edge_weight: OptTensor,
        size: tuple[int, int],
        x: Tensor,
    ) -> Tensor:
        if edge_weight is None:
            edge_weight = x.new_ones(edge_index.size(1))
        weight = edge_weight
        rows = edge_index if self.flow == "source_to_target" else edge_index.flip(0)
        for row, num in zip(rows, size, strict=True):
            weight = weight * inv_sqrt_degree(row, edge_weight, num)[row]
        return weight

    def message(self, x_j: Tensor, edge_weight: OptTensor) -> Tensor:
        """Weighs a message by its edge."""
        return x_j if edge_weight is None else edge_weight.view(-1, 1) * x_j

    def message_and_aggregate(self, adj_t: Adj, x: Tensor) -> Tensor:
        """The fused path of PyG: one sparse product."""
        if isinstance(adj_t, Tensor):
            adj_t = adj_t.to(x.dtype)
        return spmm(adj_t, x, reduce=self.aggr)

    def __getstate__(self) -> dict[str, Any]:
        """A copy normalises its graph itself."""
        return {**self.__dict__, "_cache": None}

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}(alpha={self.alpha}, K={self.K})"


def _to_csr(
    edge_index: EdgeIndex, edge_weight: OptTensor, num_nodes: int
) -> CSROperator:
    """The matrix of a graph sorted by column, without another sort."""
    size = (num_nodes, num_nodes)
    if tuple(edge_index.get_sparse_size()) != size:  # The last nodes have no edge.
        edge_index = EdgeIndex(
            edge_index.as_tensor(), sparse_size=size, sort_order="col"
        )
    if edge_weight is None:
        edge_weight = torch.ones(edge_index.size(1), device=edge_index.device)
    (colptr, row), _ = edge_index.get_csc()
    transpose = None
    if torch.is_grad_enabled():  # It keeps its transpose's order, too.
        (rowptr, col), perm = edge_index.get_csr()
        reversed_weight = edge_weight if perm is None else edge_weight[perm]
        transpose = CSROperator(rowptr, col, reversed_weight, num_nodes)
    return CSROperator(colptr, row, edge_weight, num_nodes, transpose=transpose)
