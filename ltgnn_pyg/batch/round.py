from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import Parameter

from ltgnn_pyg.batch.micro_batch import MicroBatch
from ltgnn_pyg.batch.pair_batch import Compare, PairBatch, Trainable


class Round(PairBatch):
    r"""A round: pairs in micro-batches, and the graph to predict them from.

    A model propagates once, over :obj:`graph`, and the objective then runs over one
    micro-batch after the other.

    Attributes:
        graph (Graph): The graph without the round's pairs, so that no edge helps to
            predict itself.
        n_id (torch.Tensor): The distinct nodes of each micro-batch, one micro-batch
            after the other; all are seeds.
        dst_neg_index (torch.Tensor): As in :class:`PairBatch`; shared ones, a row a
            micro-batch :obj:`[num_micro_batches, amount]`.
        pair_ptr (list): The bounds of the pairs of each micro-batch,
            :obj:`num_micro_batches + 1` numbers.
        seed_ptr (list): Those of its seeds, likewise.
    """

    def rows(self, model: Trainable, x: Tensor | None = None) -> Tensor:
        """Returns the rows of all micro-batches' seeds, over the graph of the
        round.
        """
        c = model.coefficients
        if c is not None and len(c) == 1:  # No other row has a say.
            return c[0] * self.input_rows(model, x)
        return model.rows(self.graph, self.seeds)

    def mean(
        self, z: Tensor, compare: Compare, params: Sequence[Parameter] = ()
    ) -> Tensor:
        """Returns the mean of an objective over the pairs.

        Micro-batches are differentiated one after the other, so that the scores of one
        are held at a time; what flows back to the rows is written once.
        """
        if torch.is_grad_enabled():
            return _MicroBatches.apply(z, self, compare, *params)
        loss = z.new_zeros(())
        parts = z.split(self.seeds_of_parts)
        for rows, part in zip(parts, self.micro_batches(), strict=True):
            loss += self.share(part) * compare(rows, part)
        return loss

    @property
    def num_micro_batches(self) -> int:
        """The number of micro-batches."""
        return len(self.pair_ptr) - 1

    @property
    def seeds_of_parts(self) -> list[int]:
        """The number of seeds of each micro-batch."""
        return [end - start for start, end in pairwise(self.seed_ptr)]

    def share(self, part: PairBatch) -> float:
        """The share of the pairs that a micro-batch holds."""
        return part.num_pairs / self.num_pairs

    def micro_batches(self) -> Iterator[MicroBatch]:
        """The micro-batches, each a batch of its own but for the graph."""
        num, neg, log_q = self.num_micro_batches, self.negatives, self.get("log_q")
        weight = self.get("weight")
        shared = neg is not None and neg.size(0) == num
        for i in range(num):
            pairs = slice(*self.pair_ptr[i : i + 2])
            first, end = self.seed_ptr[i : i + 2]
            part = MicroBatch(
                n_id=self.n_id[first:end],
                num_seeds=end - first,
                num_nodes=end - first,
                src_index=self.src_index[pairs] - first,
                dst_pos_index=self.dst_pos_index[pairs] - first,
                input_id=self.input_id[pairs],
            )
            if neg is not None:
                of_part = slice(i, i + 1) if shared else pairs
                part.dst_neg_index = neg[of_part] - first
            if log_q is not None:
                part.log_q = log_q[first:end]
            if weight is not None:
                part.weight = weight[pairs]
            yield part


class _MicroBatches(torch.autograd.Function):
    """The objective of a round, whose gradients are made along with the loss."""

    @staticmethod
    @torch.compiler.disable
    def forward(
        ctx: Any,
        z: Tensor,
        batch: Round,
        compare: Compare,
        *params: Tensor,
    ) -> Tensor:
        loss, grad_z = z.new_zeros(()), torch.empty_like(z)
        grads = [torch.zeros_like(p) for p in params]
        split = batch.seeds_of_parts
        rows_and_outs = zip(z.split(split), grad_z.split(split), strict=True)
        for part, (rows, out) in zip(batch.micro_batches(), rows_and_outs, strict=True):
            with torch.enable_grad():
                rows = rows.detach().requires_grad_()
                value = batch.share(part) * compare(rows, part)
            found = torch.autograd.grad(value, (rows, *params), allow_unused=True)
            out.copy_(found[0])
            for grad, new in zip(grads, found[1:], strict=True):
                if new is not None:
                    grad += new
            loss = loss + value.detach()
        ctx.save_for_backward(grad_z, *grads)
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        grad_z, *grads = ctx.saved_tensors
        return grad_z * grad, None, None, *(g * grad for g in grads)
