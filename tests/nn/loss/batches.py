"""Batches of a few pairs, and scores pair by pair."""

import itertools

import torch
from torch.autograd import gradcheck

from ltgnn_pyg.batch import MicroBatch

SRC = torch.tensor([0, 1, 0, 2])
POS = torch.tensor([3, 4, 5, 3])
NEGATIVES = {
    "one": torch.tensor([4, 5, 6, 6]),
    "many": torch.tensor([[4, 6], [5, 3], [6, 4], [6, 5]]),
    "shared": torch.tensor([[6, 4, 5]]),
    "batch": None,
}


def make_batch(src=SRC, pos=POS, neg=None, log_q=None, n_id=None, num_seeds=7):
    batch = MicroBatch(
        n_id=torch.arange(num_seeds) if n_id is None else n_id,
        num_seeds=num_seeds,
        src_index=src,
        dst_pos_index=pos,
    )
    if neg is not None:
        batch.dst_neg_index = neg
    if log_q is not None:
        batch.log_q = log_q
    return batch


def pairs(z, kind, cosine, temperature=1.0, log_q=None):
    """A pair's user, positive score and negative scores, one after the other."""
    z = z / z.norm(dim=1, keepdim=True) if cosine else z
    neg = NEGATIVES[kind]
    for b in range(4):
        if neg is None:
            rows = [j for j in POS.tolist() if j != POS[b]]
        else:
            all_rows = neg if neg.dim() == 2 else neg.unsqueeze(1)
            rows = all_rows[0 if kind == "shared" else b].tolist()
        score = z[[int(POS[b]), *rows]] @ z[SRC[b]] / temperature
        shift = 0.0 if log_q is None else log_q[rows]
        yield int(SRC[b]), score[0], score[1:] - shift


def check(loss, z, kind, expected, log_q=None):
    batch = make_batch(neg=NEGATIVES[kind], log_q=log_q)
    torch.testing.assert_close(loss(z, batch), expected)
    assert gradcheck(lambda z: loss(z, batch), z)


def dense_in_batch_softmax(z, src, pos, temperature):
    score = z[src] @ z[pos].t() / temperature
    same = (pos.unsqueeze(1) == pos).fill_diagonal_(False)
    return score.masked_fill(same, float("-inf"))


# A world of two users and four items, and the chance of each pair.
WORLD = torch.tensor([[2, 10, 25, 3], [20, 5, 5, 30]]).double() / 100
OF_USER = WORLD / WORLD.sum(1, keepdim=True)  # p(i | u).
OF_ITEM = WORLD.sum(0)  # p(i).
WORLD_PAIRS = list(itertools.product(range(2), range(4)))


def table(score):
    """Embeddings whose inner products are any scores :obj:`[2, 4]`."""
    return torch.cat([torch.eye(2).double(), score.t()])
