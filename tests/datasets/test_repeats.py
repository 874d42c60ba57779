from collections import Counter

import torch

from ltgnn_pyg.datasets import Interactions, repeats


def test_repeated_in_ranges_of_users(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    user = torch.randint(40, (3000,), generator=generator).clamp(min=9)
    item = torch.randint(60, (3000,), generator=generator)
    out = Interactions(user, item, 41, 60)
    seen: set[tuple[int, int]] = set()
    expected = []
    for pair in zip(user.tolist(), item.tolist(), strict=True):
        expected.append(pair in seen)
        seen.add(pair)
    for chunk in (1, 7, 100, 2999, 3000):
        monkeypatch.setattr(repeats, "_CHUNK", chunk)
        assert out.repeated().tolist() == expected


def test_the_weight_of_repeats(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    user = torch.randint(40, (3000,), generator=generator)
    item = torch.randint(60, (3000,), generator=generator)
    behavior = torch.randint(2, (3000,), generator=generator)
    kinds = {"behavior": behavior, "behaviors": ("buy", "view")}
    plain = Interactions(user, item, 40, 60)
    pairs = list(zip(user.tolist(), item.tolist(), strict=True))
    triples = list(zip(user.tolist(), item.tolist(), behavior.tolist(), strict=True))
    for out, keys in (
        (plain, pairs),
        (Interactions(user, item, 40, 60, **kinds), triples),
    ):
        count, seen = Counter(keys), set()
        expected = []
        for key in keys:
            expected.append(1 if key in seen else count[key])
            seen.add(key)
        for chunk in (7, 100, 3000):
            monkeypatch.setattr(repeats, "_CHUNK", chunk)
            assert out.repeat_weight().tolist() == expected
            assert int(out.repeated().sum()) == 3000 - len(count)
    weight = torch.rand(3000, generator=generator).double() + 0.1
    total = Interactions(user, item, 40, 60, weight=weight).repeat_weight()
    kept = total[~plain.repeated()]
    torch.testing.assert_close(kept.sum(), weight.sum())
