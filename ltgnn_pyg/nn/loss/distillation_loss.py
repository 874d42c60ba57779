import torch.nn.functional as F
from torch import Tensor

from ltgnn_pyg.batch import PairBatch
from ltgnn_pyg.nn.loss.in_batch_softmax import Teacher
from ltgnn_pyg.nn.loss.objective import gather, in_full
from ltgnn_pyg.nn.loss.softmax_at_k_loss import SoftmaxAtKLoss


class DistillationLoss(SoftmaxAtKLoss):
    r"""Softmax for the first places of a list, :class:`~ltgnn_pyg.nn.SoftmaxAtKLoss`,
    towards what a teacher expects, a larger model trained before, from `"Distilling the
    Knowledge in a Neural Network" <https://arxiv.org/abs/1503.02531>`_.

    .. math::
        L = - \frac{1}{B} \sum_b w_b \sum_i t_{bi} \ln \frac{\exp s_{u_b i}}
        {\sum_j \exp s_{u_b j}}, \qquad
        t_{bi} = (1 - \lambda) \, \delta_{i i_b} + \lambda \, p^{T}_b(i)

    with :math:`p^{T}_b` the same softmax, at the same temperature, of the teacher's
    rows, over at most 1,024 of the items. It is :class:`~ltgnn_pyg.nn.SoftmaxAtKLoss`
    for :math:`\lambda = 0`, and as there :meth:`item_bias` makes the popularity of
    items good.

    .. code-block:: python

        with torch.no_grad():
            rows = teacher.get_embedding(data.edge_index)
        loss_fn = DistillationLoss(num_items, rows)
        student = LTGNN(num_users, num_items, loss_fn=loss_fn)

    Args:
        num_items (int): The number of items :math:`I`.
        teacher (torch.Tensor): The teacher's embeddings of all nodes
            :obj:`[num_nodes, teacher_dim]`, of any width. They follow the module to its
            device and are no part of its state.
        k (int, optional): The length of the list. (default: :obj:`20`)
        temperature (float, optional): :math:`\tau`. If :obj:`None`, by the density of
            the set, 0.12 or more, see :class:`~ltgnn_pyg.nn.loss.RankingLoss`.
            (default: :obj:`None`)
        weight_temperature (float, optional): :math:`\tau_w`. (default: :obj:`1.0`)
        teacher_weight (float, optional): :math:`\lambda` in :math:`[0, 1]`.
            (default: :obj:`0.8`)
        cosine (bool, optional): Scores by cosine, the teacher's rows too; otherwise by
            inner product. (default: :obj:`True`)

    Raises:
        ValueError: If :obj:`teacher` is no table of numbers or has fewer rows than
            there are nodes, another argument is out of its range, or a batch brings
            negatives.

    *Cost:* O(num_pairs x (num_pairs x dim + 1024 x teacher_dim)) time, O(num_pairs x
    (dim + teacher_dim + 1024)) memory; N x teacher_dim numbers.
    """

    teacher: Tensor

    def __init__(
        self,
        num_items: int,
        teacher: Tensor,
        k: int = 20,
        temperature: float | None = None,
        weight_temperature: float = 1.0,
        teacher_weight: float = 0.8,
        cosine: bool = True,
    ) -> None:
        super().__init__(num_items, k, temperature, weight_temperature, cosine)
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
        self.teacher_weight = teacher_weight
        self.register_buffer("teacher", teacher.detach(), persistent=False)

    def _teacher(self, z: Tensor, batch: PairBatch) -> tuple[Teacher, float]:
        """The teacher, from its rows, and its weight."""
        n_id = batch.n_id[: batch.num_seeds].to(self.teacher.device)
        try:
            rows = in_full(F.embedding(n_id, self.teacher).to(z.device))
        except IndexError as error:
            raise ValueError(
                f"Expected a row of 'teacher' for each node (got "
                f"{self.teacher.size(0)} rows and node {int(n_id.max())}); train the "
                "teacher on the same users and items"
            ) from error
        rows = F.normalize(rows, dim=-1) if self.cosine else rows
        src, dst = gather(rows, batch.src_index, batch.dst_pos_index)
        src = src / self.tau

        def expected(pairs: slice) -> Tensor:
            score = src[pairs] @ dst[pairs].t()
            return score.sub_(score.amax(1, keepdim=True)).exp_()

        return expected, self.teacher_weight
