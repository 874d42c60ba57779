"""Lists of raw ids and scores, as :obj:`recommend` and :obj:`similar` print them."""

from typing import Any

from torch import Tensor

from ltgnn_pyg.cli.output import note, show
from ltgnn_pyg.runs import Ids


def show_lists(
    asked: list[str], of: str, scores: Tensor, found: Tensor, ids: Ids, to: str,
    path: str | None,
) -> None:  # fmt: skip
    """Prints the list of each id that was asked for.

    Args:
        asked (list): The raw ids.
        of (str): What they are, :obj:`"user"` or :obj:`"item"`.
        scores (torch.Tensor): Of each list, :obj:`[Q, k]`.
        found (torch.Tensor): The indices of what is listed, -1 where there is none.
        ids (Ids): The raw ids of it.
        to (str): What it is.
        path (str, optional): Where JSON goes.
    """
    lists: list[dict[str, Any]] = []
    for raw, row, row_scores in zip(
        asked, found.tolist(), scores.tolist(), strict=True
    ):
        pairs = [
            {to: ids[index], "score": score}
            for index, score in zip(row, row_scores, strict=True)
            if index >= 0
        ]
        lists.append({of: raw, f"{to}s": pairs})
    text: list[str] = []
    for each in lists:
        text.append(f"{of} {each[of]}")
        ranked = enumerate(each[f"{to}s"], 1)
        text += [f"{rank:4d}  {row['score']:9.4f}  {row[to]}" for rank, row in ranked]
    k = found.size(1)
    short = [each for each in lists if len(each[f"{to}s"]) < k]
    if short:
        others = f", and {len(short) - 1} more lists are short" if short[1:] else ""
        note(
            f"{of} {short[0][of]!r} has {len(short[0][f'{to}s'])} {to}s left to list, "
            f"of {k} asked for{others}"
        )
    show(lists, "\n".join(text), path)
