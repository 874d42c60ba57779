"""Explicit negatives: what users disliked is drawn for them, and listed for nobody."""

from dataclasses import replace

import pytest
import torch

from ltgnn_pyg import ItemNegativeSampling, fit
from ltgnn_pyg.datasets import Interactions, split_ratio
from ltgnn_pyg.nn import MatrixFactorization
from ltgnn_pyg.scorers import top_k

U, I = 4, 6
DISLIKED = torch.tensor([[0, 0, 2], [U + 1, U + 5, U + 3]])


def drawn(share, amount=1):
    generator = torch.Generator().manual_seed(1)
    sampling = ItemNegativeSampling(
        U, I, amount, disliked=DISLIKED, disliked_share=share, generator=generator
    )
    return sampling.sample_for(torch.arange(U).repeat(300))


def test_all_negatives_are_disliked_where_asked_for():
    item = drawn(1.0).view(300, U) - U
    assert set(item[:, 0].tolist()) == {1, 5}
    assert abs(int((item[:, 0] == 1).sum()) - 150) < 40
    assert set(item[:, 2].tolist()) == {3}
    for user in (1, 3):  # They disliked nothing.
        assert set(item[:, user].tolist()) == set(range(I))


def test_none_is_what_there_was_before():
    generator = torch.Generator().manual_seed(1)
    plain = ItemNegativeSampling(U, I, 1, generator=generator)
    assert torch.equal(plain.sample_for(torch.arange(U).repeat(300)), drawn(0.0))


def test_a_share_of_several():
    item = drawn(0.25, amount=4).view(300, U, 4) - U
    share = (item[:, 2] == 3).double().mean()  # Drawn among all, too.
    assert abs(float(share) - (0.25 + 0.75 / I)) < 0.05


@pytest.mark.parametrize(
    "given", [{"shared": True}, {"disliked_share": 1.5}, {"disliked_share": -0.1}]
)
def test_bad_arguments(given):
    with pytest.raises(ValueError, match="'disliked_share'"):
        ItemNegativeSampling(U, I, disliked=DISLIKED, **given)


def test_no_list_shows_them():
    generator = torch.Generator().manual_seed(0)
    user, item = torch.randint(30, (2, 400), generator=generator)
    rating = torch.randint(1, 6, (400,), generator=generator).float()
    rated = Interactions(user, item, 30, 30, rating=rating)
    rated = rated[~rated.repeated()]
    liked, disliked = rated.split_by_rating(3.0)
    split = replace(split_ratio(liked, order="random"), disliked=disliked)
    report = fit(MatrixFactorization(30, 30, 4), split, max_epochs=1)
    found = top_k(report.scorer, 30, exclude=split.seen)[1]
    for u, i in zip(disliked.user.tolist(), disliked.item.tolist(), strict=True):
        assert i not in found[u].tolist()
    assert len(split.seen) == len(split.known) + len(disliked)
    assert len(report.interactions) == len(split.known)
