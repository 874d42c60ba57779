import math
import warnings
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch_geometric import EdgeIndex
from torch_geometric.nn.conv import MessagePassing
from torch_geometric.nn.conv.gcn_conv import gcn_norm
from torch_geometric.typing import Adj, OptTensor, SparseTensor
from torch_geometric.utils import is_torch_sparse_tensor, spmm

from ltgnn_pyg.adjacency import inv_sqrt_degree, is_sparse, propagate, to_coo


class SolveReport(NamedTuple):
    r"""How a fixed-point solve went.

    Attributes:
        iterations (int): The number of steps taken.
        residual (float): The relative residual reached,
            :math:`\| \alpha X + (1 - \alpha) \hat{A} Z - Z \|_F /
            \| \alpha X \|_F`.
        bound (int): The number of steps that suffices for a symmetric
            :math:`\hat{A}` of norm at most 1,
            :math:`\lceil \log(tol / r_0) / \log(1 - \alpha) \rceil` with
            :math:`r_0` the residual at the start (1 from zero).
        converged (bool): Whether :obj:`residual` is at most the tolerance.
    """

    iterations: int
    residual: float
    bound: int
    converged: bool


class LTConv(MessagePassing):
    r"""The linear-time propagation layer of `"Linear-Time Graph Neural Networks
    for Scalable Recommendations" <https://arxiv.org/abs/2402.13973>`_ (WWW 2024).

    One layer, three ways to reach the same fixed point of personalised
    propagation, :math:`Z^{*} = (1 - \alpha) \hat{A} Z^{*} + \alpha X`:

    * :meth:`forward` takes :math:`K` exact steps from :math:`Z^{(0)} = X`,

      .. math::
          Z^{(k)} = (1 - \alpha) \hat{A} Z^{(k-1)} + \alpha X,

      and is a drop-in for :class:`~torch_geometric.nn.conv.APPNP` and, with
      :obj:`alpha=0, K=1`, for :class:`~torch_geometric.nn.conv.LGConv`;
    * :meth:`solve` iterates to a tolerance and differentiates implicitly;
    * :meth:`step` takes the one step of linear-time training, from a
      history of earlier batches.

    Here :math:`\hat{A} = D^{-1/2} A D^{-1/2}`.

    Args:
        alpha (float, optional): Teleport probability in :math:`[0, 1]`: the weight
            of :math:`X`. (default: :obj:`0.2`)
        K (int, optional): Number of steps of :meth:`forward`. (default: :obj:`1`)
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
          rows); edge weights :math:`(|E|)` *(optional)*
        - **output:** :math:`(|V|, F)` or :math:`(|V_t|, F)`

    Raises:
        ValueError: If :obj:`alpha` or :obj:`K` is out of range.

    *Cost:* O(K x E x F) time. An :class:`~torch_geometric.EdgeIndex` sorted by
    column and a sparse matrix take the fused path, O(N x F) memory; a plain
    :obj:`edge_index` gathers its messages, O(E x F) memory.
    """

    SUPPORTS_FUSED_EDGE_INDEX: Final[bool] = True

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
        edge_index: Adj,
        edge_weight: OptTensor = None,
        *,
        z: OptTensor = None,
        K: int | None = None,
    ) -> Tensor:
        r"""Takes :obj:`K` exact steps; ordinary autograd.

        A bipartite pair :obj:`(x_src, x_dst)` takes one step,
        :math:`Z_t = (1 - \alpha) \hat{A} X_s + \alpha X_t`.

        Args:
            x (torch.Tensor or tuple): Node features, or a pair of them.
            edge_index (torch.Tensor or SparseTensor): The graph.
            edge_weight (torch.Tensor, optional): Edge weights :obj:`[num_edges]`.
                (default: :obj:`None`)
            z (torch.Tensor, optional): Starts from other embeddings than :obj:`x`,
                such as a history. (default: :obj:`None`)
            K (int, optional): Takes another number of steps than :attr:`K`.
                (default: :obj:`None`)

        Raises:
            ValueError: If a bipartite input meets :obj:`K > 1`, self-loops or
                :obj:`z`.
        """
        K = self.K if K is None else K
        if isinstance(edge_index, EdgeIndex) and self.flow != "source_to_target":
            edge_index = edge_index.as_tensor()  # PyG would fuse the other way round.
        if isinstance(x, Tensor):
            num_nodes = x.shape[self.node_dim]
            size = (num_nodes, num_nodes)
            edge_index, edge_weight = self._norm(
                edge_index, edge_weight, num_nodes, x.dtype
            )
            z = x if z is None else z
        else:
            if K > 1 or self.add_self_loops or z is not None or x[1] is None:
                raise ValueError(
                    "Expected 'K=1', 'add_self_loops=False', no 'z' and features of "
                    f"both sides for a bipartite graph (got K={K}, add_self_loops="
                    f"{self.add_self_loops}): the step leads from sources to targets"
                )
            z, x = x
            size = (z.shape[self.node_dim], x.shape[self.node_dim])
            if self.normalize or isinstance(edge_index, EdgeIndex):
                # The backward of a rectangular EdgeIndex fails in PyG 2.8.
                edge_index, edge_weight = to_coo(edge_index, edge_weight)
            if self.normalize:
                edge_weight = self._norm_bipartite(edge_index, edge_weight, size, x)
        for _ in range(K):
            # propagate_type: (x: Tensor, edge_weight: OptTensor)
            a = self.propagate(edge_index, x=z, edge_weight=edge_weight, size=size)
            out = None if torch.is_grad_enabled() else a
            z = torch.lerp(a, x, self.alpha, out=out)
        return z

    def step(
        self, x: Tensor, aggregate: Tensor, grad_aggregate: OptTensor = None
    ) -> Tensor:
        r"""Takes one step for some nodes, from what their history aggregates to.

        .. math::
            \mathbf{z}_r = (1 - \alpha) \mathbf{a}_r + \alpha \mathbf{x}_r,
            \qquad
            \frac{\partial L}{\partial \mathbf{x}_r} = (1 - \alpha)
            \mathbf{v}_r + \alpha \frac{\partial L}{\partial \mathbf{z}_r}

        Forward and backward are the same step: forward on the embeddings,
        backward on their gradients (:math:`\hat{A}` is symmetric). Without
        :obj:`grad_aggregate` the gradient is the local term alone, the exact
        gradient of the step with its history held fixed.

        Args:
            x (torch.Tensor): The input rows :math:`\mathbf{x}_r`,
                :obj:`[num_seeds, dim]`.
            aggregate (torch.Tensor): An estimate :math:`\mathbf{a}_r` of
                :math:`(\hat{A} Z_{hist})_r`, :obj:`[num_seeds, dim]`, as
                :class:`~ltgnn_pyg.VRNeighborLoader` delivers it.
            grad_aggregate (torch.Tensor, optional): An estimate
                :math:`\mathbf{v}_r` of the same aggregate of the gradient
                history, :obj:`[num_seeds, dim]`. (default: :obj:`None`)

        Returns:
            The rows :math:`\mathbf{z}_r`, :obj:`[num_seeds, dim]`.

        *Cost:* O(num_seeds x dim), whatever the size of the graph.
        """
        return _HistoryStep.apply(x, aggregate, grad_aggregate, self.alpha)

    def solve(
        self,
        x: Tensor,
        edge_index: Adj,
        edge_weight: OptTensor = None,
        *,
        tol: float = 1e-6,
        max_iter: int | None = None,
        z: OptTensor = None,
    ) -> tuple[Tensor, SolveReport]:
        r"""Solves :math:`Z = (1 - \alpha) \hat{A} Z + \alpha X`.

        Each step contracts the error by :math:`1 - \alpha` at least, so
        :math:`\log(tol) / \log(1 - \alpha)` steps suffice, whatever the size
        of the graph. The gradient is implicit,
        :math:`\partial L / \partial X = \alpha (I - (1 - \alpha)
        \hat{A}^{\top})^{-1} \partial L / \partial Z`: the same solver on the
        transposed matrix, to the same tolerance. Memory does not depend on the
        number of iterations. Edge weights receive no gradient here.

        Args:
            x (torch.Tensor): The node features :obj:`[num_nodes, dim]`.
            edge_index (torch.Tensor or SparseTensor): The graph, in any form of
                :meth:`forward`.
            edge_weight (torch.Tensor, optional): Edge weights :obj:`[num_edges]`.
                (default: :obj:`None`)
            tol (float, optional): Bound on the relative residual.
                (default: :obj:`1e-6`)
            max_iter (int, optional): Bound on the number of steps; a warning tells
                that it was hit. If :obj:`None`, twice the bound of the report,
                which holds in exact arithmetic. (default: :obj:`None`)
            z (torch.Tensor, optional): A start, such as a history,
                :obj:`[num_nodes, dim]`. If :obj:`None`, zero.
                (default: :obj:`None`)

        Returns:
            The embeddings :obj:`[num_nodes, dim]` and a :class:`SolveReport`.

        Raises:
            ValueError: If :attr:`alpha` is zero: the fixed point is not unique.
            RuntimeError: If the iteration diverges, as it does on weights whose
                spectral radius reaches :math:`1 / (1 - \alpha)`.

        *Cost:* O(iterations x E x dim) time, O(N x dim) memory.
        """
        if self.alpha == 0.0:
            raise ValueError(
                "Expected 'alpha' in (0, 1] to solve for the fixed point (got 0): "
                "without a teleport it does not depend on 'x'"
            )
        adj_t = self.adj_t(edge_index, edge_weight, x.size(0), x.dtype)
        return _Solve.apply(x, adj_t, z, self.alpha, tol, max_iter)

    def adj_t(
        self,
        edge_index: Adj,
        edge_weight: OptTensor,
        num_nodes: int,
        dtype: torch.dtype,
    ) -> Tensor:
        """Returns the graph, normalised as this layer does, as sparse CSR."""
        weight: OptTensor
        edge_index, weight = self._norm(edge_index, edge_weight, num_nodes, dtype)
        if is_torch_sparse_tensor(edge_index):
            return edge_index.to_sparse_csr().to(dtype)
        reverse = self.flow != "source_to_target" and not is_sparse(edge_index)
        edge_index, weight = to_coo(edge_index, weight)
        if weight is None:
            weight = torch.ones(edge_index.size(1), device=edge_index.device)
        return torch.sparse_coo_tensor(
            edge_index if reverse else edge_index.flip(0),
            weight.detach().to(dtype),
            (num_nodes, num_nodes),
        ).to_sparse_csr()

    def _norm(
        self,
        edge_index: Adj,
        edge_weight: OptTensor,
        num_nodes: int,
        dtype: torch.dtype,
    ) -> tuple[Adj, OptTensor]:
        """Normalises once a call, or once for all with :attr:`cached`."""
        if not self.normalize:
            return edge_index, edge_weight
        if self._cache is not None:
            return self._cache
        out = gcn_norm(
            edge_index,
            edge_weight,
            num_nodes,
            False,
            self.add_self_loops,
            self.flow,
            dtype,
        )
        if isinstance(edge_index, SparseTensor):
            out = out, None
        elif isinstance(edge_index, EdgeIndex) and self.add_self_loops:
            # The added loops broke the order, without which there is no fused path.
            index, perm = EdgeIndex(
                to_coo(out[0], None)[0], sparse_size=(num_nodes, num_nodes)
            ).sort_by("col")
            out = index, out[1] if perm is None else out[1][perm]
        if self.cached:
            self._cache = out
        return out

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

    def message_and_aggregate(
        self, adj_t: Adj, x: Tensor, edge_weight: OptTensor
    ) -> Tensor:
        """The fused path: one sparse product."""
        if isinstance(adj_t, EdgeIndex):
            return adj_t.matmul(
                x, input_value=edge_weight, reduce=self.aggr, transpose=True
            )
        narrow = x.dtype.itemsize < 4  # Which sparse products do not take on CPU.
        if narrow and isinstance(adj_t, SparseTensor):
            adj_t = adj_t.to_torch_sparse_csr_tensor(torch.float32)
        if is_torch_sparse_tensor(adj_t) and self.aggr in ("add", "sum"):
            if narrow or not (torch.is_grad_enabled() and x.requires_grad):
                return propagate(adj_t.to_sparse_csr(), x).to(x.dtype)
            adj_t = adj_t.to(x.dtype)
        return spmm(adj_t, x, reduce=self.aggr)

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}(alpha={self.alpha}, K={self.K})"


