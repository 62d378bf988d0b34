"""Random numbers and problems, that the tests of what is computed share."""

import numpy as np
from hypothesis import settings

from liprune_utils.problems import LeastSquares, draw_least_squares

checked = settings(max_examples=60)


def seeded(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def make_least_squares(
    seed: int, dim: int, more: int, noise_sd: float = 0.5, spread: float = 0.7
) -> LeastSquares:
    return draw_least_squares(seeded(seed), dim + more, dim, noise_sd=noise_sd, spread=spread)
