import torch
from torch import Tensor


def confidence_weight(
    value: Tensor, alpha: float = 40.0, epsilon: float | None = None
) -> Tensor:
    r"""Weights of pairs from ratings or counts, the confidence of the `"Collaborative
    Filtering for Implicit Feedback Datasets"
    <https://doi.org/10.1109/ICDM.2008.22>`_ paper.

    .. math::
        c_{ui} = 1 + \alpha r_{ui} \qquad \text{or} \qquad
        c_{ui} = 1 + \alpha \log (1 + r_{ui} / \epsilon)

    .. code-block:: python

        interactions = read_interactions("purchases.csv", duplicates="count")
        weight = confidence_weight(interactions.weight, alpha=1.0, epsilon=1.0)
        interactions = dataclasses.replace(interactions, weight=weight)

    Args:
        value (torch.Tensor): :math:`r`, the rating or the count of each pair.
        alpha (float, optional): :math:`\alpha`, the growth. (default: :obj:`40.0`)
        epsilon (float, optional): :math:`\epsilon`, the value from which on the
            growth slows down; if :obj:`None`, it is linear. (default: :obj:`None`)

    Shapes:
        - **value:** :math:`(E)`
        - **output:** :math:`(E)`, at least 1

    Raises:
        ValueError: If a value or :obj:`alpha` is below 0 or none, or :obj:`epsilon`
            is not above 0.

    *Cost:* :math:`O(E)`.
    """
    if not alpha >= 0.0 or not (epsilon is None or epsilon > 0.0):
        raise ValueError(
            f"Expected 'alpha' >= 0 and 'epsilon' > 0 (got {alpha} and {epsilon}); "
            f"stay within"
        )
    value = value if value.is_floating_point() else value.float()
    if not bool(((value >= 0.0) & value.isfinite()).all()):
        raise ValueError(
            f"Expected finite values >= 0 (got {float(value.min())}.."
            f"{float(value.max())}); shift ratings, or split_by_rating"
        )
    return 1.0 + alpha * (value if epsilon is None else torch.log1p(value / epsilon))
