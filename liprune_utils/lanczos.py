"""Lanczos' method for the eigenvalue of largest absolute value, of one operator or of many."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from liprune_utils.parameters import InputError, require

MIN_PRODUCTS = 3  # before that, a start vector amid equal eigenvalues passes for an eigenvector
NOT_FINITE = "A Hessian-vector product is not finite; expected a smooth loss."


@dataclass(frozen=True)
class DominantEigenvalue:
    r"""The eigenvalue of largest absolute value, and how well it is known.

    Some eigenvalue of :math:`H` is within ``residual`` of ``eigenvalue``, up to rounding. That none
    is larger in absolute value is likely, since the start vector is random, but not certified.

    Attributes:
        eigenvalue: The Ritz value :math:`\lambda`, with its sign.
        residual: :math:`\|H v - \lambda v\|`, >= 0.
        num_products: Hessian-vector products taken, >= 1.
        converged: Whether the residual is at most ``tolerance`` times the norm.
        eigenvector: The unit vector :math:`v`, float64, shape ``[num_parameters]``.
    """

    eigenvalue: float
    residual: float
    num_products: int
    converged: bool
    eigenvector: Tensor = field(repr=False, compare=False)

    @property
    def norm(self) -> float:
        r"""The spectral norm :math:`|\lambda|`."""
        return abs(self.eigenvalue)


def lanczos(
    product: Callable[[Tensor], Tensor], start: Tensor, tolerance: float, max_products: int
) -> DominantEigenvalue:
    r"""Find the eigenvalue of largest absolute value of a symmetric operator.

    Full reorthogonalisation keeps :math:`H Q = Q T + \beta\, q\, e^\top` exact up to rounding, so a
    Ritz pair :math:`T s = \lambda s` has the residual :math:`\beta\, |s_{\mathrm{last}}|`, without
    another product (Golub and Van Loan, *Matrix Computations*, 4th edition, Section 10.1).

    Args:
        product: Multiplies a vector by the operator; float64, shape ``[n]``, on both sides.
        start: Random start vector, float64, shape ``[n]``.
        tolerance: Stop when the residual is at most this fraction of the eigenvalue, in (0, 1).
        max_products: Stop at the latest after so many products, >= 1; n suffice.

    Returns:
        The eigenvalue, with its vector.

    Raises:
        InputError: If an argument is out of range or a product is not finite.
    """
    _check_limits(tolerance, max_products)
    basis, diagonal, beside = [start / start.norm()], [], []
    while True:
        image = product(basis[-1])
        diagonal.append(float(basis[-1] @ image))
        rest = _orthogonalise(image, basis)
        beta = float(rest.norm())
        if not math.isfinite(diagonal[-1] + beta):
            raise InputError(NOT_FINITE)
        value, vector = _largest_ritz_pair(diagonal, beside)
        residual = beta * abs(vector[-1])
        converged = residual <= tolerance * abs(value)
        spanned = beta <= np.finfo(float).eps * abs(value)  # nothing new: the subspace is invariant
        num_products = len(diagonal)
        if num_products == max_products or spanned or (converged and num_products >= MIN_PRODUCTS):
            break
        beside.append(beta)
        basis.append(rest / beta)
    eigenvector = sum(s * q for s, q in zip(vector, basis, strict=True))
    return DominantEigenvalue(value, residual, num_products, converged, eigenvector)


def _orthogonalise(vector: Tensor, basis: list[Tensor]) -> Tensor:
    for q in basis * 2:  # twice, since rounding undoes some of the first time
        vector = vector - (q @ vector) * q
    return vector


def _largest_ritz_pair(diagonal: list[float], beside: list[float]) -> tuple[float, list[float]]:
    T = np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1)
    values, vectors = np.linalg.eigh(T)
    largest = np.argmax(abs(values))
    return values[largest].item(), vectors[:, largest].tolist()


def lanczos_many(
    product: Callable[[Tensor], Tensor], start: Tensor, tolerance: float, max_products: int
) -> np.ndarray:
    """Find the eigenvalue of largest absolute value of many operators, in step.

    Args:
        product: Multiplies each row by its operator; float32 or float64, shape ``[count, n]``, on
            both sides.
        start: Random start vectors, shape ``[count, n]``.
        tolerance: As in `lanczos`, of each operator.
        max_products: As in `lanczos`.

    Returns:
        Array of shape ``[count, 3]``: eigenvalue, residual and products of each, as of the product
        at which it converged. The others are multiplied on.

    Raises:
        InputError: If an argument is out of range or a product is not finite.
    """
    _check_limits(tolerance, max_products)
    count, size = start.shape
    basis = start.new_empty(count, max_products + 1, size)
    basis[:, 0] = start / start.norm(dim=1, keepdim=True)
    tridiagonal = np.zeros((count, max_products + 1, max_products + 1))
    found, unsettled = np.empty((count, 3)), np.ones(count, dtype=bool)
    for k in range(1, max_products + 1):
        image = product(basis[:, k - 1])
        alpha = torch.bmm(basis[:, k - 1 : k], image[:, :, None])[:, 0, 0]
        rest = _orthogonalise_rows(image, basis[:, :k])
        beta = rest.norm(dim=1)
        if not (alpha + beta).isfinite().all():
            raise InputError(NOT_FINITE)
        tridiagonal[:, k - 1, k - 1] = alpha.cpu()
        value, last = _largest_ritz_pairs(tridiagonal[:, :k, :k])
        residual = beta.double().cpu().numpy() * np.abs(last)
        found[unsettled] = np.column_stack([value, residual, np.full(count, k)])[unsettled]
        if k >= MIN_PRODUCTS:
            unsettled &= residual > tolerance * np.abs(value)
        if not unsettled.any():
            break
        tridiagonal[:, k - 1, k] = tridiagonal[:, k, k - 1] = beta.cpu()
        torch.div(rest, beta.clamp(min=torch.finfo(beta.dtype).tiny)[:, None], out=basis[:, k])
    return found


# First against the two latest vectors, which is all that exact arithmetic needs; then against all.
def _orthogonalise_rows(image: Tensor, basis: Tensor) -> Tensor:
    for part in (basis[:, -2:], basis):  # [count, k, n]
        inner = torch.bmm(image[:, None], part.mT)  # [count, 1, k]
        image = torch.baddbmm(image[:, None], inner, part, alpha=-1)[:, 0]
    return image


# The Ritz value of largest size, and the last entry of its vector, of each matrix.
def _largest_ritz_pairs(matrices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    values, vectors = np.linalg.eigh(matrices)
    largest = np.abs(values).argmax(axis=1)
    rows = np.arange(len(values))
    return values[rows, largest], vectors[rows, -1, largest]


def _check_limits(tolerance: float, max_products: int) -> None:
    require(0 < tolerance < 1, "tolerance", tolerance, "a number in (0, 1)")
    require(max_products >= 1, "max_products", max_products, "at least 1")
