import numpy as np
import pytest
import torch
from torch_geometric.utils import index_sort
from torch_geometric.utils.sparse import index2ptr

from ltgnn_pyg import Graph
from ltgnn_pyg.datasets import Interactions
from ltgnn_pyg.retrieval import top_k
from ltgnn_pyg.scorers import FoldIn, Query, Vectors

devices = ["cpu"] + ["cuda"] * torch.cuda.is_available()


def reference(vectors, k, exclude=None):
    score = vectors.user @ vectors.item.t()
    if vectors.item_bias is not None:
        score = score + vectors.item_bias
    if exclude is not None:
        score[exclude.user, exclude.item] = -torch.inf
    score, item = score.sort(dim=1, descending=True)
    item[score == -torch.inf] = -1
    return score[:, :k], item[:, :k]


def random_inputs(num_users=23, num_items=57, num_exclude=300, bias=True):
    generator = torch.Generator().manual_seed(12)
    user = torch.randn(num_users, 8, generator=generator, dtype=torch.double)
    item = torch.randn(num_items, 8, generator=generator, dtype=torch.double)
    item_bias = 3 * torch.randn(num_items, generator=generator, dtype=torch.double)
    row = torch.randint(num_users, (num_exclude,), generator=generator)
    col = torch.randint(num_items, (num_exclude,), generator=generator)
    vectors = Vectors(user, item, item_bias if bias else None)
    return vectors, Interactions(row, col, num_users, num_items)


# Fewer and more groups than `k`, whole and ragged groups, all items:
@pytest.mark.parametrize("num_items", [1, 5, 16, 57, 640, 1000])
@pytest.mark.parametrize("k", [1, 3, 20])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("device", devices)
def test_top_k(num_items, k, bias, device):
    vectors, exclude = random_inputs(num_items=num_items, bias=bias)
    vectors, exclude = vectors.to(device), exclude.to(device)
    for pairs in [None, exclude]:
        score, item = top_k(vectors, k, exclude=pairs)
        assert score.size() == item.size() == (vectors.num_users, k)
        expected = reference(vectors, k, pairs)
        width = min(k, num_items)
        torch.testing.assert_close(score[:, :width], expected[0])
        assert item[:, :width].equal(expected[1])
        assert (score[:, width:] == -torch.inf).all()
        assert (item[:, width:] == -1).all()


@pytest.mark.parametrize("chunk_bytes", [1, 64 * 8 * 5, 2**28])
def test_chunks_agree(chunk_bytes):
    vectors, exclude = random_inputs()
    score, item = top_k(vectors, 7, exclude=exclude, chunk_bytes=chunk_bytes)
    expected = reference(vectors, 7, exclude)
    torch.testing.assert_close(score, expected[0])
    assert item.equal(expected[1])


@pytest.mark.parametrize("chunk_bytes", [1, 2**28])
def test_some_users(chunk_bytes):
    vectors, exclude = random_inputs()
    user = torch.tensor([4, 0, 22, 4, 9])  # Any order, with repeats.
    expected = reference(vectors, 6, exclude)
    score, item = top_k(vectors, 6, user=user, exclude=exclude, chunk_bytes=chunk_bytes)
    torch.testing.assert_close(score, expected[0][user])
    assert item.equal(expected[1][user])

    score, item = top_k(vectors, 6, user=user[:0], exclude=exclude)
    assert score.size() == item.size() == (0, 6)


def test_exclude_forms():
    vectors, exclude = random_inputs()
    expected = top_k(vectors, 5, exclude=exclude)[1]

    row, perm = index_sort(exclude.user)
    csr = (index2ptr(row, 23), exclude.item[perm])
    assert top_k(vectors, 5, exclude=csr)[1].equal(expected)

    expected = top_k(vectors, 5)[1]
    assert top_k(vectors, 5, exclude=exclude[:0])[1].equal(expected)


def test_candidates_run_out():
    vectors = Vectors(
        torch.tensor([[1.0], [-1.0], [1.0]]), torch.tensor([[1.0], [2.0], [3.0]])
    )
    user, item = torch.tensor([[0, 0, 1, 2, 2, 2, 2], [2, 0, 1, 0, 1, 2, 2]])
    exclude = Interactions(user, item, 3, 3)
    score, item = top_k(vectors, 2, exclude=exclude)
    inf = torch.inf
    assert score.tolist() == [[2.0, -inf], [-1.0, -3.0], [-inf, -inf]]
    assert item.tolist() == [[1, -1], [0, 2], [-1, -1]]


def test_ties():
    vectors = Vectors(torch.ones(4, 2), torch.ones(100, 2))
    user, item = torch.arange(4).repeat(90), torch.arange(360) // 4
    exclude = Interactions(user, item, 4, 100)
    score, item = top_k(vectors, 9, exclude=exclude)
    assert (score == 2).all() and (item >= 90).all()
    assert all(len(row.unique()) == 9 for row in item)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.half, torch.float])
