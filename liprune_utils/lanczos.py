"""Lanczos' method for the eigenvalue of largest absolute value, of one operator or of many."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from liprune_utils.checks import InputError, require, require_fraction, whole_number

_MIN_PRODUCTS = 3  # before that, a start vector amid equal eigenvalues passes for an eigenvector
_ASYMMETRY = 0.02  # of products, in norms; of right ones in float32 about 1e-5
_ROUNDING = 1e-3
_SETTLED = 1e-3  # of residuals, in norms: where vectors begin to lose their orthogonality
_NOT_SYMMETRIC = (
    "The Hessian-vector products are not symmetric, so torch's second derivative of some operation "
    "is wrong; expected a model or loss without it (torch.autograd.gradgradcheck finds it)."
)
_NOT_FINITE = "A Hessian-vector product is not finite; expected a smooth loss."


@dataclass(frozen=True)
class DominantEigenvalue:
    r"""The eigenvalue of largest absolute value of an operator :math:`H`, and its accuracy.

    Some eigenvalue of :math:`H` is within ``residual`` of ``eigenvalue``, up to rounding. That none
    is larger in absolute value is likely, but not certified: the start vector may have little of
    its eigenvector, and where the largest two lie close, a loose tolerance may settle on the
    second. The ``error`` has the same reservation and is of second order: where the other
    eigenvalues keep a distance ``gap``, a residual :math:`\rho` lets the eigenvalue be off by at
    most :math:`\rho^2 / \mathrm{gap}` (Parlett, *The Symmetric Eigenvalue Problem*, Theorem
    11.7.1). The gap is estimated by the nearest other Ritz value, less that one's own residual.

    How likely it is was measured on 1,000 random perceptrons in float64, one to three layers deep
    and up to 16 wide (``tests/library/test_honest_errors.py``). To a tolerance of 1e-2, 11% of the
    norms that had converged, of batches and of single examples, were more than 1% too small; to a
    tolerance of 1e-4, which takes half as many products again, 0.8% were. They had two to five
    classes. With many classes an example has several eigenvalues close to the largest: on 300
    networks of 30 classes 21% of the examples' norms were too small to 1e-2, and 0.8% to 1e-4.

    Attributes:
        eigenvalue: The Ritz value :math:`\lambda`, with its sign; :math:`|\lambda| \le \|H\|_2`.
        residual: :math:`\rho = \|H v - \lambda v\|`, >= 0.
        error: :math:`\min(\rho, \rho^2 / \mathrm{gap})`, >= 0.
        num_products: Hessian-vector products taken, >= 1.
        converged: Whether the error is at most ``tolerance`` times the norm.
        eigenvector: The unit vector :math:`v`, shape ``[num_parameters]``.
        guess: A start vector for a similar operator, shape ``[num_parameters]``, a multiple of
            :math:`H \sum_i (\lambda_i / \lambda)^2 v_i` over all Ritz pairs, since another one may
            be the largest there. It is the start vector where :math:`H` is zero.
    """

    eigenvalue: float
    residual: float
    error: float
    num_products: int
    converged: bool
    eigenvector: Tensor = field(repr=False, compare=False)
    guess: Tensor = field(repr=False, compare=False)

    @property
    def norm(self) -> float:
        r"""The spectral norm :math:`|\lambda|`."""
        return abs(self.eigenvalue)


def lanczos(
    product: Callable[[Tensor], Tensor],
    start: Tensor,
    tolerance: float,
    max_products: int,
    rough: bool = False,
    fresh: Callable[[], Tensor] | None = None,
) -> DominantEigenvalue:
    r"""Find the eigenvalue of largest absolute value of a symmetric operator.

    Of :math:`H Q = Q T + \beta\, q\, e^\top`, a Ritz pair :math:`T s = \lambda s` has the residual
    :math:`\beta\, |s_{\mathrm{last}}|`, without another product (Golub and Van Loan, *Matrix
    Computations*, 4th edition, Section 10.1). The vectors lose their orthogonality by rounding over
    such a residual (Paige, *Linear Algebra and its Applications* 34, 1980), so each is made
    orthogonal to all before from where a residual is a thousandth of the norm.

    Args:
        product: Multiplies a vector by the operator, into one that may be overwritten; float32 or
            float64, shape ``[n]``, on both sides.
        start: Start vector, shape ``[n]``: random, or a guess at the eigenvector.
        tolerance: Stop when the error is at most this fraction of the eigenvalue, in (0, 1).
        max_products: Stop after this many products at the latest, >= 1; n suffice.
        rough: Whether one product may do, for a good guess and a loose tolerance. The gap is then
            taken to be at most a quarter of the norm, since few Ritz values are known.
        fresh: Draws a random vector like ``start``, to go on from where a guess spans an invariant
            subspace: the operator may vanish on what was largest for another one.

    Returns:
        The eigenvalue, with its eigenvector.

    Raises:
        InputError: If a product is not finite.

    Example:
        >>> diagonal = torch.tensor([3.0, -5.0, 1.0], dtype=torch.float64)
        >>> start = torch.ones(3, dtype=torch.float64)
        >>> result = lanczos(lambda v: diagonal * v, start, tolerance=1e-9, max_products=3)
        >>> round(result.eigenvalue, 6), round(result.norm, 6)
        (-5.0, 5.0)
    """
    _check_limits(tolerance, max_products)
    usable = bool(start.isfinite().all() and start.any())
    require(usable, "The start vector", "zero or not finite", "another")
    krylov, min_products = _Krylov(product, near_one(start)), 1 if rough else _MIN_PRODUCTS
    while True:
        krylov.multiply()
        value, count = krylov.values[0].item(), len(krylov.basis)
        nearest = abs(value) / 4 if rough else np.inf
        error = _error(krylov.values[None], krylov.residuals[None], nearest).item()
        converged = error <= tolerance * abs(value)
        invariant = krylov.beta <= np.finfo(float).eps * abs(value)  # the basis spans all there is
        if invariant and fresh and count < min(max_products, len(start)):
            krylov.restart(fresh())
            fresh = None
        elif count == max_products or invariant or (converged and count >= min_products):
            break
        else:
            krylov.extend()
    scaled = (krylov.scale * number for number in (value, krylov.residuals[0].item(), error))
    return DominantEigenvalue(*scaled, count, converged, krylov.eigenvector(), krylov.guess())


class _Krylov:
    """Lanczos vectors, and what an operator H does to them: H Q = scale (Q T + rest e')."""

    def __init__(self, product: Callable[[Tensor], Tensor], start: Tensor) -> None:
        self.product, self.basis, self.scale = product, [start / start.norm()], 0.0
        self.diagonal, self.off_diagonal = [], []  # of T

    def multiply(self) -> None:
        """Multiply the last vector; find the rest, of length ``beta``, and the Ritz pairs."""
        image = self.product(self.basis[-1])
        if not self.scale:  # so that squares are within float32
            self.scale = float(_power_of_two(image.abs().amax()))
        self.rest, latest = image.div_(self.scale), self.basis[-2:]
        parts = [float(q @ self.rest) for q in latest]
        for q, part in zip(latest, parts, strict=True):
            self.rest.sub_(q, alpha=part)
        self.beta = float(self.rest.norm())
        if not math.isfinite(parts[-1] + self.beta):
            raise InputError(_NOT_FINITE)
        self.diagonal.append(parts[-1])
        self._decompose()
        if self.residuals.min() <= _SETTLED * abs(self.values[0]):
            self.beta = float(_orthogonalise(self.rest, self.basis).norm())
            self.residuals = self.beta * np.abs(self.vectors[-1])
        if self.off_diagonal:
            beta_before = np.array(self.off_diagonal[-1:])
            _check_symmetry(np.abs(parts[0] - beta_before), beta_before, self.values[:1])

    def extend(self) -> None:
        """Go on with the rest."""
        self.off_diagonal.append(self.beta)
        self.basis.append(self.rest.div_(self.beta))

    def restart(self, vector: Tensor) -> None:
        """Go on with another vector, where there is no rest."""
        rest = _orthogonalise(vector, self.basis)
        self.off_diagonal.append(0.0)
        self.basis.append(rest.div_(rest.norm()))

    def eigenvector(self) -> Tensor:
        """Return the first Ritz vector."""
        return _combine(self.vectors[:, 0], self.basis)

    def guess(self) -> Tensor:
        """Return a start vector for a similar operator, which takes no product."""
        weights = np.square(self.values / (self.values[0] or 1.0)) * self.scale
        guess = _combine(self.vectors @ (self.values * weights), self.basis)
        guess.add_(self.rest, alpha=float(self.vectors[-1] @ weights))
        return guess if guess.any() else self.basis[0]

    def _decompose(self) -> None:
        beside = np.diag(self.off_diagonal, 1)
        T = np.diag(self.diagonal) + beside + beside.T
        ritz = _ritz(T[None], np.array([self.beta]))
        self.values, self.vectors, self.residuals = (array[0] for array in ritz)


def lanczos_many(
    products: Callable[[np.ndarray], Callable[[Tensor], Tensor]],
    start: Tensor,
    tolerance: float,
    max_products: int,
) -> np.ndarray:
    """Find the eigenvalue of largest absolute value of each of many operators, all in step.

    Args:
        products: Given the numbers of some operators, returns what multiplies a row for each by
            it; float32 or float64, shape ``[len(numbers), n]``, on both sides. It is called again
            with the others when half of them have converged.
        start: Start vectors, shape ``[count, n]``.
        tolerance: As in `lanczos`, of each operator.
        max_products: As in `lanczos`.

    Returns:
        Array of shape ``[count, 4]``: eigenvalue, residual, error and number of products of each
        operator, as of the product at which it converged.

    Raises:
        InputError: If a product is not finite.
    """
    _check_limits(tolerance, max_products)
    krylov, active = _ManyKrylov(products, start, max_products), np.ones(len(start), dtype=bool)
    results = np.empty((len(start), 4))
    for num_products in range(1, max_products + 1):
        krylov.multiply(active)
        found = krylov.estimates()
        results[krylov.numbers[active]] = found[active]
        if num_products >= _MIN_PRODUCTS:
            value, _, error, _ = found.T
            active &= error > tolerance * np.abs(value)
        if not active.any():
            break
        krylov.extend()
        if 2 * active.sum() <= len(active):
            krylov.keep(active)
            active = active[active]
    return results


class _ManyKrylov:
    """As `_Krylov`, for many operators in step: ``T`` is [count, ...], a vector is a row."""

    def __init__(
        self,
        products: Callable[[np.ndarray], Callable[[Tensor], Tensor]],
        start: Tensor,
        max_products: int,
    ) -> None:
        self.products, self.numbers, self.scale = products, np.arange(len(start)), None
        self.product, self.basis = products(self.numbers), [start / start.norm(dim=1)[:, None]]
        self.T = np.zeros((len(start), max_products + 1, max_products + 1))
        self.is_whole = True  # until some are left out

    def multiply(self, active: np.ndarray) -> None:
        """Multiply the last vectors; find the rests, of length ``beta``, and the Ritz values."""
        image, last = self.product(self.basis[-1]), len(self.basis) - 1
        if self.scale is None:  # so that squares are within float32; a power changes no digit
            self.scale = _power_of_two(image.abs().amax(dim=1))
        image = image / self.scale[:, None]
        inner = [_inner(q, image).cpu().numpy() for q in self.basis[-2:]]
        self.rest = _orthogonalise(image, self.basis)
        self.beta = self.rest.norm(dim=1)
        beta = self.beta.double().cpu().numpy()
        if not np.isfinite(inner[-1] + beta).all():
            raise InputError(_NOT_FINITE)
        self.T[:, last, last] = inner[-1]
        self.values, _, self.residuals = _ritz(self.T[:, : last + 1, : last + 1], beta)
        if last and self.is_whole:  # of few, one that is rounding would be most
            beta_before = self.T[active, last, last - 1]
            skews = np.abs(inner[0][active] - beta_before)
            _check_symmetry(skews, beta_before, self.values[active, 0])

    def estimates(self) -> np.ndarray:
        """Return the columns that `lanczos_many` does."""
        scale = self.scale.double().cpu().numpy()[:, None]
        error = _error(self.values, self.residuals)
        found = scale * np.column_stack([self.values[:, 0], self.residuals[:, 0], error])
        return np.column_stack([found, np.full(len(found), len(self.basis))])

    def extend(self) -> None:
        """Go on with the rests."""
        last = len(self.basis) - 1
        self.T[:, last, last + 1] = self.T[:, last + 1, last] = self.beta.cpu()
        tiny = torch.finfo(self.beta.dtype).tiny
        self.basis.append(self.rest.div_(self.beta.clamp(min=tiny)[:, None]))

    def keep(self, some: np.ndarray) -> None:
        """Leave the other operators out."""
        self.basis = [vectors[some] for vectors in self.basis]
        self.numbers, self.T, self.scale = self.numbers[some], self.T[some], self.scale[some]
        self.product, self.is_whole = self.products(self.numbers), False


def near_one(vector: Tensor) -> Tensor:
    """Multiply a vector by the power of two that brings its largest entry to between 1 and 2."""
    return vector / _power_of_two(vector.abs().amax())


def _power_of_two(sizes: Tensor) -> Tensor:
    """Return the powers of two below some sizes, 1 for zero and for what is not finite."""
    exponents = sizes.frexp().exponent - 1
    return torch.ldexp(torch.ones_like(sizes), exponents).where(sizes.isfinite() & (sizes > 0), 1.0)


def _check_limits(tolerance: float, max_products: int) -> None:
    require_fraction("tolerance", tolerance)
    whole_number("max_products", max_products, 1)


def _check_symmetry(skews: np.ndarray, betas: np.ndarray, values: np.ndarray) -> None:
    """Refuse operators of which most are not symmetric, where a step was more than rounding."""
    meaningful = betas > _ROUNDING * np.abs(values)
    skewed = skews[meaningful] > _ASYMMETRY * np.abs(values[meaningful])
    if skewed.sum() > len(skewed) / 2:
        raise InputError(_NOT_SYMMETRIC)


def _combine(weights: np.ndarray, basis: list[Tensor]) -> Tensor:
    total = torch.zeros_like(basis[0])
    for weight, q in zip(weights.tolist(), basis, strict=True):
        total.add_(q, alpha=weight)
    return total


def _orthogonalise(vectors: Tensor, basis: list[Tensor]) -> Tensor:
    """Take off, in place, the part in the basis: first of the latest two, which have most of it."""
    for q in [*basis[-2:], *basis]:
        vectors.addcmul_(q, _inner(q, vectors)[..., None], value=-1)
    return vectors


def _inner(first: Tensor, second: Tensor) -> Tensor:
    """Return the inner products of two vectors, or of the rows of two matrices."""
    if first.ndim == 1:
        return first @ second
    return torch.bmm(first[:, None], second[:, None].mT)[:, 0, 0]


def _ritz(matrices: np.ndarray, beta: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return Ritz values, the largest in absolute value first, their vectors and residuals."""
    values, vectors = np.linalg.eigh(matrices)
    order = np.abs(values).argsort(axis=1)[:, ::-1]
    values = np.take_along_axis(values, order, axis=1)
    vectors = np.take_along_axis(vectors, order[:, None], axis=2)
    return values, vectors, beta[:, None] * np.abs(vectors[:, -1])


def _error(values: np.ndarray, residuals: np.ndarray, nearest: float = np.inf) -> np.ndarray:
    """Return the first Ritz values' estimated errors, if another lies at distance ``nearest``."""
    gaps = np.abs(values[:, 1:] - values[:, :1]) - residuals[:, 1:]
    gap = gaps.min(axis=1, initial=nearest)
    if values.shape[1] == 1 and nearest == np.inf:
        gap = 0.0  # of a single Ritz value only the residual is known
    residual = residuals[:, 0]
    return residual * (residual / np.maximum(np.maximum(gap, residual), np.finfo(float).tiny))
