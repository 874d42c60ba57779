import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.sampler import (
    BaseSampler,
    EdgeSamplerInput,
    NegativeSampling,
    NodeSamplerInput,
    SamplerOutput,
)
from torch_geometric.typing import OptTensor

from ltgnn_pyg.graph import CSROperator
from ltgnn_pyg.sampler.generator import generator_here
from ltgnn_pyg.sampler.link_sampler import sample_links
from ltgnn_pyg.sampler.weighted_sampler_output import WeightedSamplerOutput


class RandomWalkSampler(BaseSampler):
    r"""Samples the most important neighbours of a node: those that random walks from
    it visit most, as in PinSage, `"Graph Convolutional Neural Networks for Web-Scale
    Recommender Systems" <https://arxiv.org/abs/1806.01973>`_.

    From each seed start :math:`W` walks of up to :math:`S` steps. A walk ends before
    each step but the first with probability :math:`p`. A step leads along
    :math:`h` edges, each drawn uniformly, and its end is counted. So node :math:`v` is
    counted

    .. math::
        \mathbb{E}\, c_{rv} = W \sum_{s=1}^{S} (1 - p)^{s-1} \big( (D^{-1} A)^{h s}
        \big)_{rv}

    times. The :math:`T` nodes that are counted most are the seed's neighbours, of
    two alike the later one; the seed itself may be one of them. In a bipartite graph,
    with :math:`h = 1` they are nodes of both sides, and with :math:`h = 2` of the
    seed's own: items that share users with an item.

    All walks of all seeds take their steps together; there is no loop over nodes.
    Usable in PyG's own :class:`~torch_geometric.loader.NodeLoader` and
    :class:`~torch_geometric.loader.LinkLoader`.

    Args:
        operator (CSROperator): A symmetric matrix of the graph, such as
            :obj:`graph.matrix`. Entries of 0 are no edges; other weights do not matter.
        num_neighbors (int, optional): :math:`T`. (default: :obj:`10`)
        num_walks (int, optional): :math:`W`. (default: :obj:`10`)
        num_steps (int, optional): :math:`S`. (default: :obj:`2`)
        num_hops (int, optional): :math:`h`. (default: :obj:`1`)
        termination_prob (float, optional): :math:`p` in :math:`[0, 1]`.
            (default: :obj:`0.5`)
        generator (torch.Generator, optional): Draws the walks. If :obj:`None`,
            torch's global generator does. (default: :obj:`None`)

    Raises:
        ValueError: If :obj:`operator` is none, or an argument is out of its
            range.

    *Cost:* O(E) time and memory once; O(num_seeds x W x S (h + log(W x S))) time a
    call, whatever the size of the graph.
    """

    def __init__(
        self,
        operator: CSROperator,
        num_neighbors: int = 10,
        *,
        num_walks: int = 10,
        num_steps: int = 2,
        num_hops: int = 1,
        termination_prob: float = 0.5,
        generator: torch.Generator | None = None,
    ) -> None:
        if not isinstance(operator, CSROperator):
            raise ValueError(
                f"Expected 'operator' as a CSROperator (got a "
                f"{type(operator).__name__}); pass 'graph.matrix'"
            )
        if min(num_neighbors, num_walks, num_steps, num_hops) < 1:
            raise ValueError(
                "Expected positive 'num_neighbors', 'num_walks', 'num_steps' and "
                f"'num_hops' (got {num_neighbors}, {num_walks}, {num_steps} and "
                f"{num_hops})"
            )
        if not 0.0 <= termination_prob <= 1.0:
            raise ValueError(
                f"Expected 'termination_prob' in [0, 1] (got {termination_prob})"
            )
        self.num_neighbors = num_neighbors
        self.num_walks = num_walks
        self.num_steps = num_steps
        self.num_hops = num_hops
        self.termination_prob = termination_prob
        self.generator = generator
        self.num_nodes = operator.num_rows
        col, kept = operator.col, operator.value != 0
        place = F.pad(kept.cumsum(0), (1, 0))
        self._rowptr = place[operator.rowptr.long()]
        # What is kept moves up, the rest to the end, without asking how much it is.
        place = torch.where(kept, place[:-1], col.numel())
        self._col = col.new_zeros(col.numel() + 1).scatter_(0, place, col)

    def walk(self, seed: Tensor) -> Tensor:
        r"""Walks from each seed.

        Args:
            seed (torch.Tensor): Node ids :obj:`[num_seeds]`.

        Returns:
            The nodes counted :obj:`[num_seeds, num_walks x num_steps]`, -1 where a
            walk has ended.
        """
        node = seed.repeat_interleave(self.num_walks)
        generator = generator_here(self.generator, seed.device)

        def rand() -> Tensor:
            return torch.rand(
                node.numel(),
                dtype=torch.double,
                device=seed.device,
                generator=generator,
            )

        alive = torch.ones_like(node, dtype=torch.bool)
        counted = []
        for step in range(self.num_steps):
            if step > 0:
                alive &= rand() >= self.termination_prob
            for _ in range(self.num_hops):
                start = self._rowptr.index_select(0, node)
                degree = self._rowptr.index_select(0, node + 1) - start
                alive &= degree > 0
                edge = start.add_(rand().mul_(degree).long())
                node = self._col.index_select(0, edge).long()
            counted.append(node.masked_fill(~alive, -1))
        return torch.stack(counted, dim=1).view(seed.numel(), -1)

    def sample(self, seed: Tensor) -> tuple[Tensor, Tensor]:
        r"""Draws the neighbours of each seed, the most important first.

        Args:
            seed (torch.Tensor): Node ids :obj:`[num_seeds]`.

        Returns:
            The neighbours' node ids and how often each was counted,
            :obj:`[num_seeds, num_neighbors]` (or fewer columns, of fewer steps); 0
            times where there is none.
        """
        node = self.walk(seed).sort(dim=1).values
        place = torch.arange(node.size(1), device=node.device)
        # A run of the same node ends where the next one differs.
        last = F.pad(node[:, 1:] != node[:, :-1], (0, 1), value=True)
        first = F.pad(last[:, :-1], (1, 0), value=True)
        count = place - torch.where(first, place, 0).cummax(1).values + 1
        key = (count * self.num_nodes + node).masked_fill_(~last | (node < 0), -1)
        key = key.topk(min(self.num_neighbors, node.size(1)), dim=1).values
        count = key.clamp(min=0).div(self.num_nodes, rounding_mode="floor")
        return key.clamp_(min=0).remainder_(self.num_nodes), count

    def sample_from_nodes(
        self, index: NodeSamplerInput, **kwargs: object
    ) -> SamplerOutput:
        """Samples from nodes, in PyG's form: seeds first, then their neighbours."""
        out = self._subgraph(index.node.to(self._col.device))
        out.metadata = (index.input_id, index.time)
        return out

    def sample_from_edges(
        self, index: EdgeSamplerInput, neg_sampling: NegativeSampling | None = None
    ) -> SamplerOutput:
        """Samples from links: their distinct end points and negatives as seeds."""
        device, num_nodes = self._col.device, self.num_nodes
        return sample_links(index, neg_sampling, self._subgraph, num_nodes, device)

    def _subgraph(self, seed: Tensor, time: OptTensor = None) -> WeightedSamplerOutput:
        neighbor, count = self.sample(seed)
        kept = count > 0
        ptr = F.pad(kept.sum(1).cumsum(0), (1, 0))
        weight = count[kept].float()
        return WeightedSamplerOutput.one_hop(seed, neighbor[kept], weight, ptr)
