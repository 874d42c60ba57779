import pytest
import torch

from ltgnn_pyg.runs.run_folder import RunFolder


@pytest.mark.parametrize("what", ["item", "user"])
def test_neighbours_are_the_largest_cosines(what, folder, as_json):
    run = RunFolder.open(folder)
    ids = getattr(run, f"{what}_ids")
    table = getattr(run.vectors, what)
    result = as_json("similar", folder, f"--{what}=-x", f"--{what}", "a b", "-k", 3)
    assert [each[what] for each in result] == ["a b"]  # The later flag holds.
    result = as_json("similar", folder, f"--{what}", "a b", "007", "-k", 3)
    for each, raw in zip(result, ["a b", "007"], strict=True):
        index = ids.index(raw)
        cosine = torch.cosine_similarity(table, table[index : index + 1])
        cosine[index] = -torch.inf
        value, place = cosine.topk(3)
        rows = each[f"{what}s"]
        assert each[what] == raw
        assert [row[what] for row in rows] == [ids[n] for n in place.tolist()]
        assert [row["score"] for row in rows] == pytest.approx(value.tolist())


def test_an_unknown_item_is_named(folder, ltgnn):
    code, out, error = ltgnn("similar", folder, "--item", "u1")
    assert code == 1 and out == "" and "Expected items of the run (got 'u1'" in error
