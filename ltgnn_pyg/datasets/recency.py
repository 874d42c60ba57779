import torch
from torch import Tensor

from ltgnn_pyg.datasets.interactions import Interactions
from ltgnn_pyg.datasets.order import check_lines, rank_within_user


def recency_weight(
    interactions: Interactions,
    half_life: float = 0.12,
    floor: float = 0.05,
) -> Tensor:
    r"""Weighs interactions by how recent they are in the history of their user.

    .. math::
        w_b = f + (1 - f) \, 2^{- a_b / h}, \qquad
        a_b = \frac{|\{ b' : u_{b'} = u_b, \, b' \text{ later than } b \}| +
        \frac{1}{2}}{d_{u_b}}

    The age :math:`a_b` is a share of the user's interactions, not a time, so that one
    half-life serves users and datasets of any pace. As edge weights of the graph that
    is *scored over*, they draw a user's embedding to the last items, an item's to the
    users it is new to, and the popularity of items to that of late. The model is
    trained on the graph without weights:

    .. code-block:: python

        weight = recency_weight(split.train)
        recent = dataclasses.replace(split.train, weight=weight)
        scorer = model.scorer(Graph.from_interactions(recent))

    Old interactions weigh exponentially less in `"Time Weight Collaborative Filtering"
    <https://doi.org/10.1145/1099554.1099689>`_, too. This helps for parts that follow
    each other in time (:obj:`split.order` is :obj:`"time"` or :obj:`"lines"`), not for
    random splits.

    Args:
        interactions (Interactions): The interactions. Later is what has the later
            :obj:`time`, in any unit; of the same time, the later line. Without times,
            each user's lines must be in order of time.
        half_life (float, optional): :math:`h`, the age at which an interaction has
            lost half its weight, but for the floor. (default: :obj:`0.12`)
        floor (float, optional): :math:`f` in :math:`[0, 1]`, what the oldest
            keep; 1 weighs all alike. (default: :obj:`0.05`)

    Shapes:
        - **output:** :math:`(E)`, :obj:`float32` in :math:`[f, 1]`

    Raises:
        ValueError: If :obj:`half_life` is not positive, :obj:`floor` is out of its
            range, or there are no times and each user's lines are sorted by item.

    *Cost:* :math:`O(E \log E)` time, :math:`O(E)` memory.
    """
    if not half_life > 0.0 or not 0.0 <= floor <= 1.0:
        raise ValueError(
            "Expected a positive 'half_life' and 'floor' in [0, 1] (got "
            f"{half_life} and {floor}); stay within"
        )
    if interactions.time is None:
        check_lines(interactions, "recency_weight", "weigh all alike")
    user = interactions.user
    num_later, degree = rank_within_user(user, time=interactions.time)
    age = (num_later + 0.5) / degree[user]
    return floor + (1.0 - floor) * torch.exp2(-age / half_life)
