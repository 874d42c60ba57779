import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from ltgnn_pyg.datasets.readers.array_file import ArrayFile
from ltgnn_pyg.datasets.readers.external_ids import ExternalIds


@pytest.mark.parametrize("limit", [1, 400, 10_000, 10**9])
@pytest.mark.parametrize("kind", ["integers", "strings", "late strings"])
def test_numbers_are_those_of_the_sorted_ids(tmp_path, limit, kind):
    rng = np.random.default_rng(0)
    raw = rng.integers(0, 3000, 4000)
    batches = [pa.array(part) for part in np.array_split(raw, 20)]
    if kind != "integers":
        start = 0 if kind == "strings" else 13
        batches[start:] = [batch.cast(pa.string()) for batch in batches[start:]]
        raw = raw.astype(str).astype(object)
    work = tmp_path / "work"
    work.mkdir()
    ids = ExternalIds(str(work), str(tmp_path), "user", limit)
    for batch in batches:
        ids.add(batch.dictionary_encode())
    ids.finish(integers=kind == "integers")
    expected, index = np.unique(raw, return_inverse=True)
    found = parquet.read_table(tmp_path / "user_ids.parquet")["id"].to_pylist()
    assert found == expected.tolist()
    assert np.load(tmp_path / "user.npy").tolist() == index.tolist()


def test_an_array_grows(tmp_path):
    with ArrayFile(str(tmp_path / "a.npy"), np.float32) as file:
        for num in (3, 0, 5):
            file.write(np.full(num, num, np.float32))
    assert np.load(tmp_path / "a.npy").tolist() == [3] * 3 + [5] * 5
