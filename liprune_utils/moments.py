r"""Exact second moments of SGD on least squares, in any dimension and for any sampling.

With :math:`e = w - w^*`, :math:`\rho_i = y_i - x_i \cdot w^*` and :math:`s_i = 1 / (n p_i)`, one
step is :math:`e^+ = (I - \eta s_i x_i x_i^\top) e + \eta s_i \rho_i x_i`. The mean
:math:`m = E\,e` and the second moment :math:`M = E\,e e^\top` follow a linear recursion, so that
:math:`E\|e_t\|^2` needs no simulation:

.. math::

   M^+ = M - \eta (H M + M H) + \eta^2 \sum_i p_i s_i^2 \big[ (x_i^\top M x_i)
         - 2 \rho_i (x_i \cdot m) + \rho_i^2 \big] x_i x_i^\top, \qquad m^+ = (I - \eta H) m,

where the terms of first order in :math:`\rho` are gone, since :math:`\sum_i \rho_i x_i = 0` at the
minimiser.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.linalg import eigh

from liprune_utils.problems import LeastSquares

MAX_DOUBLINGS = 20  # steps to a target are looked for up to 2^20


@dataclass(frozen=True)
class SecondMoments:
    """The recursion for one problem and one sampling; the step size comes later.

    ``keep_probability`` is the chance that a step is made at all (the paper's Eq. (2)), with a
    gradient divided by that chance; 1 for SGD.
    """

    problem: LeastSquares
    probabilities: np.ndarray  # [num_points]
    keep_probability: float = 1.0

    @cached_property
    def basis(self) -> np.ndarray:
        """Orthonormal basis of the symmetric matrices, ``[dim^2, dim (dim + 1) / 2]``."""
        dim = self.problem.x.shape[1]
        rows, columns = np.triu_indices(dim)
        basis = np.zeros((dim, dim, len(rows)))
        value = np.where(rows == columns, 1.0, np.sqrt(0.5))
        basis[rows, columns, range(len(rows))] = value
        basis[columns, rows, range(len(rows))] = value
        return basis.reshape(dim**2, -1)

    @cached_property
    def _first_order(self) -> np.ndarray:
        r"""The matrix of :math:`M \mapsto H M + M H` in that basis."""
        eye, hessian = np.eye(self.problem.x.shape[1]), self.problem.hessian
        both = np.kron(hessian, eye) + np.kron(eye, hessian)
        return self.basis.T @ both @ self.basis

    @cached_property
    def _second_order(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        r"""What :math:`\eta^2` multiplies: on M, on m, and the constant."""
        x, count = self.problem.x, len(self.problem.x)
        squares = (x[:, :, None] * x[:, None, :]).reshape(count, -1) @ self.basis  # x x^T
        weights = 1 / (self.keep_probability * count**2 * self.probabilities)  # r p s^2
        residuals = self.problem.y - x @ self.problem.minimiser
        weighted = squares * weights[:, None]
        on_mean = -2 * weighted.T @ (residuals[:, None] * x)
        return weighted.T @ squares, on_mean, weighted.T @ residuals**2

    @cached_property
    def largest_step_size(self) -> float:
        """The step size from which the second moment no longer stays bounded."""
        return 1 / eigh(self._second_order[0], self._first_order, eigvals_only=True)[-1]

    def operators(self, step_sizes: np.ndarray) -> np.ndarray:
        """Write one step as a matrix on (M, m, 1), for each of k step sizes.

        Args:
            step_sizes: Array of shape ``[k]``.

        Returns:
            Array of shape ``[k, size, size]`` with ``size = dim (dim + 1) / 2 + dim + 1``.
        """
        quadratic, on_mean, constant = self._second_order
        size, dim = len(quadratic), self.problem.x.shape[1]
        eta = np.asarray(step_sizes, dtype=float)[:, None, None]
        steps = np.zeros((len(eta), size + dim + 1, size + dim + 1))
        steps[:, :size, :size] = np.eye(size) - eta * self._first_order + eta**2 * quadratic
        steps[:, :size, size:-1] = eta**2 * on_mean
        steps[:, :size, -1] = eta[:, 0] ** 2 * constant
        steps[:, size:-1, size:-1] = np.eye(dim) - eta * self.problem.hessian
        steps[:, -1, -1] = 1
        return steps

    def start(self, weights: np.ndarray | None = None) -> np.ndarray:
        """Describe fixed weights ``[dim]``, zero by default, as (M, m, 1) of shape ``[size]``."""
        error = (0 if weights is None else weights) - self.problem.minimiser
        return np.concatenate([np.outer(error, error).ravel() @ self.basis, error, [1.0]])

    def errors(self, states: np.ndarray) -> np.ndarray:
        r"""Read :math:`E\|w - w^*\|^2`, shape ``[...]``, off states of shape ``[..., size]``."""
        trace = np.eye(self.problem.x.shape[1]).ravel() @ self.basis
        return states[..., : len(trace)] @ trace

    def path(self, step_size: float, num_steps: int) -> np.ndarray:
        r"""Compute :math:`E\|w_t - w^*\|^2` for t = 0, ..., ``num_steps`` from :math:`w_0 = 0`."""
        step, state = self.operators([step_size])[0], self.start()
        states = [state]
        for _ in range(num_steps):
            states.append(step @ states[-1])
        return self.errors(np.array(states))

    def error_after(self, step_size: float, num_steps: int) -> float:
        r"""Compute :math:`E\|w_t - w^*\|^2` at t = ``num_steps`` alone, by squaring the step."""
        power = np.linalg.matrix_power(self.operators([step_size])[0], num_steps)
        return float(self.errors(power @ self.start()))

    def steps_to(self, target: float, step_sizes: np.ndarray) -> np.ndarray:
        r"""Count the steps until :math:`E\|w_t - w^*\|^2 \le \epsilon`, between whole ones too.

        The error is taken to fall until it reaches the target; between two steps its logarithm is
        interpolated. An error that settles above the target counts as never there, even if it dips
        below on its way.

        Args:
            target: The target error :math:`\epsilon`, below the error at :math:`w_0 = 0`.
            step_sizes: Step sizes below `largest_step_size`, array of shape ``[k]``.

        Returns:
            Array of shape ``[k]``: at least 1, infinite where the target is not reached.
        """
        steps = np.full(len(step_sizes), np.inf)
        settles = self._floors(step_sizes) <= target
        if settles.any():
            steps[settles] = self._first_below(target, np.asarray(step_sizes)[settles])
        return steps

    # Where the mean square error settles: the fixed point of the recursion.
    def _floors(self, step_sizes: np.ndarray) -> np.ndarray:
        step = self.operators(step_sizes)
        linear, constant = step[:, :-1, :-1], step[:, :-1, -1:]
        return self.errors(np.linalg.solve(np.eye(linear.shape[1]) - linear, constant)[..., 0])

    # Count the steps where errors settle below the target: the highest powers above it.
    def _first_below(self, target: float, step_sizes: np.ndarray) -> np.ndarray:
        powers = self._doublings(target, step_sizes)
        states, steps = np.tile(self.start(), (len(powers[0]), 1)), np.zeros(len(powers[0]))
        for exponent in reversed(range(len(powers))):
            ahead = np.einsum("kij,kj->ki", powers[exponent], states)
            above = self.errors(ahead) > target
            states[above] = ahead[above]
            steps[above] += 2.0**exponent
        after = self.errors(np.einsum("kij,kj->ki", powers[0], states))
        reached = after <= target
        before, after = np.log(self.errors(states)), np.log(np.maximum(after, 1e-300))
        fraction = np.divide(
            before - np.log(target), before - after, where=reached, out=np.ones_like(after)
        )
        return np.where(reached, np.maximum(steps + fraction, 1.0), np.inf)

    # Raise the operators to 1, 2, 4, ... steps, until all errors are at the target.
    def _doublings(self, target: float, step_sizes: np.ndarray) -> list[np.ndarray]:
        powers = [self.operators(step_sizes)]
        while len(powers) <= MAX_DOUBLINGS:
            powers.append(powers[-1] @ powers[-1])
            if (self.errors(powers[-1] @ self.start()) <= target).all():
                break
        return powers
