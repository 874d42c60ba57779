import torch
from torch import Tensor
from torch_geometric.utils import index_sort
from torch_geometric.utils.sparse import index2ptr

GROUP_SIZE = 16  # One cache line of float32: rows of scores stay aligned.


@torch.no_grad()
def top_k(
    src: Tensor,
    dst: Tensor,
    k: int,
    *,
    src_index: Tensor | None = None,
    exclude: Tensor | tuple[Tensor, Tensor] | None = None,
    chunk_bytes: int = 2**28,
) -> tuple[Tensor, Tensor]:
    r"""Exact maximum inner product search: the :math:`k` rows of :obj:`dst`
    with the largest inner product for each row of :obj:`src`

    .. math::
        \mathcal{T}_u = \underset{i \notin \mathcal{E}_u}
        {\mathrm{arg\,top}k} \; \mathbf{z}_u^{\top} \mathbf{z}_i

    where :math:`\mathcal{E}_u` holds the rows excluded for :math:`u`, *e.g.*,
    the items a user has already seen.
    Scores are computed for a chunk of :obj:`src` at a time. The columns of a
    chunk are cut into groups: the :math:`k` groups with the largest maxima hold
    its :math:`k` largest scores, so only those are ranked.

    Half-precision embeddings are scored in :obj:`float32`. Ties are broken
    arbitrarily. A row with :math:`k^{\prime} < k` candidates left is filled up
    with score :obj:`-inf` and index :obj:`-1`, as in
    :class:`torch_geometric.nn.pool.KNNIndex`.

    Args:
        src (torch.Tensor): The query embeddings.
        dst (torch.Tensor): The item embeddings.
        k (int): The number of items to return for each query.
        src_index (torch.Tensor, optional): The rows of :obj:`src` to query, in
            any order, with or without repeats. If :obj:`None`, queries all of
            them. (default: :obj:`None`)
        exclude (torch.Tensor or tuple, optional): The pairs never to return,
            indices into the rows of :obj:`src` (not into :obj:`src_index`) and
            of :obj:`dst`: either an :obj:`edge_index` in any order, or
            :obj:`(rowptr, col)`, which saves sorting it in every call.
            (default: :obj:`None`)
        chunk_bytes (int, optional): The memory the scores of a chunk may take;
            a chunk holds at least one row. (default: :obj:`2**28`)

    Shapes:
        - **input:** :obj:`src` :math:`(S, D)`, :obj:`dst` :math:`(I, D)`,
          :obj:`src_index` :math:`(Q)`, :obj:`exclude` :math:`(2, E)` or
          :math:`(S + 1), (E)`
        - **output:** scores and indices :math:`(Q, k)`, in descending order of
          score; :math:`Q = S` if :obj:`src_index` is :obj:`None`

    Raises:
        ValueError: If shapes, types or ranges of the arguments do not fit, or
            if the best score of a query is NaN or inf.

    *Cost:* :math:`O(Q I D)` time, :math:`O(Q k + E)` memory beyond a chunk, and
    :math:`O(E \log E)` time to sort :obj:`exclude`.
    """
    _check(src, dst, k, src_index, chunk_bytes)
    if src_index is None:
        src_index = torch.arange(src.size(0), device=src.device)
    if exclude is not None:
        rowptr, col = _to_csr(exclude, src, dst, src_index)

    dtype = torch.promote_types(src.dtype, torch.float32)
    dst = dst.to(dtype)
    num_dst, num_groups = dst.size(0), -(-dst.size(0) // GROUP_SIZE)
    k_dst, k_group = min(k, num_dst), min(k, num_groups)

    out = dst.new_full((src_index.numel(), k), -torch.inf)
    out_index = torch.full_like(out, -1, dtype=torch.long)

    width = GROUP_SIZE * num_groups  # The padding stays at -inf throughout.
    step = max(chunk_bytes // (width * dst.element_size()), 1)
    chunk = dst.new_full((min(step, src_index.numel()), width), -torch.inf)

    for start in range(0, src_index.numel(), step):
        index = src_index[start : start + step]
        score = chunk[: index.numel()]
        torch.mm(src[index].to(dtype), dst.t(), out=score[:, :num_dst])

        if exclude is not None:
            count = rowptr[index + 1] - rowptr[index]
            row = torch.arange(index.numel(), device=src.device)
            row = row.repeat_interleave(count)
            offset = (rowptr[index] - count.cumsum(0) + count)[row]
            offset += torch.arange(row.numel(), device=src.device)
            score[row, col[offset]] = -torch.inf

        # Column i is in group i % num_groups, so that maxima vectorize:
        score = score.view(-1, GROUP_SIZE, num_groups)
        group = score.amax(dim=1).topk(k_group, sorted=False)[1]
        score = score.gather(2, group.unsqueeze(1).expand(-1, GROUP_SIZE, -1))
        score, pos = score.flatten(1).topk(k_dst)
        pos = (pos // k_group) * num_groups + group.gather(1, pos % k_group)

        out[start : start + step, :k_dst] = score
        pos.masked_fill_(score == -torch.inf, -1)
        out_index[start : start + step, :k_dst] = pos

    if not (out[:, 0] < torch.inf).all():  # NaN ranks first.
        raise ValueError("Expected finite embeddings, got scores of NaN or inf")
    return out, out_index


def _check(
    src: Tensor, dst: Tensor, k: int, src_index: Tensor | None, chunk_bytes: int
) -> None:
    if src.dim() != 2 or dst.dim() != 2 or src.size(1) != dst.size(1):
        raise ValueError(
            f"Expected 'src' [S, D] and 'dst' [I, D], got {list(src.size())} and "
            f"{list(dst.size())}"
        )
    if src.dtype != dst.dtype or not src.is_floating_point():
        raise ValueError(
            f"Expected 'src' and 'dst' of one floating-point type, got {src.dtype} "
            f"and {dst.dtype}: convert with 'dst.to(src.dtype)'"
        )
    if dst.size(0) == 0 or k < 1 or chunk_bytes < 1:
        raise ValueError(
            f"Expected at least one row in 'dst', 'k' >= 1 and 'chunk_bytes' >= 1, "
            f"got {dst.size(0)}, {k} and {chunk_bytes}"
        )
    if src_index is not None:
        if src_index.dim() != 1:
            raise ValueError(f"Expected 'src_index' [Q], got {list(src_index.size())}")
        _check_range("src_index", src_index, src.size(0))


def _check_range(name: str, index: Tensor, size: int) -> None:
    if index.dtype != torch.long:
        raise ValueError(f"Expected '{name}' of type int64, got {index.dtype}")
    if index.numel() > 0 and (index.min() < 0 or index.max() >= size):
        raise ValueError(
            f"Expected '{name}' in [0, {size}), got values from {int(index.min())} "
            f"to {int(index.max())}"
        )


def _to_csr(
    exclude: Tensor | tuple[Tensor, Tensor], src: Tensor, dst: Tensor, src_index: Tensor
) -> tuple[Tensor, Tensor]:
    num_src = src.size(0)
    if isinstance(exclude, Tensor):
        if exclude.dim() != 2 or exclude.size(0) != 2:
            raise ValueError(
                f"Expected 'exclude' [2, E] or '(rowptr, col)', got "
                f"{list(exclude.size())}"
            )
        row, col = exclude.unbind()
        _check_range("exclude[0]", row, num_src)
        queried = torch.zeros(num_src, dtype=torch.bool, device=row.device)
        queried[src_index] = True
        mask = queried[row]  # Sort no more than needed.
        row, col = row[mask], col[mask]
        row, perm = index_sort(row, max_value=num_src)
        rowptr, col = index2ptr(row, num_src), col[perm]
    else:
        rowptr, col = exclude
        if rowptr.numel() != num_src + 1 or rowptr[0] != 0 or rowptr[-1] != len(col):
            raise ValueError(
                f"Expected 'rowptr' of {num_src + 1} entries from 0 to {len(col)} in "
                f"'exclude', got {rowptr}: a pair of rows is no '(rowptr, col)', stack "
                f"it to an edge index [2, E]"
            )
    _check_range("exclude[1]", col, dst.size(0))
    return rowptr, col
