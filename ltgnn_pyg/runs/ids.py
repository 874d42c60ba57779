from bisect import bisect_left

import pyarrow as pa
import pyarrow.compute as pc


class Ids:
    """The raw ids of users or of items, as strings, by their index.

    Args:
        values (pyarrow.ChunkedArray): A string for each index.

    Raises:
        ValueError: If an id is there twice.

    *Cost:* One sort.
    """

    def __init__(self, values: pa.ChunkedArray) -> None:
        self.values = values.combine_chunks()
        self.order = pc.sort_indices(self.values).to_numpy()
        if len(pc.unique(self.values)) != len(self.values):
            raise ValueError("Expected each id once (got some twice); map ids anew")

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: int) -> str:
        """The id at an index.

        *Cost:* O(1).
        """
        return str(self.values[index].as_py())

    def index(self, raw: str) -> int | None:
        """The index of an id, :obj:`None` if it is unknown.

        *Cost:* O(log N).
        """
        at = bisect_left(self.order, raw.encode(), key=lambda i: self[i].encode())
        found = at < len(self) and self[self.order[at]] == raw
        return int(self.order[at]) if found else None
