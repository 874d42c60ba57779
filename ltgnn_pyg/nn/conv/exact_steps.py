from torch import Tensor

from ltgnn_pyg.graph import Operator, polynomial


def exact_steps(x: Tensor, operator: Operator, alpha: float, K: int) -> Tensor:
    r"""Takes :math:`K` steps towards the fixed point of `personalised propagation
    <https://arxiv.org/abs/1810.05997>`_, from :math:`Z^{(0)} = X`.

    .. math::
        Z^{(k)} = (1 - \alpha) \hat{A} Z^{(k-1)} + \alpha X

    Args:
        x (torch.Tensor): The node features :obj:`[num_nodes, dim]`.
        operator (Operator): :math:`\hat{A}`, such as :obj:`graph.operator`.
        alpha (float): The teleport probability in :math:`[0, 1]`.
        K (int): The number of steps.

    Returns:
        :obj:`[num_nodes, dim]`, of the type of :obj:`x`.

    *Cost:* That of :math:`K` sparse products.
    """
    return polynomial(x, operator, exact_coefficients(alpha, K))


def exact_coefficients(alpha: float, K: int) -> list[float]:
    r"""The weights of :math:`\hat{A}^0 X, \ldots, \hat{A}^K X` in :math:`Z^{(K)}`.

    .. math::
        \alpha, \; \alpha (1 - \alpha), \; \ldots, \;
        \alpha (1 - \alpha)^{K - 1}, \; (1 - \alpha)^K
    """
    return [alpha * (1.0 - alpha) ** k for k in range(K)] + [(1.0 - alpha) ** K]
