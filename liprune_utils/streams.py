"""Random streams: one for each purpose, so that methods share some of them and not others."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class StreamFamily:
    """The numbered purposes of an experiment; a call opens the stream of one of them."""

    purposes: Mapping[str, int]

    def __call__(self, seed: int, purpose: str, *keys: int) -> np.random.Generator:
        """Open the random stream of a purpose, at its start.

        Give a purpose the same number of keys every time: numpy ignores a last key of 0.

        Args:
            seed: Root seed, >= 0.
            purpose: A name in ``purposes``.
            *keys: Further whole numbers that tell streams apart, such as the run.

        Returns:
            The generator.
        """
        return np.random.default_rng([seed, self.purposes[purpose], *keys])
