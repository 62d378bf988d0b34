r"""Exact excess loss of SGD on a kept set, for least squares with label noise.

The labels are :math:`y_i = w^* \cdot x_i + \sigma \varepsilon_i`. In each step B of the kept points
are drawn with replacement. With the error :math:`e = w - w^*` a step is

.. math:: e^+ = (I - \eta A) e + \eta b, \qquad
    A = \frac1B \sum_j x_j x_j^\top, \quad b = \frac\sigma B \sum_j \varepsilon_j x_j .

The labels' noise is drawn once, so that e depends on it. The recursion is linear in the pair of
:math:`S = E[e e^\top]` and :math:`C = E[e\, \sigma \varepsilon^\top]`, over noise and draws.
"""

from typing import NamedTuple

import numpy as np


class Excess(NamedTuple):
    """The two parts of the expected excess test loss after each step, from step 0 on."""

    contraction: np.ndarray  # what is left of the first error, [num_steps + 1]
    noise: np.ndarray  # what the labels' noise has added, [num_steps + 1]

    @property
    def total(self) -> np.ndarray:
        """The expected excess test loss."""
        return self.contraction + self.noise


class Kept(NamedTuple):
    """A kept set, and how SGD goes on it."""

    x: np.ndarray  # [num_kept, dim]
    step_size: float
    batch_size: int
    noise_sd: float

    @property
    def moment(self) -> np.ndarray:
        """M_K, the mean of x xᵀ over the kept points."""
        return self.x.T @ self.x / len(self.x)

    def advance(self, second: np.ndarray, cross: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Take one step: S and C, of shapes ``[dim, dim]`` and ``[dim, num_kept]``."""
        shrink = np.eye(len(second)) - self.step_size * self.moment
        one, variance = 1 / self.batch_size, self.noise_sd**2
        moved = shrink @ second @ shrink.T + one * self.step_size**2 * (
            self._fourth(second) - self.moment @ second @ self.moment
        )
        pull = self._pull(cross)
        added = variance * self.moment * (one + (1 - one) / len(self.x))
        drift = self.step_size * variance * self.x.T / len(self.x)
        return moved + pull + pull.T + self.step_size**2 * added, shrink @ cross + drift

    def _fourth(self, second: np.ndarray) -> np.ndarray:
        """E[x xᵀ S x xᵀ] over the kept points."""
        sizes = np.vecdot(self.x @ second, self.x)
        return (self.x * sizes[:, None]).T @ self.x / len(self.x)

    def _pull(self, cross: np.ndarray) -> np.ndarray:
        """E[(I - ηA) e (ηb)ᵀ]: where the error and the noise of the drawn labels meet."""
        one, mean = 1 / self.batch_size, cross @ self.x / len(self.x)
        own = np.vecdot(cross.T, self.x)  # of each point
        same = (self.x * own[:, None]).T @ self.x / len(self.x)
        both = one * same + (1 - one) * self.moment @ mean
        return self.step_size * (mean - self.step_size * both)


def excess_path(kept: Kept, moment: np.ndarray, start: np.ndarray, num_steps: int) -> Excess:
    r"""Follow :math:`\tfrac12 \mathrm{tr}(M S_t)` from the error ``start``, apart for both causes.

    The first error and the labels' noise are independent: their parts add up.
    """
    dim, count = len(start), len(kept.x)
    quiet, none = kept._replace(noise_sd=0.0), np.zeros((dim, count))
    states = {"contraction": (np.outer(start, start), none), "noise": (np.zeros((dim, dim)), none)}
    runs, found = {"contraction": quiet, "noise": kept}, {name: [] for name in states}
    for _ in range(num_steps + 1):
        for name, state in states.items():
            found[name].append((moment * state[0]).sum() / 2)
            states[name] = runs[name].advance(*state)
    return Excess(*(np.array(found[name]) for name in Excess._fields))


def estimation(kept: Kept, moment: np.ndarray) -> float:
    r"""Compute the excess of the minimiser, :math:`\frac{\sigma^2}{2k} \mathrm{tr}(M M_K^{-1})`."""
    return kept.noise_sd**2 / (2 * len(kept.x)) * np.trace(np.linalg.solve(kept.moment, moment))


def floor(kept: Kept, moment: np.ndarray) -> float:
    r"""Compute SGD's excess above the minimiser, :math:`\frac{\eta \sigma^2}{4B} \mathrm{tr} M`.

    The leading term in the step size and in d/k, in which the kept set does not matter.
    """
    return kept.step_size * kept.noise_sd**2 * np.trace(moment) / (4 * kept.batch_size)


def parts(x: np.ndarray, moment: np.ndarray) -> dict[str, float]:
    """Compute what the parts of the loss ask of kept points; lower is better."""
    inverse = np.linalg.inv(x.T @ x / len(x))
    return {
        "1 / least eigenvalue": float(np.linalg.norm(inverse, 2)),
        "condition number": float(np.linalg.cond(inverse)),
        "largest constant": float((x**2).sum(axis=1).max()),
        "estimation": float(np.trace(moment @ inverse)),
        "error of the weights": float(np.trace(inverse)),
    }
