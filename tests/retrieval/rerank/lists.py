"""Candidates of a small catalogue, some of them short, and a step list by list."""

import torch

from ltgnn_pyg.datasets import Interactions
from ltgnn_pyg.retrieval import top_k
from ltgnn_pyg.retrieval.rerank import Candidates
from ltgnn_pyg.scorers import Vectors


def candidates(num=30, num_users=9, num_items=60, dim=8, dtype=torch.double):
    """Row 1 holds three items, row 2 none."""
    generator = torch.Generator().manual_seed(5)
    kwargs = {"generator": generator, "dtype": torch.double}
    user = torch.randn(num_users, dim, **kwargs)
    item = torch.randn(num_items, dim, **kwargs)
    vectors = Vectors(user.to(dtype), item.to(dtype))
    most, every = torch.arange(3, num_items), torch.arange(num_items)
    row = torch.tensor([1, 2]).repeat_interleave(torch.tensor([len(most), num_items]))
    exclude = Interactions(row, torch.cat([most, every]), num_users, num_items)
    user = torch.arange(num_users)
    return vectors, Candidates(user, *top_k(vectors, num, exclude=exclude))


def one_by_one(given, k, worth):
    """Greedy choice in plain Python: `worth(relevance, items, chosen, place)` says what
    a candidate is worth beside the chosen ones, places all.
    """
    out = []
    for score, item in zip(given.score.tolist(), given.item.tolist(), strict=True):
        items = [i for i in item if i >= 0]
        values = score[: len(items)]
        low, high = min(values, default=0.0), max(values, default=0.0)
        relevance = [(s - low) / (high - low or 1.0) for s in values]
        chosen: list[int] = []
        while len(chosen) < min(k, len(items)):
            left = [p for p in range(len(items)) if p not in chosen]
            chosen.append(max(left, key=lambda p: worth(relevance, items, chosen, p)))
        out.append([items[p] for p in chosen] + [-1] * (k - len(chosen)))
    return torch.tensor(out)


def check_lists(given, lists, k):
    """Each item with its own score, pads at the end, as many as there are."""
    assert lists.user.equal(given.user) and lists.item.size() == lists.score.size()
    assert lists.item.size() == (given.item.size(0), k)
    num = (given.item >= 0).sum(1).clamp(max=k)
    assert (lists.item >= 0).equal(torch.arange(k) < num.unsqueeze(1))
    for row in range(given.item.size(0)):
        known = dict(
            zip(given.item[row].tolist(), given.score[row].tolist(), strict=True)
        )
        items = lists.item[row, : num[row]].tolist()
        assert len(set(items)) == len(items)
        assert lists.score[row, : num[row]].tolist() == [known[i] for i in items]
    assert (lists.score[lists.item < 0] == -torch.inf).all()
