import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch_geometric.utils.sparse import index2ptr

from ltgnn_pyg.retrieval import Index, top_k
from ltgnn_pyg.retrieval import index as module
from ltgnn_pyg.retrieval.index_state import IndexState
from ltgnn_pyg.scorers import Query, Vectors

KINDS = ("exact", "ivf", "sq8")
ALL = 10_000  #: Lists: more than there are.


@pytest.fixture(params=KINDS)
def kind(request):
    if request.param != "exact":
        pytest.importorskip("faiss")
    return request.param


@pytest.fixture
def small(monkeypatch):
    """Lists are looked into on small sets, too."""
    monkeypatch.setattr("ltgnn_pyg.retrieval.index_state.DEEP", 0.5)


def random_vectors(num_users=20, num_items=400, bias=True, dtype=torch.float):
    generator = torch.Generator().manual_seed(3)
    user = torch.randn(num_users, 9, generator=generator)
    item = torch.randn(num_items, 9, generator=generator)
    item *= torch.randn(num_items, 1, generator=generator).exp()  # Norms differ.
    item_bias = 3 * torch.randn(num_items, generator=generator)
    vectors = Vectors(user, item, item_bias if bias else None)
    return vectors.to(dtype)


def random_pairs(num_users=20, num_items=400, most=60):
    """The last user has taken all but three items, the first none."""
    generator = torch.Generator().manual_seed(4)
    count = torch.randint(most, (num_users,), generator=generator)
    count[0], count[-1] = 0, num_items - 3
    items = [torch.randperm(num_items, generator=generator)[:n] for n in count]
    user = torch.arange(num_users).repeat_interleave(count)
    return index2ptr(user, num_users), torch.cat(items)


def assert_same(found, expected):
    torch.testing.assert_close(found[0], expected[0], rtol=1e-5, atol=1e-5)
    assert found[1].equal(expected[1])


def test_default_kind(monkeypatch):
    vectors = random_vectors()
    assert Index.build(vectors).kind == "exact"
    pytest.importorskip("faiss")
    monkeypatch.setattr(module, "EXACT_ITEMS", 399)
    index = Index.build(vectors)
    assert (index.kind, index.num_items, index.dim) == ("ivf", 400, 9)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("k", [1, 7, 100])
def test_all_lists_are_exact_search(kind, small, k, bias):
    vectors = random_vectors(bias=bias)
    index = Index.build(vectors, kind)
    for exclude in (None, random_pairs()):
        found = index.search(vectors.user, k, exclude, nprobe=ALL)
        assert_same(found, top_k(vectors, k, exclude=exclude))
    assert found[1][-1, 3:].eq(-1).all()


def test_chunks_agree(kind, small, monkeypatch):
    vectors = random_vectors()
    index = Index.build(vectors, kind)
    monkeypatch.setattr("ltgnn_pyg.retrieval.index_state.CHUNK_BYTES", 15_000)
    found = index.search(vectors.user, 7, random_pairs(), nprobe=ALL)
    assert_same(found, top_k(vectors, 7, exclude=random_pairs()))


@pytest.mark.parametrize("kind", KINDS[1:])
def test_lists_are_looked_into(small, kind, monkeypatch):
    """No query but the deep one falls back on exact search."""
    pytest.importorskip("faiss")
    vectors, asked = random_vectors(), []
    index, exact = Index.build(vectors, kind), IndexState.exact

    def count(state, query, k, exclude):
        asked.append(len(query))
        return exact(state, query, k, exclude)

    monkeypatch.setattr(IndexState, "exact", count)
    index.search(vectors.user, 7, random_pairs(), nprobe=ALL)
    assert asked == [1]
    # What is found is scored exactly, and of a single list too little is:
    score, item = index.search(vectors.user, 7, nprobe=1)
    assert sum(asked) > 1 and (item >= 0).all()
    exactly = vectors.score(Query(torch.arange(20))).gather(1, item)
    torch.testing.assert_close(score, exactly, rtol=1e-5, atol=1e-5)


def test_seen_items_never_come_back(kind, small):
    vectors, (rowptr, col) = random_vectors(), random_pairs()
    index = Index.build(vectors, kind)
    for nprobe in (1, 5, ALL):
        item = index.search(vectors.user, 10, (rowptr, col), nprobe=nprobe)[1]
        for u in range(20):
            kept = item[u][item[u] >= 0]
            assert not torch.isin(kept, col[rowptr[u] : rowptr[u + 1]]).any()
            assert len(kept) == min(10, 400 - int(rowptr[u + 1] - rowptr[u]))


def test_more_asked_for_than_there_is(kind):
    vectors = random_vectors(num_items=5)
    score, item = Index.build(vectors, kind).search(vectors.user, 9)
    assert_same((score, item), top_k(vectors, 9))
    assert item[:, 5:].eq(-1).all() and score[:, 5:].eq(-torch.inf).all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.half, torch.double])
