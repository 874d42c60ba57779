import torch
from torch import Tensor

from ltgnn_pyg.scorers.top_k import top_k
from ltgnn_pyg.scorers.vectors import Vectors


def similar_items(
    vectors: Vectors, k: int, *, item: Tensor | None = None, chunk_bytes: int = 2**28
) -> tuple[Tensor, Tensor]:
    r"""The :math:`k` items whose vectors have the largest cosine with each item

    .. math::
        \mathcal{T}_i = \underset{j \ne i}{\mathrm{arg\,top}k} \;
        \frac{\mathbf{z}_i^{\top} \mathbf{z}_j}{|\mathbf{z}_i| |\mathbf{z}_j|}

    For inner products, which prefer items with long vectors, ask
    :meth:`~ltgnn_pyg.scorers.top_k` for :obj:`Vectors(vectors.item,
    vectors.item)`.

    Args:
        vectors (Vectors): The vectors; biases have no part.
        k (int): The number of neighbours of each item.
        item (torch.Tensor, optional): The items to look from, counted from 0. If
            :obj:`None`, looks from all of them. (default: :obj:`None`)
        chunk_bytes (int, optional): The memory the scores of a chunk may take.
            (default: :obj:`2**28`)

    Shapes:
        - **input:** :obj:`item` :math:`(Q)`
        - **output:** cosines and items :math:`(Q, k)`, as of
          :meth:`~ltgnn_pyg.scorers.top_k`; :math:`Q = I` if :obj:`item` is
          :obj:`None`

    Raises:
        ValueError: If shapes, types or ranges of the arguments do not fit.

    *Cost:* :math:`O(Q I D)` time.
    """
    return _similar(vectors.normalize().item, k, item, chunk_bytes)


def similar_users(
    vectors: Vectors, k: int, *, user: Tensor | None = None, chunk_bytes: int = 2**28
) -> tuple[Tensor, Tensor]:
    r"""The :math:`k` users whose vectors have the largest cosine with each user,
    as :meth:`similar_items` does for items.

    Args:
        vectors (Vectors): The vectors.
        k (int): The number of neighbours of each user.
        user (torch.Tensor, optional): The users to look from. If :obj:`None`, looks
            from all of them. (default: :obj:`None`)
        chunk_bytes (int, optional): The memory the scores of a chunk may take.
            (default: :obj:`2**28`)

    Shapes:
        - **input:** :obj:`user` :math:`(Q)`
        - **output:** cosines and users :math:`(Q, k)`

    Raises:
        ValueError: If shapes, types or ranges of the arguments do not fit.

    *Cost:* :math:`O(Q U D)` time.
    """
    return _similar(vectors.normalize().user, k, user, chunk_bytes)


def _similar(
    unit: Tensor, k: int, index: Tensor | None, chunk_bytes: int
) -> tuple[Tensor, Tensor]:
    ptr = torch.arange(unit.size(0) + 1, device=unit.device)
    itself = (ptr, ptr[:-1])  # Row i holds i.
    return top_k(
        Vectors(unit, unit), k, user=index, exclude=itself, chunk_bytes=chunk_bytes
    )
