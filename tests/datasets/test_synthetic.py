import numpy as np
import pytest
import torch

from ltgnn_pyg.datasets import split_ratio, synthetic, synthetic_interactions


@pytest.mark.parametrize(
    "sizes",
    [
        (6, 4, 6),
        (4, 6, 6),
        (6, 4, 24),
        (6, 4, 23),
        (1, 5, 5),
        (1, 1, 1),
        (300, 200, 1000),
        (50, 40, 1500),
        (200, 300, 30_000),
    ],
)
@pytest.mark.parametrize("seed", [0, 1])
def test_exact_number_distinct_and_covering(sizes, seed):
    num_users, num_items, num_interactions = sizes
    out = synthetic_interactions(*sizes, seed=seed)
    assert len(out) == num_interactions
    assert not out.repeated().any()
    assert (out.num_users, out.num_items) == (num_users, num_items)
    assert torch.bincount(out.user, minlength=num_users).min() >= 1
    assert torch.bincount(out.item, minlength=num_items).min() >= 1


def test_fewer_than_users():
    out = synthetic_interactions(100, 50, 60)
    assert len(out) == 60 and not out.repeated().any()


def test_seeded():
    state = torch.get_rng_state()
    one, two = (synthetic_interactions(100, 80, 900, seed=3) for _ in range(2))
    other = synthetic_interactions(100, 80, 900, seed=4)
    assert one.user.equal(two.user) and one.item.equal(two.item)
    assert not one.item.equal(other.item)
    assert torch.get_rng_state().equal(state)


def test_degrees_follow_the_power_law():
    num = 5000
    out = synthetic_interactions(num, num, 50_000, noise=1.0)
    flat = synthetic_interactions(num, num, 50_000, noise=1.0, exponent=0.0)
    expected = 1 / (torch.arange(1, num + 1) + num / 100)
    for name in ("user", "item"):
        degree = torch.bincount(getattr(out, name)).sort(descending=True).values
        share = degree[: num // 10].sum() / degree.sum()
        planted = expected[: num // 10].sum() / expected.sum()
        # One edge in ten is spread evenly so that nobody is left out.
        assert abs(share - (0.9 * planted + 0.1 * 0.1)) < 0.02
        assert torch.bincount(getattr(flat, name)).max() < 40


def test_a_factor_model_beats_popularity():
    out = synthetic_interactions(800, 600, 24_000, num_factors=8)
    split = split_ratio(out, 0.2, 0.0)
    x = torch.zeros(800, 600, dtype=torch.double)
    x[split.train.user, split.train.item] = 1
    target = torch.zeros_like(x, dtype=torch.bool)
    target[split.test.user, split.test.item] = True
    u, s, v = torch.linalg.svd(x)
    score = {
        "popularity": x.sum(0).expand_as(x),
        "factors": (u[:, :8] * s[:8]) @ v[:8],
    }
    recall = {
        name: (
            target.gather(1, score.masked_fill(x > 0, -1e9).topk(20).indices).sum()
            / target.sum()
        ).item()
        for name, score in score.items()
    }
    assert recall["factors"] > 2 * recall["popularity"], recall


def test_default_number_of_factors():
    one = synthetic_interactions(300, 200, 3000)
    two = synthetic_interactions(300, 200, 3000, num_factors=20)
    assert one.user.equal(two.user) and one.item.equal(two.item)


def test_draws_follow_the_documented_distribution():
    rng = np.random.default_rng(0)
    model = synthetic._FactorModel(7, 12, 4, 1.0, 0.2, rng)
    popularity = np.empty(12)
    popularity[model.item[12:]] = np.diff(model.cdf)[12:]
    p = np.zeros((7, 12))
    for u in range(7):
        theta = np.diff(np.r_[0.0, model.mixture[u], 1.0])
        for f, share in zip(model.factor[u], theta, strict=True):
            of_factor = model.item[model.ptr[f] : model.ptr[f + 1]]
            phi = popularity[of_factor] / popularity[of_factor].sum()
            p[u, of_factor] += 0.8 * share * phi
        p[u] += 0.2 * popularity
        p[u] *= model.activity[u]
    assert p.sum() == pytest.approx(1.0)
    num = 2_000_000
    count = np.bincount(model.draw(num), minlength=84).reshape(7, 12)
    chi_square = ((count - num * p) ** 2 / (num * p)).sum()  # 83 degrees of freedom
    assert 40 < chi_square < 160


@pytest.mark.parametrize(
    "kwargs",
    [
        dict(num_interactions=0),
        dict(num_interactions=31),
        dict(num_factors=0),
        dict(exponent=-1),
        dict(noise=1.5),
    ],
)
def test_validation(kwargs):
    with pytest.raises(ValueError, match=r"Expected .* \(got"):
        synthetic_interactions(
            **{"num_users": 5, "num_items": 6, "num_interactions": 20, **kwargs}
        )