def test_low_precision_is_scored_in_float(dtype):
    vectors, exclude = random_inputs()
    vectors = vectors.to(dtype)
    score, item = top_k(vectors, 5, exclude=exclude)
    expected = reference(vectors.to(torch.float), 5, exclude)
    assert score.dtype == torch.float
    torch.testing.assert_close(score, expected[0])
    assert item.equal(expected[1])


def test_leaves_inputs_alone():
    vectors, exclude = random_inputs()
    vectors.user.requires_grad_()
    inputs = [vectors.user, vectors.item, vectors.item_bias]
    inputs += [exclude.user, exclude.item]
    copies = [x.clone() for x in inputs]
    score, _ = top_k(vectors, 5, exclude=exclude)
    assert not score.requires_grad
    assert all(x.equal(y) for x, y in zip(inputs, copies, strict=True))


def test_numpy_k():
    vectors, _ = random_inputs()
    assert top_k(vectors, np.int64(5))[1].equal(top_k(vectors, 5)[1])


def test_overflow_is_an_error():
    vectors = Vectors(torch.full((2, 2), 1e30), torch.full((3, 2), 1e30))
    with pytest.raises(ValueError, match="within the range"):
        top_k(vectors, 2)


def test_errors():
    vectors, exclude = random_inputs()
    row, col = exclude.user, exclude.item
    other = Interactions(row, col, 24, 57)
    for k, kwargs, match in [
        (0, {}, "'k' >= 1"),
        (5, {"chunk_bytes": 0}, "'chunk_bytes' >= 1"),
        (5, {"user": torch.tensor([23])}, r"\[0, 23\)"),
        (5, {"user": torch.tensor([-1])}, r"\[0, 23\)"),
        (5, {"user": torch.tensor([1.0])}, "int64"),
        (5, {"user": torch.tensor([[1]])}, r"'user' \[Q\]"),
        (5, {"exclude": (row, col)}, "'rowptr' of 24 entries"),
        (5, {"exclude": (row[:0], col[:0])}, "'rowptr' of 24 entries"),
        (5, {"exclude": other}, "'exclude' of 23 users and 57 items"),
        (5, {"exclude": (index2ptr(row.sort()[0], 23), col + 23)}, r"\[0, 57\)"),
        (5, {"user": row, "query": Query(row)}, "one of 'user' and 'query'"),
    ]:
        with pytest.raises(ValueError, match=match):
            top_k(vectors, k, **kwargs)


def of_queries(scorer, query, k, exclude=None):
    """All scores, sorted, query by query."""
    score = scorer.score(query).clone()
    for row, items in enumerate(exclude or []):
        score[row, items] = -torch.inf
    score, item = score.sort(dim=1, descending=True)
    item[score == -torch.inf] = -1
    return score[:, :k], item[:, :k]


@pytest.mark.parametrize("chunk_bytes", [1, 64 * 8 * 2, 2**28])
def test_queries(chunk_bytes):
    """Of users, of items, of both: the rows of 'exclude' are theirs."""
    vectors, exclude = random_inputs()
    graph = Graph.from_interactions(exclude)
    scorer = FoldIn(vectors, graph.item_degree, 0.2, graph.rows)
    lists = [[3, 9], [], [56], [0, 1, 2], [9]]
    items, user = Query.of_items(lists).items, torch.tensor([22, 4, 4, 0, 9])
    none = [[]] * 5
    known = [exclude.item[exclude.user == u].tolist() for u in user.tolist()]
    for query, given, seen in [
        (Query(user), None, none),
        (Query(user), exclude, known),
        (Query(items=items), None, none),
        (Query(items=items), items, lists),
        (Query(user, items), None, none),
        (Query(user, items), exclude, known),
    ]:
        found = top_k(scorer, 6, query=query, exclude=given, chunk_bytes=chunk_bytes)
        expected = of_queries(scorer, query, 6, seen)
        torch.testing.assert_close(found[0], expected[0])
        assert found[1].equal(expected[1])
    found = top_k(scorer, 6, query=Query(user), exclude=exclude)
    expected = top_k(scorer, 6, user=user, exclude=exclude)
    assert found[0].equal(expected[0]) and found[1].equal(expected[1])


def test_queries_that_do_not_fit():
    scorer = FoldIn(random_inputs()[0], torch.ones(57))
    items = Query.of_items([[3], [9]])
    two = torch.tensor([0, 23])
    for query, kwargs, match in [
        (Query(two), {}, r"'user' in \[0, 23\)"),
        (Query.of_items([[57]]), {}, r"items in \[0, 57\)"),
        (Query.of_items([[-1]]), {}, r"items in \[0, 57\)"),
        (Query(two[:1], Query.of_items([[3]]).items), {}, "pass 'seen'"),
        (items, {"exclude": Query.of_items([[3]]).items}, "'rowptr' of 3 entries"),
    ]:
        with pytest.raises(ValueError, match=match):
            top_k(scorer, 5, query=query, **kwargs)