class _HistoryStep(torch.autograd.Function):
    """One step whose backward is the same step on the gradient history."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, aggregate: Tensor, grad_aggregate: OptTensor, alpha: float
    ) -> Tensor:
        ctx.alpha = alpha
        ctx.grad_aggregate = grad_aggregate
        return torch.lerp(aggregate.to(x.dtype), x, alpha)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[OptTensor, ...]:
        grad = ctx.alpha * grad
        if ctx.grad_aggregate is not None:
            grad = torch.add(grad, ctx.grad_aggregate, alpha=1 - ctx.alpha)
        return grad, None, None, None


class _Solve(torch.autograd.Function):
    """A fixed-point solve whose backward is the same solve on the adjoint."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        adj_t: Tensor,
        z: OptTensor,
        alpha: float,
        tol: float,
        max_iter: int | None,
    ) -> tuple[Tensor, SolveReport]:
        ctx.adj_t = adj_t
        ctx.args = (alpha, tol, max_iter)
        return _fixed_point(x, adj_t, z, alpha, tol, max_iter)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, _: Any) -> tuple[OptTensor, ...]:
        adj = ctx.adj_t.transpose(0, 1).to_sparse_csr()
        out, _ = _fixed_point(grad.contiguous(), adj, None, *ctx.args)
        return out, None, None, None, None, None


