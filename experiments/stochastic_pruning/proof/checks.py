"""A line of a proof and its checks: a search for a counterexample, or algebra by sympy.

A check is called with a generator. It returns None if the line passes, else the shortest
counterexample that it found, in words. ``sides`` returns the two sides of left <= right, or of
left = right; its arguments with a default are the constants that the line prints. Keyword arguments
of a check replace them: a check that passes with a wrong constant would be worth nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import sympy as sp
from numpy.typing import ArrayLike

Sides = tuple[ArrayLike, ArrayLike] | tuple[sp.Expr, sp.Expr]

OURS = "Ours"  # the place of a line that the paper does not have
TOLERANCE = 1e-7  # of the float64 searches, times 1 + |left| + |right|
NUM_POINTS = 1000  # at which a wrong formula is evaluated to show that it is wrong
SYMBOLS = {
    "probabilities": "p",
    "lipschitz": "L",
    "keep_probability": "r",
    "step_size": "η",
    "contraction": "λ",
    "kept": "ζ",
    "num_steps": "t",
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
    """Random instances that try to break a line in float64; ``draw`` returns those of ``sides``."""

    draw: Callable[[np.random.Generator], Mapping[str, object]]
    sides: Callable[..., Sides]
    equal: bool = False
    num_draws: int = 300
    method: ClassVar[str] = "search"

    def __call__(self, generator: np.random.Generator, **changes: float) -> str | None:
        """Search for the shortest counterexample."""
        found = []
        for _ in range(self.num_draws):
            instance = self.draw(generator)
            broken = violation(*self.sides(**instance, **changes), equal=self.equal)
            if broken:
                found.append(f"{describe(instance)}: {broken}")
        return min(found, key=len, default=None)


@dataclass(frozen=True)
class Algebra:
    """Expressions that sympy must compare, seen from the signs of their symbols.

    An equality passes if the difference simplifies to 0, an inequality if its factors, or its
    terms, are manifestly not negative: sums and products of squares and of symbols declared
    positive. A point that breaks the line makes the expressions of ``domain`` positive.
    """

    sides: Callable[..., Sides]
    equal: bool = False
    domain: tuple[sp.Expr, ...] = ()
    method: ClassVar[str] = "symbolic"

    def __call__(self, generator: np.random.Generator, **changes: float) -> str | None:
        """Simplify the difference, or read its sign."""
        left, right = self.sides(**changes)
        if self.equal:
            passes = sp.simplify(sp.expand_log(left - right)) == 0
        else:
            gap = right - left
            passes = any(form.is_nonnegative for form in (sp.expand(gap), sp.factor(gap)))
        return None if passes else self._break(generator, left, right)

    def _break(self, generator: np.random.Generator, left: sp.Expr, right: sp.Expr) -> str:
        expressions = [left, right, *self.domain]
        symbols = sorted(set().union(*(one.free_symbols for one in expressions)), key=str)
        points = np.array([_draw_values(symbol, generator) for symbol in symbols])
        with np.errstate(all="ignore"):
            values = sp.lambdify(symbols, expressions)(*points)
        left, right, *positive = (np.broadcast_to(value, NUM_POINTS) for value in values)
        usable = np.isfinite(left) & np.isfinite(right) & np.all(np.array(positive) > 0, axis=0)
        found = []
        for index in np.flatnonzero(usable):
            broken = violation(left[index], right[index], equal=self.equal)
            if broken:
                point = dict(zip(map(str, symbols), points[:, index], strict=True))
                found.append(f"{describe(point)}: {broken}")
        return min(found, key=len, default="sympy did not decide, and no point was found")


Check = Search | Algebra


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


# Tenths, of the sign that the symbol allows.
def _draw_values(symbol: sp.Symbol, generator: np.random.Generator) -> np.ndarray:
    sizes = generator.integers(1, 31, NUM_POINTS) / 10
    return sizes if symbol.is_positive else sizes * generator.choice([-1, 1], NUM_POINTS)


def violation(left: ArrayLike, right: ArrayLike, *, equal: bool = False) -> str:
    r"""Report the worst violation of left :math:`\le` right; NaN is one."""
    left, right = np.atleast_1d(*np.broadcast_arrays(left, right))
    gap = np.abs(left - right) if equal else left - right
    slack = TOLERANCE * (1 + np.abs(left) + np.abs(right)) - gap
    worst = np.argmin(slack)  # NaN comes first
    if slack[worst] >= 0:
        return ""
    return f"left {show(left[worst])} {'≠' if equal else '>'} right {show(right[worst])}"


def describe(instance: Mapping[str, object]) -> str:
    """Write an instance in words."""
    names = {name: f"{SYMBOLS.get(name, name)} = " for name in instance} | {"case": ""}
    return ", ".join(names[name] + show(value) for name, value in instance.items())


def show(value: object) -> str:
    """Write a value in words: numbers to four digits, arrays as tuples, one element as itself."""
    if isinstance(value, np.ndarray | tuple | list):
        parts = [show(part) for part in value]
        return parts[0] if len(parts) == 1 else f"({', '.join(parts)})"
    number = isinstance(value, float | int | np.number)
    text = f"{0 if abs(value) < 1e-14 else value:.4g}" if number else str(value)
    return text.replace("-", "\N{MINUS SIGN}")