def test_other_types(kind, small, dtype):
    vectors = random_vectors(dtype=dtype)
    found = Index.build(vectors, kind).search(vectors.user, 7, nprobe=ALL)
    assert found[0].dtype == torch.float
    assert_same(found, top_k(vectors.to(torch.float), 7))


def changed(kind, vectors):
    """An index that items were added to, changed in and removed from, and the vectors
    of what is left, beside its ids."""
    item, bias = vectors.item.clone(), vectors.item_bias.clone()
    index = Index.build(Vectors(vectors.user, item[:390], bias[:390]), kind)
    assert index.add(item[390:393], bias[390:393]).tolist() == [390, 391, 392]
    new = torch.tensor([391, 7, 3])  # One of them was added just before.
    item[new], bias[new] = 2 * item[new].flip(0), bias[new].flip(0)
    index.update(new, item[new], bias[new])
    gone = torch.tensor([392, 0, 7, 50])
    index.remove(gone)
    bias[393:] = 0.0
    assert index.add(item[393:]).tolist() == list(range(393, 400))
    left = torch.ones(400, dtype=torch.bool)
    left[gone] = False
    ids = left.nonzero().view(-1)
    return index, Vectors(vectors.user, item[ids], bias[ids]), ids


@pytest.mark.parametrize("share", [0.0, 0.01, 1.0])  # Built always, at times, never.
@pytest.mark.parametrize("exclude", [False, True])
def test_changes_equal_a_new_build(kind, small, monkeypatch, share, exclude):
    monkeypatch.setattr(module, "CHANGED", share)
    vectors = random_vectors()
    before = vectors.item.clone()
    index, expected, ids = changed(kind, vectors)
    pairs = random_pairs() if exclude else None
    score, row = top_k(expected, 400)
    if exclude:  # By brute force.
        for u in range(20):
            seen = pairs[1][pairs[0][u] : pairs[0][u + 1]]
            score[u][torch.isin(ids[row[u]], seen)] = -torch.inf
    score, at = score.topk(9)
    item = torch.where(score > -torch.inf, ids[row.gather(1, at)], -1)
    assert_same(index.search(vectors.user, 9, pairs, nprobe=ALL), (score, item))
    assert index.num_items == len(ids) == 396
    assert vectors.item.equal(before)  # The caller's table stays.
    if share != 0.01:
        assert (len(index._state.delta) == 0) == (share == 0.0)


def test_searches_see_one_state(kind, small):
    """What began before a change ends as if there were none."""
    vectors = random_vectors()
    index = Index.build(vectors, kind)
    state = index._state
    index.update(torch.arange(400), torch.zeros(400, 9))
    assert index.search(vectors.user, 4)[0].eq(0).all()
    assert_same(state.search(vectors.user, 4, None, ALL), top_k(vectors, 4))


def test_nothing_is_left(kind):
    vectors = random_vectors(num_items=30)
    index = Index.build(vectors, kind)
    index.remove(torch.arange(30))
    assert index.num_items == 0
    score, item = index.search(vectors.user, 3)
    assert item.eq(-1).all() and score.eq(-torch.inf).all()
    with pytest.raises(ValueError, match="not there"):
        index.remove(torch.tensor([4]))
    (new,) = index.add(vectors.item[:1]).tolist()
    assert new == 30 and index.search(vectors.user, 1)[1].eq(30).all()


def test_no_queries(kind, small):
    vectors = random_vectors()
    index = Index.build(vectors, kind)
    nothing = torch.zeros(1, dtype=torch.long), torch.zeros(0, dtype=torch.long)
    for exclude in (None, nothing):
        score, item = index.search(vectors.user[:0], 3, exclude)
        assert score.size() == item.size() == (0, 3)
    index.remove(torch.zeros(0, dtype=torch.long))
    assert index.add(vectors.item[:0]).numel() == 0 and index.num_items == 400


@pytest.mark.parametrize("fresh", [True, False])
def test_save_and_load(kind, small, tmp_path, fresh):
    vectors, path = random_vectors(), tmp_path / "items.index"
    index = Index.build(vectors, kind) if fresh else changed(kind, vectors)[0]
    index.save(path)
    again = Index.load(path)
    assert (again.kind, again.num_items) == (index.kind, index.num_items)
    assert again.nbytes == index.nbytes > vectors.item.nbytes
    for nprobe in (1, 3, ALL):
        found = again.search(vectors.user, 8, random_pairs(), nprobe=nprobe)
        # A file's arrays are aligned otherwise, which a product may round otherwise.
        assert_same(found, index.search(vectors.user, 8, random_pairs(), nprobe=nprobe))
    for name in ("main", "delta"):
        one, two = (vars(getattr(x._state, name)) for x in (again, index))
        assert all(one[key].equal(two[key]) for key in ("ids", "item", "bias"))
    assert again.add(vectors.item[:1]).equal(index.add(vectors.item[:1]))
    assert [p.name for p in tmp_path.iterdir()] == ["items.index"]


