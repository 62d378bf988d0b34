"""Running statistics of batch norm for the weights as they are, not as they were on the way."""

import copy

import torch
from torch import Tensor, nn

from liprune_utils.batch_norm import BatchNorm
from liprune_utils.checks import require
from liprune_utils.curvature import check_arguments, undisturbed


def with_population_statistics(
    model: nn.Module, images: Tensor, batch_size: int = 500
) -> nn.Module:
    r"""Copy a model and recompute its batch norms' running statistics over all images.

    One pass with the batch norms alone in train mode. Of batches of sizes :math:`B_k` with channel
    means :math:`m_k` and unbiased variances :math:`v_k`, the statistics are

    .. math:: m = \frac1n \sum_k B_k m_k, \qquad v = \frac1n \sum_k B_k v_k .

    So a ragged last batch counts by its size. In the first batch norm m is the population's mean;
    deeper ones see features that the batches' own statistics have normalised. v lacks the variance
    between the batches' means, which is small for large shuffled batches.

    Args:
        model: A network that uses each of its batch norms once in a pass; it stays as it was.
        images: Its inputs, shape ``[n, ...]``, on its device.
        batch_size: Images in each batch but the last, >= 2.

    Returns:
        The copy, in eval mode, with the same weights.

    Raises:
        InputError: If a batch would be empty or a single image, or the model cannot be scored.
    """
    check_arguments(model, images, "train")
    require(batch_size >= 2, "batch_size", batch_size, "at least 2")
    whole = len(images) % batch_size != 1
    alone = f"a number that does not leave a last batch of one beside batches of {batch_size}"
    require(whole, "The number of images", len(images), alone)
    result = copy.deepcopy(model)
    norms = [module for module in result.modules() if isinstance(module, BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    _average(result, norms, images.split(batch_size))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    return result.eval()


# A batch's momentum is its share of what has been seen, which makes a mean of a moving average.
def _average(model: nn.Module, norms: list[BatchNorm], batches: tuple[Tensor, ...]) -> None:
    num_seen = 0
    for norm in norms:
        norm.reset_running_stats()
    with undisturbed(model, "train"), torch.no_grad():
        for batch in batches:
            num_seen += len(batch)
            for norm in norms:
                norm.momentum = len(batch) / num_seen
            model(batch)
