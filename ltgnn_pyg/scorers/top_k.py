from operator import index as as_int

import torch
from torch import Tensor
from torch_geometric.utils import index_sort
from torch_geometric.utils.sparse import index2ptr

from ltgnn_pyg.datasets.interactions import Interactions
from ltgnn_pyg.scorers.query import Query, Rows
from ltgnn_pyg.scorers.scorer import Scorer

GROUP_SIZE = 16  # One cache line of float32: rows of scores stay aligned.


@torch.no_grad()
def top_k(
    scorer: Scorer,
    k: int,
    *,
    user: Tensor | None = None,
    query: Query | None = None,
    exclude: Interactions | Rows | None = None,
    chunk_bytes: int = 2**28,
) -> tuple[Tensor, Tensor]:
    r"""The :math:`k` items with the largest scores for each user

    .. math::
        \mathcal{T}_u = \underset{i \notin \mathcal{E}_u}
        {\mathrm{arg\,top}k} \; s_{ui}

    by exact search, where :math:`\mathcal{E}_u` holds the items excluded for
    :math:`u`, *e.g.*, those the user has already seen.
    Scores are computed for a chunk of users at a time. The columns of a chunk are
    cut into groups: the :math:`k` groups with the largest maxima hold its :math:`k`
    largest scores, so only those are ranked.

    Half-precision vectors are scored in :obj:`float32`. Ties are broken
    arbitrarily. A row with :math:`k^{\prime} < k` candidates left is filled up
    with score :obj:`-inf` and item :obj:`-1`, as in
    :class:`torch_geometric.nn.pool.KNNIndex`.

    Args:
        scorer (Scorer): The scorer: :class:`~ltgnn_pyg.scorers.Vectors`, a filter of
            :mod:`ltgnn_pyg.scorers.filters`, or any other.
        k (int): The number of items to return for each user.
        user (torch.Tensor, optional): The users to query, in any order, with or
            without repeats. If :obj:`None`, queries all of them.
            (default: :obj:`None`)
        query (Query, optional): Queries in place of :obj:`user`, such as those of
            anybody by what they have taken. (default: :obj:`None`)
        exclude (Interactions or tuple, optional): The pairs never to return; as
            :obj:`(rowptr, col)` over the users and the items, counted from 0, they
            need no sorting in every call. Of queries without users, the items of each
            query. (default: :obj:`None`)
        chunk_bytes (int, optional): The memory the scores of a chunk may take;
            a chunk holds at least one row. (default: :obj:`2**28`)

    Shapes:
        - **input:** :obj:`user` :math:`(Q)`, :obj:`exclude` :math:`(U + 1), (E)`
        - **output:** scores and items, counted from 0, :math:`(Q, k)`, in
          descending order of score; :math:`Q = U` if :obj:`user` is :obj:`None`

    Raises:
        ValueError: If shapes, types or ranges of the arguments do not fit, or
            if the best score of a user overflows.

    *Cost:* That of the scores, for vectors :math:`O(Q I D)` time, :math:`O(Q k + E)`
    memory beyond a chunk, and :math:`O(E \log E)` time to sort :obj:`exclude`.
    """
    k = as_int(k)
    if k < 1 or chunk_bytes < 1:
        raise ValueError(
            f"Expected 'k' >= 1 and 'chunk_bytes' >= 1 (got {k} and {chunk_bytes}); "
            "raise them"
        )
    device, dtype = scorer.device, scorer.dtype
    if query is None:
        query = Query(_users(scorer, user))
    elif user is not None:
        raise ValueError("Expected one of 'user' and 'query' (got both); pass one")
    elif query.user is not None:
        _users(scorer, query.user)
    query = query.to(device)
    # The row of 'exclude' that belongs to each query.
    user = query.user
    place = torch.arange(len(query), device=device) if user is None else user
    if exclude is not None:
        num_rows = len(query) if user is None else scorer.num_users
        rowptr, col = _to_csr(exclude, scorer, place, num_rows)

    num_items = scorer.num_items
    num_groups = -(-num_items // GROUP_SIZE)
    k_item, k_group = min(k, num_items), min(k, num_groups)

    out = torch.full((len(query), k), -torch.inf, dtype=dtype, device=device)
    out_item = torch.full_like(out, -1, dtype=torch.long)

    width = GROUP_SIZE * num_groups  # The padding stays at -inf throughout.
    step = max(chunk_bytes // (width * dtype.itemsize), 1)
    chunk = out.new_full((min(step, len(query)), width), -torch.inf)

    for start in range(0, len(query), step):
        part = query[start : start + step]
        score = chunk[: len(part)]
        scorer.score(part, out=score[:, :num_items])

        if exclude is not None:
            index = place[start : start + step]
            count = rowptr[index + 1] - rowptr[index]
            row = torch.arange(index.numel(), device=device)
            row = row.repeat_interleave(count)
            offset = (rowptr[index] - count.cumsum(0) + count)[row]
            offset += torch.arange(row.numel(), device=device)
            score[row, col[offset]] = -torch.inf

        # Column i is in group i % num_groups, so that maxima vectorize:
        score = score.view(-1, GROUP_SIZE, num_groups)
        group = score.amax(dim=1).topk(k_group, sorted=False)[1]
        score = score.gather(2, group.unsqueeze(1).expand(-1, GROUP_SIZE, -1))
        score, pos = score.flatten(1).topk(k_item)
        pos = (pos // k_group) * num_groups + group.gather(1, pos % k_group)

        out[start : start + step, :k_item] = score
        pos.masked_fill_(score == -torch.inf, -1)
        out_item[start : start + step, :k_item] = pos

    if not (out[:, 0] < torch.inf).all():  # NaN ranks first.
        raise ValueError(
            f"Expected scores within the range of {dtype} (got NaN or inf); scale the "
            "vectors down"
        )
    return out, out_item


def _check_range(name: str, index: Tensor, size: int) -> None:
    if index.dtype != torch.long:
        raise ValueError(
            f"Expected '{name}' of type int64 (got {index.dtype}); convert it"
        )
    if index.numel() > 0 and (index.min() < 0 or index.max() >= size):
        raise ValueError(
            f"Expected '{name}' in [0, {size}) (got {int(index.min())} to "
            f"{int(index.max())}); users and items are counted from 0 here"
        )


def _users(scorer: Scorer, user: Tensor | None) -> Tensor:
    """The users that are queried."""
    if user is None:
        return torch.arange(scorer.num_users, device=scorer.device)
    if user.dim() != 1:
        raise ValueError(f"Expected 'user' [Q] (got {list(user.size())}); flatten it")
    _check_range("user", user, scorer.num_users)
    return user


def _to_csr(
    exclude: Interactions | Rows, scorer: Scorer, place: Tensor, num_rows: int
) -> Rows:
    """The pairs never to return, by rows; those of others may be left out."""
    if isinstance(exclude, Interactions):
        given = scorer.check(exclude, "exclude")
        row, col = given.user, given.item
        queried = torch.zeros(num_rows, dtype=torch.bool, device=row.device)
        queried[place] = True
        mask = queried[row]  # Sort no more than needed.
        row, col = row[mask], col[mask]
        row, perm = index_sort(row, max_value=num_rows)
        return index2ptr(row, num_rows), col[perm]
    rowptr, col = (index.to(place.device) for index in exclude)
    if rowptr.numel() != num_rows + 1 or rowptr[0] != 0 or rowptr[-1] != len(col):
        raise ValueError(
            f"Expected 'rowptr' of {num_rows + 1} entries from 0 to {len(col)} in "
            f"'exclude' (got {rowptr}); pass interactions"
        )
    _check_range("exclude[1]", col, scorer.num_items)
    return rowptr, col
