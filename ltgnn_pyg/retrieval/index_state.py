from dataclasses import dataclass

import torch
from torch import Tensor

from ltgnn_pyg.retrieval.inverted_lists import InvertedLists
from ltgnn_pyg.retrieval.item_block import ItemBlock, Pairs

NPROBE = 64  #: The lists a search looks into.
SLACK = 100  #: The items that int8 scores offer beyond those asked for.
CHUNK_BYTES = 2**28  #: Of the vectors that are scored anew together.
DEEP = 0.01  #: The share of items beyond which exact search finds them sooner.


@dataclass(frozen=True)
class IndexState:
    """The state that a search of an :class:`~ltgnn_pyg.retrieval.Index` sees. It never
    changes, so that searches need no lock: a change of the index makes another state.

    Args:
        main (ItemBlock): The items at the last build.
        lists (InvertedLists, optional): The same in lists; :obj:`None` if all of them
            are scored.
        delta (ItemBlock): The items added or changed since, all of which are scored;
            in :obj:`main` they do not count any longer.
        next_id (int): The id of the next item that is added.
    """

    main: ItemBlock
    lists: InvertedLists | None
    delta: ItemBlock
    next_id: int

    def search(
        self, query: Tensor, k: int, exclude: Pairs | None, nprobe: int
    ) -> Pairs:
        """The best items, see :meth:`Index.search
        <ltgnn_pyg.retrieval.Index.search>`.

        Queries are searched in groups that look alike deep, as they exclude about as
        many items; exactly, if they look deepest or if their lists hold too few items.
        """
        if self.lists is None:
            return self.exact(query, k, exclude)
        score = query.new_full((len(query), k), -torch.inf)
        item = torch.full_like(score, -1, dtype=torch.long)
        deep = torch.full((len(query),), k)
        if exclude is not None:
            deep += exclude[0].diff()
        left = deep > DEEP * len(self.main)
        group = (deep / k).log2().ceil().masked_fill(left, -1)  # k * 2^group >= deep.
        for level in group.unique().tolist():
            if level < 0:
                continue
            alike = (group == level).nonzero().view(-1)
            m = int(deep[alike].max())
            probes = round(nprobe * max(m / 100, 1.0) ** 0.5)
            size = CHUNK_BYTES // ((m + SLACK) * query.size(1) * 4)
            for rows in alike.split(max(size, 1)):
                pairs = _take(exclude, rows)
                found = self.in_lists(query[rows], k, m, pairs, probes)
                if len(self.delta):
                    found = _merge(found, self.delta.top_k(query[rows], k, pairs))
                score[rows], item[rows] = found
                left[rows] = item[rows, -1] < 0
        rows = left.nonzero().view(-1)
        if len(rows):
            found = self.exact(query[rows], k, _take(exclude, rows))
            score[rows], item[rows] = found
        return score, item

    def exact(self, query: Tensor, k: int, exclude: Pairs | None) -> Pairs:
        """The best items of all."""
        found = self.main.top_k(query, k, exclude)
        if len(self.delta):
            found = _merge(found, self.delta.top_k(query, k, exclude))
        return found

    def in_lists(
        self, query: Tensor, k: int, m: int, exclude: Pairs | None, nprobe: int
    ) -> Pairs:
        """The best :obj:`k` that are not excluded of the best :obj:`m` in lists."""
        main, lists = self.main, self.lists
        assert lists is not None
        if not lists.exact_scores:
            m += SLACK
        score, row = lists.search(query, m, nprobe, main.live_bits)
        if not lists.exact_scores:
            found = row.clamp(min=0)
            exact = torch.bmm(main.item[found], query.unsqueeze(2)).squeeze(2)
            score = (exact + main.bias[found]).masked_fill_(row < 0, -torch.inf)
        item = torch.where(row < 0, row, main.ids[row])
        if exclude is not None:
            rowptr, col = exclude
            at = torch.arange(len(query))
            seen = at.repeat_interleave(rowptr.diff()) * self.next_id + col
            known = torch.isin(at.unsqueeze(1) * self.next_id + item, seen)
            score = score.masked_fill(known & (item >= 0), -torch.inf)
        score, best = score.topk(k)
        return score, item.gather(1, best).masked_fill_(score == -torch.inf, -1)


def _take(exclude: Pairs | None, rows: Tensor) -> Pairs | None:
    """The pairs of some queries."""
    if exclude is None:
        return None
    rowptr, col = exclude
    count = rowptr[rows + 1] - rowptr[rows]
    end = count.cumsum(0)
    at = torch.arange(int(end[-1]), device=col.device)
    at += (rowptr[rows] - end + count).repeat_interleave(count)
    return torch.cat([end.new_zeros(1), end]), col[at]


def _merge(one: Pairs, two: Pairs) -> Pairs:
    """The best of two."""
    k = one[0].size(1)
    score, item = (torch.cat(pair, dim=1) for pair in zip(one, two, strict=True))
    score, at = score.topk(k)
    return score, item.gather(1, at)
