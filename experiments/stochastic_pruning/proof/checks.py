"""A line of a proof and its checks: a search for a counterexample, or algebra by sympy.

A check is called with a generator. It returns None if the line passes, else the shortest
counterexample that it found, in words. Keyword arguments replace constants of the line: a check
that passes with a wrong constant would be worth nothing, and the tests try.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import sympy as sp
from numpy.typing import ArrayLike

Sides = tuple[ArrayLike, ArrayLike]
Algebra = tuple[sp.Expr, sp.Expr]

OURS = "Ours"  # the place of a line that the paper does not have
TOLERANCE = 1e-7  # of the float64 searches, times 1 + |left| + |right|
NEGLIGIBLE = 1e-14  # shown as 0
NUM_POINTS = 1000  # at which a wrong formula is evaluated to show that it is wrong
SYMBOLS = {
    "probabilities": "p",
    "lipschitz": "L",
    "keep_probability": "r",
    "step_size": "η",
    "strong_convexity": "μ",
    "contraction": "λ",
    "kept": "ζ",
    "num_steps": "t",
    "num_points": "n",
    "target": "ε",
    "initial": "ε₀",
    "function": "f",
    "widths": "b",
    "gradients": "∇f",
    "chances": "P(ζ = 1 given i)",
    "curvatures": "f″",
}  # how a counterexample names what the code names in words


@dataclass(frozen=True)
class Search:
    r"""Random instances that try to break left :math:`\le` right, or left = right, in float64.

    ``draw`` takes a generator and returns an instance, ``sides`` takes the instance's entries as
    keyword arguments and returns both sides, numbers or arrays.
    """

    draw: Callable[[np.random.Generator], Mapping[str, object]]
    sides: Callable[..., Sides]
    equal: bool = False
    num_draws: int = 300
    method: ClassVar[str] = "search"

    def __call__(self, generator: np.random.Generator, **changes: float) -> str | None:
        """Search.

        Args:
            generator: Source of the instances.
            **changes: Other constants for ``sides``.

        Returns:
            The shortest of the counterexamples found, or None.
        """
        found = []
        for _ in range(self.num_draws):
            instance = self.draw(generator)
            broken = violation(*self.sides(**instance, **changes), equal=self.equal)
            if broken:
                found.append(f"{describe(instance)}: {broken}")
        return min(found, key=len, default=None)


@dataclass(frozen=True)
class Identity:
    """Two expressions that sympy must find equal; ``sides`` returns both.

    A point that shows a difference makes the expressions of ``domain`` positive.
    """

    sides: Callable[..., Algebra]
    domain: tuple[sp.Expr, ...] = ()
    method: ClassVar[str] = "symbolic"

    def __call__(self, generator: np.random.Generator, **changes: float) -> str | None:
        """Simplify the difference.

        Args:
            generator: Source of the points that show a difference.
            **changes: Other constants for ``sides``.

        Returns:
            A point at which the expressions differ, or None if their difference simplifies to 0.
        """
        left, right = self.sides(**changes)
        if sp.simplify(sp.expand_log(left - right)) == 0:
            return None
        return _broken_at(generator, (left, right), self.domain, equal=True)


@dataclass(frozen=True)
class Inequality:
    r"""left :math:`\le` right, seen from the signs of the symbols; ``sides`` returns both.

    The difference passes if its factors, or its terms, are manifestly not negative: sums and
    products of squares and of symbols declared positive. ``domain`` is that of an `Identity`.
    """

    sides: Callable[..., Algebra]
    domain: tuple[sp.Expr, ...] = ()
    method: ClassVar[str] = "symbolic"

    def __call__(self, generator: np.random.Generator, **changes: float) -> str | None:
        """Factor the difference and read its sign.

        Args:
            generator: Source of the points that show a violation.
            **changes: Other constants for ``sides``.

        Returns:
            A point that breaks the inequality, or None if it is manifest.
        """
        left, right = self.sides(**changes)
        forms = sp.expand(right - left), sp.factor(right - left)
        if any(form.is_nonnegative for form in forms):
            return None
        return _broken_at(generator, (left, right), self.domain)


Check = Search | Identity | Inequality


@dataclass(frozen=True)
class Line:
    """A line of the proof. Texts are Markdown with LaTeX between dollars, without vertical bars."""

    name: str  # short and unique
    place: str  # in the paper, or ``OURS``
    printed: str  # what the paper prints
    question: str  # what is asked of it
    check: Check  # of the printed line
    proof: str  # of the corrected line if there is one, else of the printed one
    corrected: str = ""
    corrected_check: Check | None = None
    given: str = ""  # what the line takes for granted, in the reading under which it is checked
    without: Check | None = None  # of the line without that


# The shortest point of the domain that breaks left <= right, or left = right.
def _broken_at(
    generator: np.random.Generator,
    sides: Algebra,
    domain: tuple[sp.Expr, ...],
    *,
    equal: bool = False,
) -> str:
    expressions = [*sides, *domain]
    symbols = sorted(set().union(*(one.free_symbols for one in expressions)), key=str)
    points = [_values(symbol, generator) for symbol in symbols]  # [num_symbols, NUM_POINTS]
    with np.errstate(all="ignore"):
        values = sp.lambdify(symbols, expressions)(*points)
    left, right, *positive = (np.broadcast_to(value, NUM_POINTS) for value in values)
    usable = np.isfinite(left) & np.isfinite(right) & np.all(np.array(positive) > 0, axis=0)
    found = []
    for index in np.flatnonzero(usable):
        broken = violation(left[index], right[index], equal=equal)
        if broken:
            point = {
                str(symbol): value[index] for symbol, value in zip(symbols, points, strict=True)
            }
            found.append(f"{describe(point)}: {broken}")
    return min(found, key=len, default="sympy did not decide, and no point was found")


# Tenths, of the sign that the symbol allows.
def _values(symbol: sp.Symbol, generator: np.random.Generator) -> np.ndarray:
    sizes = generator.integers(1, 31, NUM_POINTS) / 10
    return sizes if symbol.is_positive else sizes * generator.choice([-1, 1], NUM_POINTS)


def violation(left: ArrayLike, right: ArrayLike, *, equal: bool = False) -> str:
    r"""Report the worst violation of left :math:`\le` right; NaN is one.

    Args:
        left: Number or array.
        right: Number or array of the same shape.
        equal: Whether the sides must be equal.

    Returns:
        Both sides in words, or an empty text.
    """
    left, right = np.atleast_1d(*np.broadcast_arrays(left, right))
    gap = np.abs(left - right) if equal else left - right
    slack = TOLERANCE * (1 + np.abs(left) + np.abs(right)) - gap
    worst = np.argmin(slack)  # NaN comes first
    if slack[worst] >= 0:
        return ""
    return f"left {show(left[worst])} {'≠' if equal else '>'} right {show(right[worst])}"


def describe(instance: Mapping[str, object]) -> str:
    """Write an instance in words.

    Args:
        instance: Its entries; the entry ``case`` names itself.

    Returns:
        The text, such as "λ = 0.5, ζ = (0, 1)".
    """
    names = {name: f"{SYMBOLS.get(name, name)} = " for name in instance} | {"case": ""}
    return ", ".join(names[name] + show(value) for name, value in instance.items())


def show(value: object) -> str:
    """Write a value in words: numbers to four digits, arrays as tuples, one element as itself.

    Args:
        value: A number, an array, or anything that has a text.

    Returns:
        The text, with a true minus sign.
    """
    if isinstance(value, np.ndarray | tuple | list):
        parts = [show(part) for part in value]
        return parts[0] if len(parts) == 1 else f"({', '.join(parts)})"
    number = isinstance(value, float | int | np.number)
    text = f"{0 if abs(value) < NEGLIGIBLE else value:.4g}" if number else str(value)
    return text.replace("-", "\N{MINUS SIGN}")
