import math

import pytest
import torch

from ltgnn_pyg.datasets import confidence_weight


def test_confidence():
    count = torch.tensor([0, 1, 3])
    assert confidence_weight(count, 2.0).tolist() == [1, 3, 7]
    out = confidence_weight(count.double(), 2.0, 0.5)
    expected = [1 + 2 * math.log(1 + r / 0.5) for r in (0, 1, 3)]
    assert out.tolist() == pytest.approx(expected)
    for args, match in [
        ((torch.tensor([-1.0]),), "finite values >= 0"),
        ((torch.tensor([torch.inf]),), "finite values >= 0"),
        ((count, -1.0), "'alpha' >= 0"),
        ((count, 1.0, 0.0), "'epsilon' > 0"),
    ]:
        with pytest.raises(ValueError, match=match):
            confidence_weight(*args)
