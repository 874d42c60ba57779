import dataclasses

import pytest
import torch

from ltgnn_pyg.retrieval import top_k
from ltgnn_pyg.scorers import Query, Vectors


def test_sizes_and_parts():
    z, bias = torch.randn(7, 3), torch.randn(5)
    vectors = Vectors(z[:2], z[2:], bias)
    assert (vectors.num_users, vectors.num_items, vectors.dim) == (2, 5, 3)
    assert vectors.item.data_ptr() == z[2:].data_ptr()  # No copy.
    assert vectors.item_bias is bias and vectors.as_vectors is vectors
    with pytest.raises(dataclasses.FrozenInstanceError):
        vectors.user = z


def test_a_bias_is_a_column():
    """The score of a biased item is that of a longer vector."""
    user, item, bias = torch.randn(9, 4), torch.randn(33, 4), torch.randn(33)
    score, best = top_k(Vectors(user, item, bias), 5)
    long = Vectors(
        torch.cat([user, torch.ones(9, 1)], 1),
        torch.cat([item, bias.view(-1, 1)], 1),
    )
    expected = top_k(long, 5)
    torch.testing.assert_close(score, expected[0])
    assert best.equal(expected[1])


def test_to():
    vectors = Vectors(torch.randn(2, 3), torch.randn(4, 3), torch.randn(4))
    other = vectors.to(torch.double)
    assert other.user.dtype == other.item.dtype == other.item_bias.dtype == torch.double
    assert other.to("cpu").item.equal(other.item)
    assert other.to(torch.float).item_bias.equal(vectors.item_bias)
    assert Vectors(vectors.user, vectors.item).to(torch.half).item_bias is None


def test_normalize():
    user = torch.tensor([[3.0, 4.0], [0.0, 0.0]])
    item = torch.tensor([[0.0, 2.0]])
    unit = Vectors(user, item, torch.ones(1)).normalize()
    torch.testing.assert_close(unit.user, torch.tensor([[0.6, 0.8], [0.0, 0.0]]))
    assert unit.item.tolist() == [[0.0, 1.0]] and unit.item_bias is None
    assert Vectors(user.half(), item.half()).normalize().user.dtype == torch.float


def test_no_users():
    vectors = Vectors(torch.zeros(0, 3), torch.randn(4, 3))
    assert top_k(vectors, 2)[1].size() == (0, 2)


def test_errors():
    user, item, bias = torch.randn(3, 8), torch.randn(5, 8), torch.randn(5)
    nan = torch.full_like(item, torch.nan)
    for args, match in [
        ((user[0], item), r"'user' \[U, D\]"),
        ((user[:, 1:], item), r"'user' \[U, D\]"),
        ((user, item[:0]), "at least one item"),
        ((user, item, bias[1:]), r"'item_bias' \[5\]"),
        ((user, item, bias.view(-1, 1)), r"'item_bias' \[5\]"),
        ((user.double(), item), "'item' of torch.float32 and 'user' of torch.float64"),
        ((user.long(), item.long()), "one floating-point type"),
        ((user, item, bias.double()), "'item_bias' of torch.float64"),
        ((user, item.to("meta")), "one device"),
        ((user, nan), "finite 'item'"),
        ((user * torch.inf, item), "finite 'user'"),
        ((user, item, nan[:, 0]), "finite 'item_bias'"),
    ]:
        with pytest.raises(ValueError, match=match):
            Vectors(*args)
    vectors, items = Vectors(user, item), (torch.tensor([0, 1]), torch.tensor([2]))
    for query in (Query(items=items), Query(torch.tensor([0]), items)):
        with pytest.raises(ValueError, match="users alone"):
            vectors.score(query)
