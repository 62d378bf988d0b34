"""Scores of single examples, some at once: checks before, memory, progress."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from liprune_utils.checks import InputError, require, whole_number
from liprune_utils.curvature import check_arguments
from liprune_utils.model_inputs import Inputs, num_examples, rows
from liprune_utils.scoring import check_tensor, untouched

_FIRST = 8  # examples of which two passes are compared


def in_chunks(
    score_chunk: Callable[[Inputs, Tensor, int], np.ndarray],
    model: nn.Module,
    inputs: Inputs,
    targets: Tensor,
    chunk_size: int,
    check: Callable[[Inputs], object],
) -> np.ndarray:
    """Return the joined scores of chunks: (inputs, targets, number of the first) -> scores.

    Before, ``check`` gets some inputs.
    """
    chunk_size = whole_number("chunk_size", chunk_size, 1)
    check_arguments(model, inputs, "eval")
    check_tensor(model, targets, "targets")
    count, scores = num_examples(inputs), []
    require(len(targets) == count, "The number of targets", len(targets), f"{count}")
    advice = _memory_advice(min(chunk_size, count))
    bar = tqdm(total=count, desc="Examples", disable=None, leave=None)
    with untouched(model, "eval"), advice, bar:
        check(rows(inputs, slice(min(chunk_size, _FIRST))))
        for first in range(0, count, chunk_size):
            chunk = slice(first, first + chunk_size)
            scores.append(score_chunk(rows(inputs, chunk), targets[chunk], first))
            bar.update(len(scores[-1]))
    return np.concatenate(scores)


@contextmanager
def _memory_advice(chunk_size: int) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        on_cpu = "can't allocate memory" in str(error)  # torch has no class of its own for it
        if not (on_cpu or isinstance(error, torch.OutOfMemoryError)):
            raise
        smaller = f"; try chunk_size={chunk_size // 2}"
        advice = smaller if chunk_size > 1 else ": one example does not fit"
        raise InputError(f"Out of memory with chunk_size {chunk_size}{advice}.") from error
