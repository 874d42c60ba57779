"""The door of both loaders: the graph, the training pairs and the negatives."""

import copy
from typing import Any, cast

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.sampler import NegativeSampling

from ltgnn_pyg.graph import CSROperator, Graph
from ltgnn_pyg.sampler import ItemNegativeSampling


def as_graph(data: Data | Graph) -> Graph:
    """The graph of a loader: one, or PyG's homogeneous data of one."""
    return data if isinstance(data, Graph) else Graph.from_data(data)


def training_pairs(edge_label_index: Tensor | None, graph: Graph) -> Tensor:
    """The pairs to train on: those given, or the edges that are recommended.

    Raises:
        ValueError: If they do not lead from users to items.
    """
    if edge_label_index is None:
        edge_label_index = graph.target_edges
    if edge_label_index.dim() != 2 or edge_label_index.size(0) != 2:
        raise ValueError(
            f"Expected 'edge_label_index' of shape [2, num_pairs] (got "
            f"{list(edge_label_index.size())})"
        )
    if edge_label_index.numel() == 0:
        raise ValueError("Expected at least one training pair (got none)")
    user, item = edge_label_index
    is_of = graph.numbering.is_of
    if not bool(is_of("user", user).all() & is_of("item", item).all()):
        raise ValueError(
            f"Expected pairs of users and items of {graph} (got nodes "
            f"{int(user.min())} to {int(user.max())} and {int(item.min())} to "
            f"{int(item.max())}); see 'Graph.pairs'"
        )
    return edge_label_index


def pair_weights(
    edge_label_index: Tensor | None, weight: Tensor | None, graph: Graph
) -> Tensor | None:
    """The weights of the training pairs, of mean 1; :obj:`None` for ones.

    Args:
        edge_label_index (torch.Tensor, optional): The pairs that were given.
        weight (torch.Tensor, optional): Their weights.
        graph (Graph): The graph; its weights are those of its own edges.

    Raises:
        ValueError: If there are not as many.
    """
    if edge_label_index is None and weight is None:
        weight = graph.edges.of_type(0).weight
    if weight is None:
        return None
    num = (graph.target_edges if edge_label_index is None else edge_label_index).size(1)
    if list(weight.size()) != [num]:
        raise ValueError(
            f"Expected 'edge_label_weight' of shape [{num}] (got "
            f"{list(weight.size())}); give one weight a pair"
        )
    if bool((weight == weight[:1]).all()):  # As where other edges alone have weights.
        return None
    return weight / weight.mean()


def items_only(
    neg_sampling: NegativeSampling | str | dict[str, Any] | None,
    graph: Graph,
    generator: torch.Generator | None,
    device: torch.device,
) -> ItemNegativeSampling | None:
    """Turns PyG's triplet sampling into one that draws items only."""
    if neg_sampling is None:
        return None
    num_users, num_items = graph.num_users, graph.num_items
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
    out.numbering = graph.numbering
    return out.to(device)


def log_q(negatives: ItemNegativeSampling | None, graph: Graph) -> Tensor | None:
    """The logarithm of the probability of each node to be drawn as a negative
    :obj:`[num_nodes]`; :obj:`None` if all items are alike, or none are drawn.
    """
    if negatives is None or negatives.q is None:
        return None
    q = negatives.q.new_ones(graph.num_nodes)
    q[graph.nodes("item")] = negatives.q
    return q.float().clamp(min=torch.finfo(torch.float32).tiny).log()


def check_matrix(operator: CSROperator, graph: Graph) -> None:
    """Refuses a sampler over another matrix than that of the graph.

    *Cost:* O(1) for :obj:`graph.matrix` itself; otherwise O(E).
    """
    own = graph.matrix
    same = operator is own or (
        torch.equal(operator.rowptr, own.rowptr)
        and torch.equal(operator.col, own.col)
        and torch.equal(operator.value, own.value)
    )
    if not same:
        raise ValueError(
            "Expected a 'sampler' over the matrix of the graph, both directions of "
            "each edge (got one over another); pass 'graph.matrix' to it"
        )


def check_workers(kwargs: dict[str, Any]) -> None:
    """Refuses workers that outlive an epoch."""
    if kwargs.get("persistent_workers"):
        raise ValueError(
            "Expected 'persistent_workers=False' (got True): workers are seeded "
            "anew for each epoch, or a resumed run would differ"
        )
