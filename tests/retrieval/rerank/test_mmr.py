import pytest
import torch

import ltgnn_pyg.retrieval.rerank.greedy as module
from ltgnn_pyg.retrieval.rerank import Candidates, mmr
from tests.retrieval.rerank.lists import candidates, check_lists, one_by_one


@pytest.mark.parametrize("lam", [0.0, 0.3, 0.7, 1.0])
@pytest.mark.parametrize("k", [1, 10, 30, 40])
def test_equals_its_definition(lam, k):
    vectors, given = candidates()
    row = vectors.item / vectors.item.norm(dim=1, keepdim=True)
    cosine = (row @ row.t()).tolist()

    def worth(relevance, items, chosen, p):
        if not chosen:
            return relevance[p]
        nearest = max(cosine[items[p]][items[c]] for c in chosen)
        return lam * relevance[p] - (1 - lam) * nearest

    out = mmr(given, vectors.item, k=k, lam=lam)
    check_lists(given, out, k)
    assert out.item.equal(one_by_one(given, k, worth))


def test_by_hand():
    # Two items alike, a third apart: it overtakes the second when it counts enough.
    given = Candidates(
        torch.tensor([7]), torch.tensor([[3.0, 2.0, 1.0]]), torch.tensor([[4, 0, 2]])
    )
    row = torch.zeros(5, 2)
    row[4], row[0], row[2] = torch.tensor([[2.0, 0], [5, 0], [0, 1]])
    # 0.5 lam - (1 - lam) against 0: equal at 2 / 3.
    assert mmr(given, row, k=3, lam=0.7).item.tolist() == [[4, 0, 2]]
    assert mmr(given, row, k=3, lam=0.6).item.tolist() == [[4, 2, 0]]
    assert mmr(given, row, k=3, lam=0.6).score.tolist() == [[3.0, 1.0, 2.0]]


def test_all_weight_on_the_score_leaves_the_order():
    vectors, given = candidates(dtype=torch.float)
    out = mmr(given, vectors.item, k=12, lam=1.0)
    assert out.item.equal(given.item[:, :12]) and out.score.equal(given.score[:, :12])


def test_chunks_agree(monkeypatch):
    vectors, given = candidates()
    expected = mmr(given, vectors.item, k=10, lam=0.5)
    for chunk_bytes in (1, 4 * 30 * 8 * 2):
        monkeypatch.setattr(module, "CHUNK_BYTES", chunk_bytes)
        assert mmr(given, vectors.item, k=10, lam=0.5).item.equal(expected.item)


def test_types_and_empty_lists():
    vectors, given = candidates(dtype=torch.float)
    expected = mmr(given, vectors.item.bfloat16().float(), k=5, lam=0.5)
    assert mmr(given, vectors.item.bfloat16(), k=5, lam=0.5).item.equal(expected.item)
    none = Candidates(*(each[:0] for each in given))
    assert mmr(none, vectors.item, k=5, lam=0.5).item.size() == (0, 5)
    same = Candidates(given.user[:1], torch.ones(1, 3), torch.tensor([[0, 1, 2]]))
    check_lists(same, mmr(same, vectors.item, k=3, lam=0.5), 3)


def test_errors():
    vectors, given = candidates()
    user, score, item = given
    for args, kwargs, match in [
        ((given, vectors.item), {"k": 0}, "'k' >= 1"),
        ((given, vectors.item), {"lam": 1.5}, r"'lam' in \[0, 1\]"),
        ((given, vectors.item), {"lam": float("nan")}, r"'lam' in \[0, 1\]"),
        ((given, vectors.item[0]), {}, r"'item_vector' \[I, D\]"),
        ((given, vectors.item.long()), {}, "floating-point"),
        ((given, vectors.item[:50]), {}, r"items in \[0, 50\)"),
        ((Candidates(user, item, score), vectors.item), {}, "'score' goes before"),
        ((Candidates(user[1:], score, item), vectors.item), {}, "a user for each"),
        ((Candidates(user, score[0], item[0]), vectors.item), {}, r"\[Q, N\]"),
        ((Candidates(user, score[:, :0], item[:, :0]), vectors.item), {}, "N >= 1"),
    ]:
        with pytest.raises(ValueError, match=match):
            mmr(*args, **{"k": 3, "lam": 0.5, **kwargs})
