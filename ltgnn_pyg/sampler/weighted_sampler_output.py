from dataclasses import dataclass

import torch
from torch import Tensor
from torch_geometric.sampler import SamplerOutput
from torch_geometric.typing import OptTensor


@dataclass
class WeightedSamplerOutput(SamplerOutput):
    r"""A sampled subgraph with the weight of each of its edges.

    Args:
        edge_weight (torch.Tensor, optional): The weights
            :obj:`[num_sampled_edges]`. (default: :obj:`None`)
        ptr (torch.Tensor, optional): The boundaries of each seed's edges
            :obj:`[num_seeds + 1]`. (default: :obj:`None`)
    """

    edge_weight: OptTensor = None
    ptr: OptTensor = None

    @classmethod
    def one_hop(
        cls, seed: Tensor, neighbor: Tensor, weight: Tensor, ptr: Tensor
    ) -> "WeightedSamplerOutput":
        """Seeds first, then their neighbours; a node sampled twice stands twice.

        Args:
            seed (torch.Tensor): The seeds :obj:`[num_seeds]`.
            neighbor (torch.Tensor): Their neighbours, seed by seed
                :obj:`[num_sampled_edges]`.
            weight (torch.Tensor): The weights of those, likewise.
            ptr (torch.Tensor): The boundaries :obj:`[num_seeds + 1]`.
        """
        num_seeds, num_edges = seed.numel(), neighbor.numel()
        position = torch.arange(num_seeds + num_edges, device=seed.device)
        return cls(
            node=torch.cat([seed, neighbor]),
            row=position[num_seeds:],
            col=position[:num_seeds].repeat_interleave(
                ptr.diff(), output_size=num_edges
            ),
            edge=None,
            num_sampled_nodes=[num_seeds, num_edges],
            num_sampled_edges=[num_edges],
            edge_weight=weight,
            ptr=ptr,
        )
