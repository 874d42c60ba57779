import torch
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


class StratifiedNeighborSampler(BaseSampler):
    r"""Samples one hop of neighbours, a stratum each, in plain torch.

    The :math:`d` neighbours of a seed are cut into :math:`k` strata of nearly
    equal size and one is drawn uniformly from each. The draws are distinct; with
    :math:`c_{rj}`, the size of the stratum of :math:`j`, as weight

    .. math::
        \mathbb{E} \sum_{j \in S(r)} c_{rj} \hat{A}_{rj} \mathbf{t}_j
        = (\hat{A} T)_r

    and the variance is at most that of :math:`k` independent draws (stratified
    sampling, Cochran 1977, chapter 5). All neighbours are taken when
    :math:`d \le k`. There is no loop and no rejection, and no relabelling: a
    node that is sampled for two seeds stands twice in the output.

    Usable in PyG's own :class:`~torch_geometric.loader.NodeLoader` and
    :class:`~torch_geometric.loader.LinkLoader`.

    Args:
        operator (CSROperator): The normalised adjacency, rows are targets, such as
            :obj:`graph.matrix`.
        num_neighbors (int, optional): The most neighbours drawn for a seed;
            :obj:`-1` takes all. (default: :obj:`5`)
        generator (torch.Generator, optional): Draws the neighbours. If
            :obj:`None`, torch's global generator does. (default: :obj:`None`)

    Raises:
        ValueError: If :obj:`operator` is none or :obj:`num_neighbors`
            is below :obj:`-1`.

    *Cost:* O(num_seeds x num_neighbors) time a call; no copy of the graph.
    """

    def __init__(
        self,
        operator: CSROperator,
        num_neighbors: int = 5,
        generator: torch.Generator | None = None,
    ) -> None:
        if not isinstance(operator, CSROperator):
            raise ValueError(
                f"Expected 'operator' as a CSROperator (got a "
                f"{type(operator).__name__}); pass 'graph.matrix'"
            )
        if num_neighbors < -1:
            raise ValueError(
                f"Expected 'num_neighbors' to be at least 0, or -1 for all (got "
                f"{num_neighbors})"
            )
        self.operator = operator
        self.num_neighbors = num_neighbors
        self.generator = generator

    def sample(self, seed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        r"""Draws the neighbours of each seed.

        Args:
            seed (torch.Tensor): Node ids :obj:`[num_seeds]`.

        Returns:
            The neighbours' node ids and weights, seed by seed,
            :obj:`[num_sampled_edges]`, and the boundaries :obj:`[num_seeds + 1]`.
        """
        if self.num_neighbors == -1:
            rows = self.operator.take(seed)
            return rows.col.long(), rows.value, rows.rowptr.long()
        rowptr = self.operator.rowptr
        start = rowptr[seed]
        degree = rowptr[seed + 1] - start
        # Stratum t of a seed covers its neighbours [t d / k, (t + 1) d / k), with
        # k = d for a seed of fewer than k neighbours. All is laid out for k strata
        # a seed, in double precision, in which such quotients have an exact floor.
        k = self.num_neighbors
        count = degree.clamp(max=k)
        ptr = torch.cat([count.new_zeros(1), count.cumsum(0)])
        t = torch.arange(k + 1, dtype=torch.double, device=seed.device)
        bound = (t * degree.unsqueeze(1)).div_(count.clamp(min=1).unsqueeze(1)).floor_()
        size = bound.diff(dim=1)
        generator = generator_here(self.generator, seed.device)
        u = torch.rand(seed.numel(), k, device=seed.device, generator=generator)
        edge = torch.addcmul(bound[:, :-1], u, size).long().add_(start.unsqueeze(1))
        # Then the strata in use, the first ones of each seed, are picked.
        used = torch.arange(int(ptr[-1]), device=seed.device)
        shift = k * torch.arange(seed.numel(), device=seed.device) - ptr[:-1]
        used += shift.repeat_interleave(count, output_size=used.numel())
        edge = edge.view(-1).index_select(0, used)
        weight = size.to(self.operator.dtype).view(-1).index_select(0, used)
        weight *= self.operator.value.index_select(0, edge)
        neighbor = self.operator.col.index_select(0, edge).long()
        return neighbor, weight, ptr

    def sample_from_nodes(
        self, index: NodeSamplerInput, **kwargs: object
    ) -> SamplerOutput:
        """Samples from nodes, in PyG's form: seeds first, then their neighbours."""
        out = self._subgraph(index.node.to(self.operator.device))
        out.metadata = (index.input_id, index.time)
        return out

    def sample_from_edges(
        self, index: EdgeSamplerInput, neg_sampling: NegativeSampling | None = None
    ) -> SamplerOutput:
        """Samples from links: their distinct end points and negatives as seeds."""
        device, num_nodes = self.operator.device, self.operator.num_rows
        return sample_links(index, neg_sampling, self._subgraph, num_nodes, device)

    def _subgraph(self, seed: Tensor, time: OptTensor = None) -> WeightedSamplerOutput:
        return WeightedSamplerOutput.one_hop(seed, *self.sample(seed))