def _fixed_point(
    x: Tensor,
    adj_t: Tensor,
    z: OptTensor,
    alpha: float,
    tol: float,
    max_iter: int | None,
) -> tuple[Tensor, SolveReport]:
    b = alpha * x
    norm = b.norm().item()
    if norm == 0.0 or alpha == 1.0:
        return b, SolveReport(0, 0.0, 0, True)

    def steps(start: float) -> int:
        ratio = min(tol / start, 1.0) if start > 0 else 1.0
        return math.ceil(math.log(ratio) / math.log(1 - alpha))

    if max_iter is None:
        max_iter = 2 * steps(1.0) + 1
    if z is None:  # The first step from zero needs no product.
        z, residual, start, iterations = b, 1.0, 1.0, 0
    else:
        residual, start, iterations = math.inf, math.inf, -1
    while residual > tol and iterations < max_iter:
        new = propagate(adj_t, z).to(x.dtype).mul_(1 - alpha).add_(b)
        residual = (new - z).norm().item() / norm
        z, iterations = new, iterations + 1
        start = residual if math.isinf(start) else start
        if not math.isfinite(residual) or residual > 1e3 * max(start, 1.0):
            break
    if math.isnan(residual) or residual > max(start, tol):
        raise RuntimeError(
            f"The fixed point does not exist or is not stable: the relative residual "
            f"grew to {residual:.3g} after {iterations} steps with alpha={alpha}. "
            f"Expected a spectral radius below 1 / (1 - alpha); normalise the "
            f"adjacency ('normalize=True') or raise 'alpha'"
        )
    if residual > tol:
        warnings.warn(
            f"No convergence to tol={tol:g} within max_iter={max_iter} steps: the "
            f"relative residual is {residual:.3g}. Raise 'max_iter' or 'tol'",
            stacklevel=3,
        )
    return z, SolveReport(iterations, residual, steps(start), residual <= tol)
