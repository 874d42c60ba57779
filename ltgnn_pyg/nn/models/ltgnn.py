from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import Module
from torch_geometric.data import Data
from torch_geometric.typing import OptTensor

from ltgnn_pyg.adjacency import without
from ltgnn_pyg.history import History
from ltgnn_pyg.nn.conv import LTConv
from ltgnn_pyg.nn.loss import BPRLoss
from ltgnn_pyg.nn.models.recommender import Recommender

Gradient = Literal["delayed", "local", "history", "corrected", "unroll"]


class LTGNN(Recommender):
    r"""The recommender of `"Linear-Time Graph Neural Networks for Scalable
    Recommendations" <https://arxiv.org/abs/2402.13973>`_ (WWW 2024).

    Users and items have an embedding each, the rows of :math:`X`; they are
    scored by the inner product of the rows of :math:`Z = (1 - \alpha) \hat{A} Z +
    \alpha X`. Training takes one step of that for the nodes of a batch, started
    from the history of earlier batches (:meth:`LTConv.step
    <ltgnn_pyg.LTConv.step>`), on a batch of a
    :class:`~ltgnn_pyg.VRNeighborLoader`:

    .. code-block:: python

        model = LTGNN(data.num_users, data.num_items)
        loader = VRNeighborLoader(data, model.history, edge_label_index=train)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.007)
        for epoch in range(10):
            model.refresh(loader.adj_t)
            for batch in loader:
                optimizer.zero_grad()
                model.loss(batch).backward()
                optimizer.step()
        z = model.get_embedding()

    By default the output gradients of many batches are gathered first and then
    propagated exactly, 80 times an epoch (:obj:`gradient="delayed"`). The table has a
    gradient, a dense one, after the last batch of a round only; dense optimizers of
    torch leave it alone in between (their :obj:`zero_grad` must set it to
    :obj:`None`, as is its default), and the loop stays as it is. With
    the gradients of the paper, taken in each batch (:obj:`"local"`,
    :obj:`"history"`), the gradient of the table is sparse, of the rows of the batch's
    seeds, so that a row-wise optimizer (:class:`~ltgnn_pyg.optim.RowAdam`) touches
    nothing else.

    Args:
        num_users (int): The number of users, nodes :obj:`0 .. num_users - 1`.
        num_items (int): The number of items, the nodes after them.
        embedding_dim (int, optional): The size of an embedding.
            (default: :obj:`64`)
        alpha (float, optional): Teleport probability in :math:`[0, 1]`; 1 is
            matrix factorisation. (default: :obj:`0.1`)
        K (int, optional): Steps of :meth:`get_embedding`. (default: :obj:`3`)
        loss_fn (torch.nn.Module, optional): The objective, see
            :mod:`ltgnn_pyg.nn.loss`. If :obj:`None`,
            :class:`~ltgnn_pyg.nn.loss.SoftmaxLoss`. (default: :obj:`None`)
        gradient (str, optional): The estimate of the gradient that reaches
            :math:`\mathbf{x}_r` of a seed with output gradient
            :math:`\mathbf{g}_r`:

            * :obj:`"delayed"`: exact for :math:`K` steps, once a round. Through a
              round the seeds' rows are those of :math:`K` exact steps from the
              :math:`X` of its start, and their :math:`\mathbf{g}` are gathered in a
              table; at its end the same :math:`K` steps lead from that table to
              :math:`\partial L / \partial X` (:math:`\hat{A}` is symmetric). The
              loader says how many :obj:`rounds` an epoch has; with their number
              fixed it stays linear. No neighbours are sampled; :math:`X` must be a
              table;
            * :obj:`"local"`: :math:`\alpha \mathbf{g}_r`, exact for the step with
              its history held fixed;
            * :obj:`"history"`: :math:`\alpha \mathbf{g}_r + (1 - \alpha) \sum_j
              c_{rj} \hat{A}_{rj} V_j`, with :math:`V` the history of such
              gradients, as in the authors' code;
            * :obj:`"corrected"`: the same with :math:`V_j` weighed by how often
              :math:`j` is visited over how often :math:`r` is, without which the
              sum is no estimate of the gradient of an epoch;
            * :obj:`"unroll"`: exact, by autograd through :obj:`K` steps over the
              whole graph, O(K x E x dim) *for each batch* and dense; a reference.

            Scaling the loss (as mixed precision does) scales what the gradient
            history holds, and its scaler must pass by the batches that leave no
            gradient. If :obj:`None`, :obj:`"delayed"` with a table and
            :obj:`"local"` without. (default: :obj:`None`)
        leave_out (bool, optional): With :obj:`gradient="delayed"`, takes the pairs of
            a round out of the graph that their scores are computed over, so that no
            edge helps to predict itself. (default: :obj:`True`)
        weight_decay (float, optional): :math:`\lambda` of
            :math:`\frac{\lambda}{2B} \sum_b (\| \mathbf{x}_{u_b} \|^2 + \|
            \mathbf{x}_{i_b} \|^2 + \sum_m \| \mathbf{x}_{j_{bm}} \|^2)`, the
            convention of LightGCN's reference code. With :obj:`gradient="delayed"` its
            gradient does not follow a scaling of the loss. (default: :obj:`0.0`)
        residual (float, optional): :math:`\rho`; scores :math:`(Z - \rho X) /
            (1 - \rho)` in place of :math:`Z`. (default: :obj:`0.0`)
        add_self_loops (bool, optional): Propagates over :math:`A + I`; tell the
            loader too. (default: :obj:`False`)
        init_steps (int, optional): Exact steps from :math:`X` to fill an empty
            history. (default: :obj:`7`)
        refresh_steps (int, optional): Exact steps from the history at each later
            :meth:`refresh`. (default: :obj:`0`)
        warm_start (bool, optional): Starts :meth:`get_embedding` from the history,
            not from :math:`X`. If :obj:`None`, with the gradients that train on
            that, :obj:`"local"`, :obj:`"history"` and :obj:`"corrected"`.
            (default: :obj:`None`)
        init_std (float, optional): Standard deviation of the initial table.
            (default: :obj:`0.005`)
        normalize (bool, optional): :meth:`get_embedding` returns rows of length 1.
            If :obj:`None`, as the objective scores. (default: :obj:`None`)
        popularity (float, optional): :math:`\gamma`; the score of an item gains
            :math:`\gamma \tau \ln d_i`, see
            :class:`~ltgnn_pyg.nn.models.Recommender`. (default: :obj:`None`)
        embedding (bool, optional): Makes a table; otherwise the rows are given as
            :obj:`x` in each call, by an encoder of content features.
            (default: :obj:`True`)
        history_device (torch.device or str, optional): Where the history stays. If
            :obj:`None`, it follows the model. (default: :obj:`None`)
        history_dtype (torch.dtype, optional): How the history is stored. If
            :obj:`None`, as the table. (default: :obj:`None`)

    Raises:
        ValueError: If an argument is out of its range.

    *Cost:* Beside the objective, O(E x dim) time an epoch: O(batch_size x dim) a
    batch and :math:`2 K` sparse products a round with :obj:`gradient="delayed"`,
    O(batch_size x num_neighbors x dim) a batch otherwise. Memory of 3 N x dim
    numbers, plus 2 for the optimizer and 2 while a round ends; of 4 N x dim, plus 2
    for the optimizer, with :obj:`"local"`, and one more with :obj:`"history"`.
    """

    def __init__(
        self,
        num_users: int,
        num_items: int,
        embedding_dim: int = 64,
        *,
        alpha: float = 0.1,
        K: int = 3,
        loss_fn: Module | None = None,
        gradient: Gradient | None = None,
        leave_out: bool = True,
        weight_decay: float = 0.0,
        residual: float = 0.0,
        add_self_loops: bool = False,
        init_steps: int = 7,
        refresh_steps: int = 0,
        warm_start: bool | None = None,
        init_std: float = 0.005,
        normalize: bool | None = None,
        popularity: float | None = None,
        embedding: bool = True,
        history_device: torch.device | str | None = None,
        history_dtype: torch.dtype | None = None,
    ) -> None:
        if gradient is None:
            gradient = "delayed" if embedding else "local"
        super().__init__(
            num_users,
            num_items,
            embedding_dim,
            loss_fn=loss_fn,
            weight_decay=weight_decay,
            init_std=init_std,
            normalize=normalize,
            popularity=popularity,
            add_self_loops=add_self_loops,
            sparse=gradient not in ("delayed", "unroll"),
            embedding=embedding,
        )
        if gradient not in (kinds := get_args(Gradient)):
            raise ValueError(
                f"Expected 'gradient' as one of {kinds} (got {gradient!r})"
            )
        if gradient == "delayed" and not embedding:
            raise ValueError(
                "Expected a table for gradient='delayed' (got 'embedding=False'); "
                "pass gradient='local'"
            )
        if not 0.0 <= residual < 1.0:
            raise ValueError(f"Expected 'residual' in [0, 1) (got {residual})")
        on_history = gradient in ("local", "history", "corrected")
        if warm_start and not on_history:
            raise ValueError(
                f"Expected 'warm_start=False' with gradient={gradient!r}, which does "
                "not train on a history (got True)"
            )
        if min(init_steps, refresh_steps) < 0:
            raise ValueError(
                "Expected 'init_steps' and 'refresh_steps' to be at least 0 (got "
                f"{init_steps} and {refresh_steps})"
            )
        self.gradient = gradient
        self.leave_out = leave_out
        self.residual = residual
        self.init_steps = init_steps
        self.refresh_steps = refresh_steps
        self.warm_start = on_history if warm_start is None else warm_start
        self._round: OptTensor = None  # The graph of the round under way.
        self.conv = LTConv(alpha, K, normalize=False)
        if gradient != "unroll":
            self.history = History(
                self.num_nodes,
                embedding_dim,
                control_variate=on_history,
                gradient=gradient != "local",
                visits=gradient == "corrected"
                or (gradient == "delayed" and weight_decay > 0.0),
                device=history_device,
                dtype=history_dtype,
            )

    @classmethod
    def released(
        cls, num_users: int, num_items: int, embedding_dim: int = 64, **kwargs: Any
    ) -> "LTGNN":
        r"""The model as the authors released it, where that departs from the paper.

        For the rest of their setting, pair it with :obj:`SparseAdam(lr=0.0015)`
        and

        .. code-block:: python

            VRNeighborLoader(
                data, model.history, num_neighbors=15, batch_size=2048,
                add_self_loops=True, user_balanced=True,
                neg_sampling=ItemNegativeSampling(
                    num_users, num_items, edge_index=train, reject_seen=True),
            )

        Args:
            num_users (int): The number of users.
            num_items (int): The number of items.
            embedding_dim (int, optional): The size of an embedding.
                (default: :obj:`64`)
            **kwargs (optional): Replace single settings.
        """
        settings: dict[str, Any] = {
            "alpha": 0.45,
            "K": 3,
            "loss_fn": BPRLoss(),
            "gradient": "history",
            "weight_decay": 2e-4,
            "residual": 0.2,
            "add_self_loops": True,
            "init_steps": 7,
            "warm_start": False,
            "init_std": 0.1,
        }
        return cls(num_users, num_items, embedding_dim, **{**settings, **kwargs})

    def reset_parameters(self) -> None:
        """Draws the table anew and empties the history, if there is one."""
        super().reset_parameters()
        self._round = None

    @torch.no_grad()
    def refresh(self, adj_t: Tensor, x: OptTensor = None) -> None:
        r"""Renews the history over the graph. Call it at the start of each epoch.

        The first call fills the history by :attr:`init_steps` exact steps from
        :math:`X`, later ones take :attr:`refresh_steps` from the history itself;
        then its snapshot and the exact aggregate are renewed
        (:meth:`History.refresh <ltgnn_pyg.History.refresh>`). With
        :obj:`gradient="delayed"` the history is renewed at the start of each round,
        and only the graph is taken note of here.

        Args:
            adj_t (torch.Tensor): The normalised adjacency that neighbours are
                sampled from, :obj:`loader.adj_t`. It is used as it is, and kept.
            x (torch.Tensor, optional): All rows of :math:`X`, for a model without
                a table. (default: :obj:`None`)

        Raises:
            ValueError: If :obj:`adj_t` is not a sparse CSR matrix over all nodes,
                or its self-loops contradict :attr:`add_self_loops`.

        *Cost:* O(E x dim) time, one sparse product for each step and one more.
        """
        if adj_t is not self._adj_t:
            super().refresh(adj_t)
            self._check_self_loops(adj_t)
        self._round = None
        if self.history is None or self.gradient == "delayed":
            return
        history, x = self.history, self._rows(x)
        first = history.num_refreshes == 0
        history.refresh(adj_t, x if first else None)
        for _ in range(self.init_steps if first else self.refresh_steps):
            # What was just aggregated, exactly, is a step away for every node.
            for rows in torch.arange(self.num_nodes, device=x.device).split(2**16):
                agg = history.pull("aggregate", rows)
                history.push("output", rows, self.conv.step(x[rows], agg))
            history.refresh(adj_t)

    def loss(self, batch: Data, x: OptTensor = None) -> Tensor:
        r"""Returns the training loss of a batch, and pushes its rows.

        Args:
            batch (torch_geometric.data.Data): A batch of a
                :class:`~ltgnn_pyg.VRNeighborLoader` over :attr:`history`.
            x (torch.Tensor, optional): The rows of :math:`X` of the batch's seeds
                :obj:`n_id[:num_seeds]`, :obj:`[num_seeds, dim]`, for a model
                without a table; of all nodes with :obj:`gradient="unroll"`.
                (default: :obj:`None`)

        Returns:
            The loss, a scalar.

        Raises:
            ValueError: If :meth:`refresh` was never called, or the batch holds no
                rows of a history.
        """
        seed = batch.n_id[: batch.num_seeds]
        if self.gradient == "unroll":
            z = F.embedding(seed, self._embed(self._adj_t, self._rows(x)))
            x = F.embedding(seed, self._rows(x))
        elif self.gradient == "delayed":
            z, x = self._delayed(batch, seed)
        else:
            if x is None:
                x = self._table()(seed)
            z = self._step(batch, seed, x)
        return self._objective(z, x, batch)

    def _embed(self, adj_t: OptTensor, x: Tensor) -> Tensor:
        z = self._start(x) if self.warm_start else None
        return self._score(self.conv(x, self._graph(adj_t), z=z), x)

    def _delayed(self, batch: Data, seed: Tensor) -> tuple[Tensor, Tensor]:
        """The seeds' rows of this round, and their rows of X."""
        history, weight = self.history, self._table().weight
        assert history is not None
        if not (self.training and torch.is_grad_enabled()):  # Nothing to gather.
            z = self._embed(self._adj_t, weight)
            return z.index_select(0, seed), weight.detach().index_select(0, seed)
        if "round_edge_index" in batch:
            self._start_round(batch.round_edge_index)
        elif self._round is None:  # Batches of another loader: each one is a round.
            pairs = batch.n_id[torch.stack([batch.src_index, batch.dst_pos_index])]
            self._start_round(pairs)
        z = _Gather.apply(weight, history.pull("output", seed), seed, batch, self)
        return z, weight.detach().index_select(0, seed)

    @torch.no_grad()
    def _start_round(self, pairs: Tensor) -> None:
        history, adj_t = self.history, self._graph(self._adj_t)
        assert history is not None
        if self.leave_out:
            adj_t = without(adj_t, pairs)
        self._round, self._num_left = adj_t, pairs.size(1)
        self._num_pairs = pairs.size(1)
        history.refresh(adj_t, self._embed(adj_t, self._table().weight))
        for name in ("gradient", "visits"):
            if name in history:
                history.get_buffer(name).zero_()

    def _gather(self, grad: Tensor, seed: Tensor, batch: Data) -> OptTensor:
        """Adds to the gradients of a round; at its end, what they make for X."""
        history, weight, src = self.history, self._table().weight, batch.src_index
        assert history is not None
        history.push("gradient", seed, grad * src.numel(), accumulate=True)
        if "visits" in history:
            index = [src, batch.dst_pos_index]
            if "dst_neg_index" in batch:
                index.append(batch.dst_neg_index.reshape(-1))
            visits = torch.bincount(torch.cat(index), minlength=seed.numel())
            history.push("visits", seed, visits.view(-1, 1), accumulate=True)
        self._num_left -= src.numel()
        if self._num_left > 0:
            return None
        total = history.get_buffer("gradient").to(weight)
        out = self._embed(self._round, total)  # Symmetric, hence its own adjoint.
        if "visits" in history:
            visits = history.get_buffer("visits").to(weight)
            out.addcmul_(weight.detach(), visits, value=self.weight_decay)
        self._round = None
        return out.div_(self._num_pairs)

    def _step(self, batch: Data, seed: Tensor, x: Tensor) -> Tensor:
        """One step for the seeds; leaves their rows in the history."""
        history = self.history
        assert history is not None
        if history.num_refreshes == 0 or "aggregate" not in batch:
            raise ValueError(
                "Expected a batch with rows of a filled history (got none); call "
                "'model.refresh(loader.adj_t)' before each epoch and build the loader "
                "with 'history=model.history'"
            )
        x_step = x.view_as(x)  # Its gradient is that of the step alone.
        z = self.conv.step(x_step, batch.aggregate, batch.get("grad_aggregate"))
        if self.training:
            history.push("output", seed, z.detach())
            if "visits" in history:
                history.push("visits", seed, history.pull("visits", seed) + 1)
            if "gradient" in history and x_step.requires_grad:
                x_step.register_hook(lambda v: history.push("gradient", seed, v))
        return self._score(z, x)

    def _score(self, z: Tensor, x: Tensor) -> Tensor:
        """The embeddings to score, given the propagated and the input rows."""
        if self.residual == 0.0:
            return z
        return (z - self.residual * x) / (1 - self.residual)

    def _start(self, x: OptTensor) -> OptTensor:
        """The history to start from, once there is one."""
        if self.history is None or self.history.num_refreshes == 0:
            return None
        return self.history.output.to(self._rows(x))

    def _check_self_loops(self, adj_t: Tensor) -> None:
        first_row = adj_t.col_indices()[: int(adj_t.crow_indices()[1])]
        if bool((first_row == 0).any()) != self.add_self_loops:
            raise ValueError(
                f"Expected a matrix {'with' if self.add_self_loops else 'without'} "
                f"self-loops, as add_self_loops={self.add_self_loops} of the model "
                "says (got the opposite); say the same to the loader"
            )

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_round": None}

    def __repr__(self) -> str:
        return (
            f"{self.__class__.__name__}({self.num_users}, {self.num_items}, "
            f"{self.embedding_dim}, alpha={self.conv.alpha}, K={self.conv.K}, "
            f"gradient='{self.gradient}')"
        )


class _Gather(torch.autograd.Function):
    """Rows of a table, whose gradient the model gathers."""

    @staticmethod
    def forward(
        ctx: Any, weight: Tensor, rows: Tensor, seed: Tensor, batch: Data, model: LTGNN
    ) -> Tensor:
        ctx.args = (seed, batch, model)
        return rows.view_as(rows)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[OptTensor, ...]:
        seed, batch, model = ctx.args
        return model._gather(grad, seed, batch), None, None, None, None