def test_damaged_files(tmp_path, kind):
    path = tmp_path / "items.index"
    Index.build(random_vectors(), kind).save(path)
    whole = path.read_bytes()
    for broken in (whole[:-9], whole[:100], b"", b"user,item\n1,2\n"):
        path.write_bytes(broken)
        with pytest.raises(ValueError, match="damaged or foreign"):
            Index.load(path)
    flipped = bytearray(whole)
    flipped[-1000] ^= 1
    for broken in (flipped, whole.replace(b'"next_id":"400"', b'"next_id":"900"')):
        assert broken != whole
        path.write_bytes(broken)
        with pytest.raises(ValueError, match="checksums"):
            Index.load(path)
    from safetensors.torch import save_file

    save_file({"user": torch.ones(2)}, path)
    with pytest.raises(ValueError, match=r"pass a file of 'Index\.save'"):
        Index.load(path)


def test_a_save_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "items.index"
    Index.build(random_vectors()).save(path)
    before = path.read_bytes()

    def full(*args):
        raise OSError("no space left")

    monkeypatch.setattr(module.os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        Index.build(random_vectors(num_items=9)).save(path)
    assert path.read_bytes() == before


def test_threads(kind, small):
    """Searches from several threads, beside changes that leave the answers alone."""
    vectors = random_vectors()
    index = Index.build(vectors, kind)
    expected = top_k(vectors, 5, exclude=random_pairs())
    worst = torch.full((3,), -1e6)
    with ThreadPoolExecutor(4) as pool:
        found = [
            pool.submit(index.search, vectors.user, 5, random_pairs(), nprobe=ALL)
            for _ in range(40)
        ]
        for _ in range(10):  # Some of them build anew.
            index.remove(index.add(torch.zeros(3, 9), worst))
        for future in found:
            score, item = future.result()
            assert_same((score[:-1], item[:-1]), tuple(x[:-1] for x in expected))


def test_builds_are_alike(kind, small):
    vectors = random_vectors()
    one, two = (Index.build(vectors, kind) for _ in range(2))
    for nprobe in (1, 4):
        a, b = (index.search(vectors.user, 6, nprobe=nprobe) for index in (one, two))
        assert a[0].equal(b[0]) and a[1].equal(b[1])


def test_lists_are_searched_by_their_mean_score(small):
    """A long vector or a large bias is found in the first list."""
    pytest.importorskip("faiss")
    generator = torch.Generator().manual_seed(0)
    item = torch.randn(2000, 8, generator=generator)
    item[7] *= 40
    bias = torch.zeros(2000)
    bias[11] = 300.0
    user = item[7:8] / item[7].norm()
    for kind in KINDS[1:]:
        index = Index.build(Vectors(user, item, bias), kind)
        lists = index._state.lists
        found = set()
        for nprobe in (1, 2):
            row = lists.search(user, 1, nprobe, None)[1]
            found.add(int(row))
        assert found == {11}
        index.remove(torch.tensor([11]))
        assert int(index.search(user, 1, nprobe=2)[1]) == 7


def test_without_faiss(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    vectors = random_vectors()
    assert Index.build(vectors).kind == "exact"
    with pytest.raises(ImportError, match=r"ltgnn_pyg\[retrieval\]"):
        Index.build(vectors, "ivf")


def test_bad_arguments():
    vectors = random_vectors()
    index, pairs = Index.build(vectors), random_pairs()
    ids, rows = torch.tensor([3, 4]), vectors.item[:2]
    for call, match in (
        (lambda: Index.build(vectors, "hnsw"), "Expected 'kind' of exact, ivf, sq8"),
        (lambda: index.search(vectors.user, 0), "'k' >= 1"),
        (lambda: index.search(vectors.user, 1, nprobe=0), "'nprobe' >= 1"),
        (lambda: index.search(vectors.user[0], 1), r"'query' \[n, 9\]"),
        (lambda: index.search(vectors.user[:, :4], 1), r"'query' \[n, 9\]"),
        (lambda: index.search(vectors.user / 0, 1), "finite 'query'"),
        (lambda: index.search(vectors.user[1:], 1, pairs), "of 20 entries"),
        (lambda: index.search(vectors.user, 1, (pairs[0], pairs[1] + 9)), "0, 400"),
        (lambda: index.add(rows[:, :3]), r"'item_vectors' \[n, 9\]"),
        (lambda: index.add(rows / 0), "finite 'item_vectors'"),
        (lambda: index.add(rows, torch.ones(3)), "2 rows and biases"),
        (lambda: index.add(rows, torch.ones(2) / 0), "finite 'item_bias'"),
        (lambda: index.update(ids, rows[:1]), "2 rows and biases"),
        (lambda: index.update(ids + 397, rows), r"\[400, 401\], which are not there"),
        (lambda: index.update(ids * 0, rows), "each item once"),
        (lambda: index.remove(ids.int()), "type int64"),
    ):
        with pytest.raises(ValueError, match=match):
            call()
    assert index.num_items == 400 and index._state.delta.ids.numel() == 0
