"""The door of both loaders: the graph, the training pairs and the negatives."""

import copy
from typing import Any, cast

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.sampler import NegativeSampling
from torch_geometric.typing import OptTensor

from ltgnn_pyg.graph.adjacency import is_symmetric, normalized_adj, to_coo
from ltgnn_pyg.sampler import ItemNegativeSampling


def read_size(data: Data) -> tuple[int, int]:
    """The numbers of users and of nodes of a graph.

    Raises:
        ValueError: If they are missing or contradict each other.
    """
    num_nodes, num_users = data.num_nodes, data.get("num_users")
    if num_users is None or num_nodes is None or not 0 < num_users < num_nodes:
        raise ValueError(
            f"Expected 'data.num_users' between 0 and 'data.num_nodes' (got "
            f"{num_users} of {num_nodes}); set both"
        )
    return int(num_users), int(num_nodes)


def read_graph(data: Data) -> tuple[Tensor, OptTensor]:
    """The edges of a graph, sources first, and their weights."""
    graph = "adj_t" if data.get("edge_index") is None else "edge_index"
    if data.get(graph) is None:
        raise ValueError("Expected 'data.edge_index' or 'data.adj_t' (got neither)")
    return to_coo(data[graph], data.get("edge_weight"))


def normalize(edge_index: Tensor, edge_weight: OptTensor, num_nodes: int) -> Tensor:
    """The normalised matrix of a graph, which must be symmetric.

    Raises:
        ValueError: If an edge lacks its reverse, or its weight differs there.

    *Cost:* O(E log E) time.
    """
    adj_t = normalized_adj(edge_index, edge_weight, num_nodes)
    check_symmetric(adj_t)
    return adj_t


def check_symmetric(adj_t: Tensor) -> None:
    """Refuses a matrix that differs from its transpose."""
    if not is_symmetric(adj_t):
        raise ValueError(
            "Expected both directions of each edge, of the same weight (got edges "
            "whose reverse is missing or weighs otherwise); append "
            "'edge_index.flip(0)' to the edges and their weights to the weights"
        )


def training_pairs(
    edge_label_index: Tensor | None,
    edge_index: Tensor | None,
    num_users: int,
    num_nodes: int,
) -> Tensor:
    """The pairs to train on: those given, or the edges from users to items.

    Raises:
        ValueError: If they do not lead from users to items.
    """
    if edge_label_index is None:
        assert edge_index is not None
        source, target = edge_index
        edge_label_index = edge_index[:, (source < num_users) & (target >= num_users)]
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
    return edge_label_index


def items_only(
    neg_sampling: NegativeSampling | str | dict[str, Any] | None,
    num_users: int,
    num_items: int,
    generator: torch.Generator | None,
    device: torch.device,
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
    return out.to(device)


def log_q(negatives: ItemNegativeSampling | None, num_users: int) -> Tensor | None:
    """How likely each node is drawn as a negative, a logarithm :obj:`[num_nodes]`;
    :obj:`None` if all items are alike, or none are drawn.
    """
    if negatives is None or negatives.q is None:
        return None
    q = torch.cat([negatives.q.new_ones(num_users), negatives.q])
    return q.float().clamp(min=torch.finfo(torch.float32).tiny).log()


def check_workers(kwargs: dict[str, Any]) -> None:
    """Refuses workers that outlive an epoch."""
    if kwargs.get("persistent_workers"):
        raise ValueError(
            "Expected 'persistent_workers=False' (got True): workers are seeded "
            "anew for each epoch, or a resumed run would differ"
        )
