from collections.abc import Callable
from copy import copy
from typing import Any

import torch
from torch import Tensor
from torch_geometric.sampler import (
    BaseSampler,
    EdgeSamplerInput,
    NegativeSampling,
    NodeSamplerInput,
    SamplerOutput,
)
from torch_geometric.sampler.neighbor_sampler import edge_sample
from torch_geometric.typing import OptTensor

from ltgnn_pyg.sampler.item_negative_sampling import ItemNegativeSampling


def sample_links(
    index: EdgeSamplerInput,
    neg_sampling: NegativeSampling | None,
    sample_fn: Callable[[Tensor, OptTensor], Any],
    num_nodes: int,
    device: torch.device,
) -> Any:
    r"""Samples from links with a function that samples from nodes.

    As PyG's own samplers do, but negatives of an
    :class:`~ltgnn_pyg.ItemNegativeSampling` are drawn for the users they meet.

    Args:
        index (EdgeSamplerInput): The links.
        neg_sampling (NegativeSampling or None): The negatives to draw, if any.
        sample_fn (callable): Maps distinct seeds (and their time) to a sampler
            output.
        num_nodes (int): The number of nodes.
        device (torch.device): The device to sample on.

    Returns:
        The output of :obj:`sample_fn` with PyG's link metadata.
    """
    if not isinstance(neg_sampling, ItemNegativeSampling):
        index = copy(index)  # Made anew, it would move to the CPU.
        index.row, index.col = index.row.to(device), index.col.to(device)
        return edge_sample(
            index, sample_fn, num_nodes, disjoint=False, neg_sampling=neg_sampling
        )
    src, dst = index.row.to(device).long(), index.col.to(device).long()
    neg = neg_sampling.sample_for(src)
    seed, position = torch.cat([src, dst, neg.view(-1)]).unique(return_inverse=True)
    src_index, dst_pos_index, dst_neg_index = position.split(
        [src.numel(), dst.numel(), neg.numel()]
    )
    out = sample_fn(seed, None)
    out.metadata = (
        index.input_id,
        src_index,
        dst_pos_index,
        dst_neg_index.view_as(neg),
        index.time,
    )
    return out


class LinkSampler(BaseSampler):
    r"""Lends any PyG node sampler the link sampling of this package.

    Args:
        sampler (BaseSampler): Samples from nodes; its output starts with the seeds
            in the order given, as all of PyG's do.
        num_nodes (int): The number of nodes.

    *Cost:* That of :obj:`sampler`, and sorting the end points of the links.
    """

    def __init__(self, sampler: BaseSampler, num_nodes: int) -> None:
        self.sampler = sampler
        self.num_nodes = num_nodes

    def sample_from_nodes(self, index: NodeSamplerInput, **kwargs: Any) -> Any:
        """Samples as the wrapped sampler does."""
        return self.sampler.sample_from_nodes(index, **kwargs)

    def sample_from_edges(
        self, index: EdgeSamplerInput, neg_sampling: NegativeSampling | None = None
    ) -> Any:
        """Samples from links: their distinct end points and negatives as seeds."""

        def sample_fn(seed: Tensor, time: OptTensor) -> SamplerOutput:
            out: Any = self.sampler.sample_from_nodes(
                NodeSamplerInput(None, seed, time)
            )
            if out.num_sampled_nodes is None:  # As with the torch-sparse backend.
                num_seeds = seed.numel()
                out.num_sampled_nodes = [num_seeds, out.node.numel() - num_seeds]
            return out

        device = torch.device("cpu")
        return sample_links(index, neg_sampling, sample_fn, self.num_nodes, device)

    @property
    def edge_permutation(self) -> Any:
        """The permutation of edges that the wrapped sampler works with."""
        return self.sampler.edge_permutation
