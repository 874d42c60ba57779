import pytest
import torch
from torch_geometric import EdgeIndex
from torch_geometric.utils import index_sort
from torch_geometric.utils.sparse import index2ptr

from ltgnn_pyg.retrieval import top_k

devices = ["cpu"] + ["cuda"] * torch.cuda.is_available()


def reference(src, dst, k, exclude=None):
    score = src @ dst.t()
    if exclude is not None:
        score[exclude[0], exclude[1]] = -torch.inf
    score, index = score.sort(dim=1, descending=True)
    index[score == -torch.inf] = -1
    return score[:, :k], index[:, :k]


def random_inputs(num_src=23, num_dst=57, num_exclude=300, **kwargs):
    generator = torch.Generator().manual_seed(12)
    src = torch.randn(num_src, 8, generator=generator, dtype=torch.double)
    dst = torch.randn(num_dst, 8, generator=generator, dtype=torch.double)
    row = torch.randint(num_src, (num_exclude,), generator=generator)
    col = torch.randint(num_dst, (num_exclude,), generator=generator)
    return src, dst, torch.stack([row, col])


# Fewer and more groups than `k`, whole and ragged groups, all items:
@pytest.mark.parametrize("num_dst", [1, 5, 16, 57, 640, 1000])
@pytest.mark.parametrize("k", [1, 3, 20])
@pytest.mark.parametrize("device", devices)
def test_top_k(num_dst, k, device):
    src, dst, exclude = (x.to(device) for x in random_inputs(num_dst=num_dst))
    for pairs in [None, exclude]:
        score, index = top_k(src, dst, k, exclude=pairs)
        assert score.size() == index.size() == (src.size(0), k)
        expected = reference(src, dst, k, pairs)
        width = min(k, num_dst)
        torch.testing.assert_close(score[:, :width], expected[0])
        assert index[:, :width].equal(expected[1])
        assert (score[:, width:] == -torch.inf).all()
        assert (index[:, width:] == -1).all()


@pytest.mark.parametrize("chunk_bytes", [1, 64 * 8 * 5, 2**28])
def test_chunks_agree(chunk_bytes):
    src, dst, exclude = random_inputs()
    score, index = top_k(src, dst, 7, exclude=exclude, chunk_bytes=chunk_bytes)
    expected = reference(src, dst, 7, exclude)
    torch.testing.assert_close(score, expected[0])
    assert index.equal(expected[1])


@pytest.mark.parametrize("chunk_bytes", [1, 2**28])
def test_src_index(chunk_bytes):
    src, dst, exclude = random_inputs()
    src_index = torch.tensor([4, 0, 22, 4, 9])  # Any order, with repeats.
    expected = reference(src, dst, 6, exclude)
    score, index = top_k(
        src, dst, 6, src_index=src_index, exclude=exclude, chunk_bytes=chunk_bytes
    )
    torch.testing.assert_close(score, expected[0][src_index])
    assert index.equal(expected[1][src_index])

    score, index = top_k(src, dst, 6, src_index=src_index[:0], exclude=exclude)
    assert score.size() == index.size() == (0, 6)


def test_exclude_forms():
    src, dst, exclude = random_inputs()
    expected = top_k(src, dst, 5, exclude=exclude)[1]

    row, perm = index_sort(exclude[0])
    csr = (index2ptr(row, src.size(0)), exclude[1][perm])
    assert top_k(src, dst, 5, exclude=csr)[1].equal(expected)
    edge_index = EdgeIndex(exclude, sparse_size=(src.size(0), dst.size(0)))
    assert top_k(src, dst, 5, exclude=edge_index)[1].equal(expected)

    expected = top_k(src, dst, 5)[1]
    assert top_k(src, dst, 5, exclude=exclude[:, :0])[1].equal(expected)


def test_candidates_run_out():
    src, dst = torch.tensor([[1.0], [-1.0], [1.0]]), torch.tensor([[1.0], [2.0], [3.0]])
    exclude = torch.tensor([[0, 0, 1, 2, 2, 2, 2], [2, 0, 1, 0, 1, 2, 2]])
    score, index = top_k(src, dst, 2, exclude=exclude)
    inf = torch.inf
    assert score.tolist() == [[2.0, -inf], [-1.0, -3.0], [-inf, -inf]]
    assert index.tolist() == [[1, -1], [0, 2], [-1, -1]]


def test_ties():
    src, dst = torch.ones(4, 2), torch.ones(100, 2)
    exclude = torch.stack([torch.arange(4).repeat(90), torch.arange(360) // 4])
    score, index = top_k(src, dst, 9, exclude=exclude)
    assert (score == 2).all() and (index >= 90).all()
    assert all(len(row.unique()) == 9 for row in index)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.half, torch.float])
def test_low_precision_is_scored_in_float(dtype):
    src, dst, exclude = random_inputs()
    src, dst = src.to(dtype), dst.to(dtype)
    score, index = top_k(src, dst, 5, exclude=exclude)
    expected = reference(src.float(), dst.float(), 5, exclude)
    assert score.dtype == torch.float
    torch.testing.assert_close(score, expected[0])
    assert index.equal(expected[1])


def test_leaves_inputs_alone():
    src, dst, exclude = random_inputs()
    src.requires_grad_()
    inputs = [src, dst, exclude]
    copies = [x.clone() for x in inputs]
    score, _ = top_k(src, dst, 5, exclude=exclude)
    assert not score.requires_grad
    assert all(x.equal(y) for x, y in zip(inputs, copies, strict=True))


def test_errors():
    src, dst, exclude = random_inputs()
    row, col = exclude
    for args, kwargs, match in [
        ((src[0], dst, 5), {}, r"'src' \[S, D\]"),
        ((src[:, 1:], dst, 5), {}, r"'src' \[S, D\]"),
        ((src.float(), dst, 5), {}, "one floating-point type"),
        ((src.long(), dst.long(), 5), {}, "one floating-point type"),
        ((src, dst, 0), {}, "'k' >= 1"),
        ((src, dst[:0], 5), {}, "at least one row"),
        ((src, dst, 5), {"chunk_bytes": 0}, "'chunk_bytes' >= 1"),
        ((src, dst, 5), {"src_index": torch.tensor([23])}, r"\[0, 23\)"),
        ((src, dst, 5), {"src_index": torch.tensor([-1])}, r"\[0, 23\)"),
        ((src, dst, 5), {"src_index": torch.tensor([1.0])}, "int64"),
        ((src, dst, 5), {"src_index": torch.tensor([[1]])}, r"'src_index' \[Q\]"),
        ((src, dst, 5), {"exclude": row}, r"'exclude' \[2, E\]"),
        ((src, dst, 5), {"exclude": (row, col)}, "'rowptr' of 24 entries"),
        ((src, dst, 5), {"exclude": exclude + 23}, r"'exclude\[0\]' in \[0, 23\)"),
        ((src, dst, 5), {"exclude": torch.stack([row, col + 57])}, r"\[0, 57\)"),
        ((src, dst.where(dst != dst[3, 3], torch.nan), 5), {}, "finite"),
        ((src.where(src != src[3, 3], torch.inf), dst, 5), {}, "finite"),
    ]:
        with pytest.raises(ValueError, match=match):
            top_k(*args, **kwargs)
