import os
import struct
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from ltgnn_pyg.datasets.replace_file import replace_file
from ltgnn_pyg.runs import Ids, RunFolder

MAGIC, VERSION = b"LTGNNI8\0", 1
HAS_BIAS = 1  #: The bit of the flags that says that items have a bias.
SECTIONS = 11
HEADER = struct.Struct(f"<8s5I4x{SECTIONS}Q")
ALIGN = 64


def to_int8(
    run: RunFolder, out: str | os.PathLike[str], *, user: Tensor | None = None
) -> list[Path]:
    r"""Writes :obj:`model.int8`: a single file that a phone, a page or any language
    serves lists from.

    A row is a byte a number, and a scale:

    .. math::
        s_{ui} = a_u a_i \, \mathbf{q}_u^{\top} \mathbf{q}_i + b_i, \qquad
        \mathbf{q} = \mathrm{round} \Big( \frac{\mathbf{z}}{a} \Big), \quad
        a = \frac{\max_d |z_d|}{127}

    Beside them are the raw ids, and what each user has taken, to be left out of lists.
    The file is little-endian; its layout is in `docs/export.md`, and
    `examples/offline/reader.js` reads it.

    Args:
        run (RunFolder): The trained model.
        out (str): The folder, made if need be.
        user (torch.Tensor, optional): The users to write, counted from 0, each once,
            such as the one whose phone it is, or none. If :obj:`None`, all of them.
            (default: :obj:`None`)

    Returns:
        The file.

    Raises:
        ValueError: If users are out of range or not of type int64, or there is more
            than the file can count: 2^32 users, items, interactions or bytes of ids.

    *Cost:* :math:`(U + I) (D + 4)` bytes, and the ids and interactions.
    """
    folder, vectors = Path(out), run.vectors
    folder.mkdir(parents=True, exist_ok=True)
    if user is None:
        user = torch.arange(vectors.num_users)
    _check(user, vectors.num_users)
    (q_user, a_user), (q_item, a_item) = map(
        quantize_rows, (vectors.user[user], vectors.item)
    )
    bias = vectors.item_bias
    if bias is None:
        bias = torch.zeros(0)
    rowptr, col = run.seen
    count = rowptr.diff()[user]
    ptr = torch.cat([count.new_zeros(1), count.cumsum(0)])
    place = torch.arange(int(ptr[-1])) - (ptr[:-1] - rowptr[user]).repeat_interleave(
        count
    )
    sections = [
        a_user.numpy(), q_user.numpy(), a_item.numpy(), q_item.numpy(),
        bias.to(torch.float32).numpy(),
        _uint32(ptr.numpy()), _uint32(col[place].numpy()),
        *_strings(run.user_ids, user),
        *_strings(run.item_ids, torch.arange(vectors.num_items)),
    ]  # fmt: skip
    shape = len(user), vectors.num_items, vectors.dim
    offsets, end = [], HEADER.size
    for section in sections:
        offsets.append(-(-end // ALIGN) * ALIGN)
        end = offsets[-1] + section.nbytes
    flags = 0 if vectors.item_bias is None else HAS_BIAS
    header = HEADER.pack(MAGIC, VERSION, flags, *shape, *offsets)

    def write(to: Path) -> None:
        with open(to, "wb") as file:
            file.write(header)
            for offset, section in zip(offsets, sections, strict=True):
                file.write(bytes(offset - file.tell()))
                little = section.astype(section.dtype.newbyteorder("<"), copy=False)
                file.write(np.ascontiguousarray(little).data)

    return [replace_file(folder / "model.int8", write)]


def quantize_rows(x: Tensor) -> tuple[Tensor, Tensor]:
    r"""Rows as bytes and a scale each, :math:`\mathbf{x} \approx a \mathbf{q}`.

    Args:
        x (torch.Tensor): The rows.

    Shapes:
        - **input:** :math:`(N, D)`
        - **output:** :math:`\mathbf{q}` :math:`(N, D)` of :obj:`int8`, from -127 to
          127, and :math:`a` :math:`(N)` of :obj:`float32`; 0 for rows of zeros. No
          number is off by more than :math:`a / 2`.

    *Cost:* O(N x D).
    """
    x = x.to(torch.float32)
    scale = x.abs().amax(dim=1) / 127.0
    safe = scale.where(scale > 0.0, 1.0).unsqueeze(1)
    return (x / safe).round().clamp(-127, 127).to(torch.int8), scale


def _check(user: Tensor, num_users: int) -> None:
    if user.dtype != torch.long or user.dim() != 1:
        raise ValueError(
            f"Expected 'user' [Q] of type int64 (got {list(user.size())} of "
            f"{user.dtype}); flatten and convert it"
        )
    if user.numel() > 0 and (user.min() < 0 or user.max() >= num_users):
        raise ValueError(
            f"Expected 'user' in [0, {num_users}) (got {int(user.min())} to "
            f"{int(user.max())}); users are counted from 0"
        )
    if len(user.unique()) != len(user):
        raise ValueError("Expected each of 'user' once (got repeats); drop them")


def _strings(ids: Ids, index: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """The starts of ids, and all of them as UTF-8, one after the other."""
    values = ids.values.take(pa.array(index.numpy()))
    ptr = np.zeros(len(values) + 1, np.int64)
    np.cumsum(pc.binary_length(values).to_numpy(), out=ptr[1:])
    text = values.buffers()[2] if ptr[-1] > 0 else b""
    return _uint32(ptr), np.frombuffer(text, np.uint8)[: ptr[-1]]


def _uint32(values: np.ndarray) -> np.ndarray:
    if values.size > 0 and values.max() >= 2**32:
        raise ValueError(
            f"Expected interactions, and bytes of ids, below 2^32 (got "
            f"{values.max()}); write less users, by 'user'"
        )
    return values.astype(np.uint32)
