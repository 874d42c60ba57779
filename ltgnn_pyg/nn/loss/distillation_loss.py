import torch.nn.functional as F
from torch import Tensor
from torch_geometric.data import Data

from ltgnn_pyg.nn.loss.in_batch_softmax import in_batch_softmax
from ltgnn_pyg.nn.loss.objective import Objective, gather, in_full, log_degree


class DistillationLoss(Objective):
    r"""Softmax over the items of the batch towards those of a teacher, a larger model
    trained before, from `"Distilling the Knowledge in a Neural Network"
    <https://arxiv.org/abs/1503.02531>`_.

    .. math::
        L = - \frac{1}{B} \sum_b \sum_i t_{bi} \ln \frac{\exp s_{u_b i}}
        {\sum_j \exp s_{u_b j}}, \qquad
        t_{bi} = (1 - \lambda) \, \delta_{i i_b} + \lambda \, p^{T}_b(i)

    with :math:`p^{T}_b` the same softmax, at the same temperature, of the teacher's
    rows, over at most 1,024 of the items. It is :class:`~ltgnn_pyg.nn.loss.SoftmaxLoss`
    for :math:`\lambda = 0`, and as there :meth:`item_bias` makes the popularity of
    items good.

    .. code-block:: python

        with torch.no_grad():
            rows = teacher.get_embedding(data.edge_index)
        student = LTGNN(num_users, num_items, loss_fn=DistillationLoss(rows))

    Args:
        teacher (torch.Tensor): The teacher's embeddings of all nodes
            :obj:`[num_nodes, teacher_dim]`, of any width. They follow the module to its
            device and are no part of its state.
        teacher_weight (float, optional): :math:`\lambda` in :math:`[0, 1]`.
            (default: :obj:`0.8`)
        temperature (float, optional): :math:`\tau`. (default: :obj:`0.12`)
        cosine (bool, optional): Scores by cosine, the teacher's rows too; otherwise by
            inner product. (default: :obj:`True`)

    Raises:
        ValueError: If :obj:`teacher` is no table of numbers or has fewer rows than
            there are nodes, :obj:`teacher_weight` or :obj:`temperature` is out of its
            range, or a batch brings negatives.

    *Cost:* O(num_pairs x (num_pairs x dim + 1024 x teacher_dim)) time, O(num_pairs x
    (dim + teacher_dim + 1024)) memory; N x teacher_dim numbers.
    """

    teacher: Tensor

    def __init__(
        self,
        teacher: Tensor,
        teacher_weight: float = 0.8,
        temperature: float = 0.12,
        cosine: bool = True,
    ) -> None:
        super().__init__()
        if teacher.dim() != 2 or not teacher.is_floating_point():
            raise ValueError(
                "Expected 'teacher' as embeddings [num_nodes, dim] (got "
                f"{teacher.dtype} of shape {list(teacher.size())}); pass what the "
                "teacher's 'get_embedding' returned"
            )
        if not 0.0 <= teacher_weight <= 1.0:
            raise ValueError(
                f"Expected 'teacher_weight' in [0, 1] (got {teacher_weight})"
            )
        if not temperature > 0.0:
            raise ValueError(f"Expected a positive 'temperature' (got {temperature})")
        self.teacher_weight = teacher_weight
        self.temperature = temperature
        self.cosine = cosine
        self.register_buffer("teacher", teacher.detach(), persistent=False)

    def forward(self, z: Tensor, batch: Data) -> Tensor:
        """Returns the mean loss of the batch, a scalar."""
        if "dst_neg_index" in batch:
            raise ValueError(
                "Expected the items of the batch as negatives beside a teacher (got "
                "'dst_neg_index'); build the loader without 'neg_sampling'"
            )
        n_id = batch.n_id[: batch.num_seeds].to(self.teacher.device)
        try:
            rows = F.embedding(n_id, self.teacher).to(z.device)
        except IndexError as error:
            raise ValueError(
                f"Expected a row of 'teacher' for each node (got "
                f"{self.teacher.size(0)} rows and node {int(n_id.max())}); train the "
                "teacher on the same users and items"
            ) from error
        index = batch.src_index, batch.dst_pos_index
        src, dst = self._sides(in_full(rows), index)

        def expected(pairs: slice) -> Tensor:
            score = src[pairs] @ dst[pairs].t()
            return score.sub_(score.amax(1, keepdim=True)).exp_()

        student = self._sides(z, index)
        return in_batch_softmax(
            *student, batch.dst_pos_index, None, expected, self.teacher_weight
        )

    def item_bias(self, degree: Tensor) -> Tensor:
        r"""Returns :math:`\tau \ln d_i`, as in-batch softmax does."""
        return self.temperature * log_degree(degree)

    def extra_repr(self) -> str:
        """The settings."""
        return (
            f"teacher_weight={self.teacher_weight}, temperature={self.temperature}, "
            f"cosine={self.cosine}"
        )

    def _sides(self, z: Tensor, index: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """The users' rows over the temperature, and the items' rows."""
        z = F.normalize(z, dim=-1) if self.cosine else z
        src, dst = gather(z, *index)
        return src / self.temperature, dst
