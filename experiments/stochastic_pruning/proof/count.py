"""Appendix A's step size and number of steps, line by line, and our simpler bound.

The algebra treats every symbol as positive.
"""

from dataclasses import replace
from functools import partial

import numpy as np
import sympy as sp

from experiments.stochastic_pruning.proof.cases import Case, draw_case, draw_start
from experiments.stochastic_pruning.proof.checks import OURS, Algebra, Line, Search, Sides
from liprune_utils.theory import (
    Constants,
    noise_floor,
    stated_tail,
    theorem_num_steps,
    theorem_step_size,
)

R, MU, L, NOISE, EPS, START, T, D = sp.symbols("r μ L σ² ε ε₀ t d", positive=True)
ETA, LAM, LOG, Y, EXTRA = sp.symbols("η λ log(2ε₀/ε) y m", positive=True)
SIGNED = sp.Symbol("s", real=True)
HALF = sp.Rational(1, 2)

CONDITIONS = (1 - R, L - MU, R - ETA * L)  # of the theorem: all are positive
CONSTANTS = Constants(L, MU, NOISE)
STEP_SIZE = R * theorem_step_size(CONSTANTS, EPS)
STEPS = (L / MU + NOISE / (MU**2 * EPS)) / R  # the theorem's t over 4 log(2 eps_0 / eps)


# lambda at a step size.
def _contraction(eta: sp.Expr) -> sp.Expr:
    return 1 - 2 * MU * eta / R * (1 - eta / R * L)


# The noise term of Eq. (6) against that of the theorem.
def _noise_term(divisor: sp.Expr | int = 1) -> Sides:
    term = 2 * ETA**2 * NOISE / (R**2 * (1 - _contraction(ETA)))
    return term, noise_floor(CONSTANTS, ETA / R) / divisor


# The appendix's step size against the theorem's.
def _step_size(factor: int = 2) -> Sides:
    return MU * EPS / R / (factor * NOISE / R**2 + 2 * MU * EPS / R**2 * L), STEP_SIZE


# eta L_sup / r at the theorem's step size.
def _relative_step(limit: sp.Expr = HALF) -> Sides:
    return STEP_SIZE * L / R, limit


def _noise_half(share: int = 2) -> Sides:
    return noise_floor(CONSTANTS, STEP_SIZE / R), EPS / share


# lambda at L = mu + m and eta L / r = 1/2 + s, with m > 0 and any s.
def _least_contraction(least: sp.Expr = HALF) -> Sides:
    relative = HALF + SIGNED
    lipschitz = MU + EXTRA
    return least, 1 - 2 * MU / lipschitz * relative * (1 - relative)


# log of (lambda^{rt/2} eps_0) / (eps / 2) against the difference of the printed logarithms.
def _logarithm(power: sp.Expr = HALF) -> Sides:
    ratio = sp.log(LAM ** (power * R * T)) + sp.log(START) - sp.log(EPS / 2)
    return ratio, R * T / 2 * sp.log(LAM) - sp.log(EPS / (2 * START))


# lambda^{rt/2} eps_0 where the printed condition, read from left to right, is met.
def _read_literally(
    contraction: float, keep_probability: float, num_steps: int, target: float, initial: float
) -> Sides:
    power = keep_probability * num_steps / 2
    met = power * np.log(contraction) <= np.log(target / 2 * initial)
    return contraction**power * initial if met else 0, target / 2


def _draw_target(generator: np.random.Generator) -> dict:
    return {
        "contraction": generator.integers(10, 20) / 20,
        "keep_probability": generator.integers(1, 10) / 10,
        "num_steps": int(generator.integers(1, 20)),
        "target": generator.integers(1, 10) / 10,
        "initial": float(generator.integers(1, 10)),
    }


# Slopes of x and of -log(1 - x), which are both 0 at 0; x = y / (1 + y) is in (0, 1).
def _log_slope(factor: float = 1) -> Sides:
    x = sp.Symbol("x")
    return sp.Integer(1), sp.diff(-factor * sp.log(1 - x), x).subs(x, Y / (1 + Y))


# Steps that suffice, 2 log(2 eps_0 / eps) / (r (1 - lambda)), against those printed.
def _num_steps(factor: int = 4, needed: int = 2) -> Sides:
    return needed * LOG / (R * (1 - _contraction(STEP_SIZE))), factor * LOG * STEPS


# Theorem 2's step size for a case, and a multiple of Theorem 1's number of steps over r.
def _planned(case: Case, target: float, factor: float) -> tuple[Case, int]:
    size = case.keep_probability * theorem_step_size(case.constants, target)
    steps = theorem_num_steps(case.constants, target, case.distance) / case.keep_probability
    return replace(case, step_size=size), int(np.ceil(factor * steps))


# P(error > eps) after the theorem's number of steps.
def _theorem_count(case: Case, target: float, factor: float = 2.0) -> Sides:
    planned, num_steps = _planned(case, target, factor)
    return planned.failure(num_steps, target), stated_tail(num_steps, case.keep_probability)


def _draw_goal(generator: np.random.Generator) -> dict:
    while True:
        case = draw_case(generator)
        target = case.distance * float(generator.choice([0.1, 0.5, 0.9]))
        if target > 0 and _planned(case, target, factor=2.0)[1] <= 400:  # so that the check is fast
            return {"case": case, "target": target}


# SGD on zeta g_i: Needell's factor and floor against ours; the weight y keeps them apart.
def _same_as_sgd(power: int = 1) -> Sides:
    lipschitz, noise = L / R, NOISE / R**power
    factor = 1 - 2 * MU * ETA * (1 - ETA * lipschitz)
    floor = ETA * noise / (MU * (1 - ETA * lipschitz))
    return factor + Y * floor, 1 - R * (1 - _contraction(ETA)) + Y * noise_floor(CONSTANTS, ETA / R)


# Our bound, with the expectation over zeta too.
def _expected(case: Case, num_steps: int, rate: float = 2.0) -> Sides:
    factor = 1 - case.keep_probability * (1 - case.contraction(rate))
    bound = factor**num_steps * case.distance + noise_floor(case.constants, case.step)
    return case.total_error(num_steps), bound


# One factor of our bound's first term against one of the theorem's, at x = 1 - lambda.
def _sharper(x: float, keep_probability: float, power: float = 0.5) -> Sides:
    return 1 - keep_probability * x, (1 - x) ** (power * keep_probability)


def _draw_rate(generator: np.random.Generator, largest: float = 0.5) -> dict:
    x, keep = largest * generator.integers(0, 101) / 100, generator.integers(1, 100) / 100
    return {"x": x, "keep_probability": keep}


CHOICE = "Appendix A, after Eq. (6)"
COUNT = "Appendix A, last display"

COUNT_LINES = (
    Line(
        name="step size",
        place=CHOICE,
        printed=r"$\eta = \frac{\frac{\mu\epsilon}{r}}{2\frac{1}{r^2}\sigma^2(\mathbf{p}) + "
        r"2\frac{\mu\epsilon}{r^2}L_{sup}(\mathbf{p})}$",
        question=r"Is this Theorem 2's $\eta = \frac{\mu r \epsilon}{2\sigma^2(\mathbf{p}) + 2\mu "
        r"L_{sup}(\mathbf{p})\epsilon}$?",
        check=Algebra(_step_size, equal=True),
        proof=r"Multiply numerator and denominator by $r^2$.",
    ),
    Line(
        name="step-size condition",
        place="Theorem 2",
        printed=r"Suppose $\eta < r/L_{sup}(\mathbf{p})$ ... by choosing $\eta = \frac{\mu r "
        r"\epsilon}{2\sigma^2(\mathbf{p}) + 2\mu L_{sup}(\mathbf{p})\epsilon}$",
        question="Does the chosen step size meet the condition?",
        check=Algebra(_relative_step),
        proof=r"Even $\frac{\eta}{r} L_{sup}(\mathbf{p}) \leq \frac12$: the numerator is half of "
        "the denominator's second term.",
    ),
    Line(
        name="noise term",
        place=CHOICE,
        printed=r"$2\frac{\eta^2 \sigma^2(\mathbf{p})}{r^2(1-\lambda)} = \frac{\eta "
        r"\sigma^2(\mathbf{p})}{\mu r d \left(1 - \frac{\eta}{r} L_{sup}(\mathbf{p})\right)}$",
        question=r"What is $d$? (Perhaps an error of the transcription that we read.)",
        check=Algebra(partial(_noise_term, divisor=D), equal=True, domain=CONDITIONS),
        corrected=r"$2\frac{\eta^2 \sigma^2(\mathbf{p})}{r^2(1-\lambda)} = \frac{\eta "
        r"\sigma^2(\mathbf{p})}{\mu r \left(1 - \frac{\eta}{r} L_{sup}(\mathbf{p})\right)}$",
        corrected_check=Algebra(_noise_term, equal=True),
        proof=r"$1 - \lambda = 2\mu\frac{\eta}{r} (1 - \frac{\eta}{r} L_{sup}(\mathbf{p}))$. The "
        "theorem prints no $d$.",
    ),
    Line(
        name="half for the noise",
        place=CHOICE,
        printed=r"$\frac{\eta \sigma^2(\mathbf{p})}{\mu r \left(1 - \frac{\eta}{r} "
        r"L_{sup}(\mathbf{p})\right)} \leq \frac{\epsilon}{2}$",
        question="Does the step size leave half of the target to the noise?",
        check=Algebra(_noise_half),
        proof=r"The left side is $\frac{\epsilon \sigma^2(\mathbf{p})}{2\sigma^2(\mathbf{p}) + \mu "
        r"L_{sup}(\mathbf{p})\epsilon}$.",
    ),
    Line(
        name="logarithms",
        place="Appendix A, last display but one",
        printed=r"In order to have $\lambda^{rt/2} \epsilon_0 \leq \epsilon/2$, it is sufficient "
        r"to have $\frac{rt}{2} \times \log(\lambda) \leq \log(\epsilon/2\epsilon_0)$",
        question="Are the two the same?",
        check=Algebra(_logarithm, equal=True),
        proof="The logarithm increases: the condition is necessary too.",
        given=r"$\epsilon/2\epsilon_0$ means $\frac{\epsilon}{2\epsilon_0}$, not "
        r"$\frac{\epsilon}{2} \epsilon_0$",
        without=Search(_draw_target, _read_literally),
    ),
    Line(
        name="least factor",
        place=COUNT,
        printed=r"with $x = 1 - \lambda$",
        question=r"Is $\lambda > 0$, so that $\log(1 - x)$ exists?",
        check=Algebra(_least_contraction),
        proof=r"$\lambda < 1$ for $\eta < r / L_{sup}(\mathbf{p})$. With $\mu \leq \bar{L} \leq "
        r"L_{sup}(\mathbf{p})$ and $\frac{\eta}{r} L_{sup}(\mathbf{p}) = \frac12 + s$, $\lambda - "
        r"\frac12 = \frac{L_{sup}(\mathbf{p}) - \mu + 4\mu s^2}{2L_{sup}(\mathbf{p})} \geq 0$.",
    ),
    Line(
        name="logarithm and its tangent",
        place=COUNT,
        printed=r"$\frac{-1}{\log(1-x)} \leq 1/x$",
        question=r"Does it hold on $(0, 1)$?",
        check=Algebra(_log_slope),
        proof=r"$-\log(1-x)$ and $x$ are both 0 at 0, and the slope of the first, "
        r"$\frac{1}{1-x}$, is at least that of the second.",
    ),
    Line(
        name="number of steps",
        place=COUNT,
        printed=r"$t \geq 4 \log\left(\frac{2\epsilon_0}{\epsilon}\right) \frac{1}{r} "
        r"\left(\frac{L_{sup}(\mathbf{p})}{\mu} + "
        r"\frac{\sigma^2(\mathbf{p})}{\mu^2\epsilon}\right)$",
        question="Are so many steps enough?",
        check=Algebra(_num_steps),
        proof=r"By the lines on logarithms $t \geq \frac2r \log\frac{2\epsilon_0}{\epsilon} / (1 - "
        r"\lambda)$ is enough, and $1 - \lambda \geq \mu\frac{\eta}{r}$ since $\frac{\eta}{r} "
        r"L_{sup}(\mathbf{p}) \leq \frac12$.",
        given=r"$\epsilon < 2\epsilon_0$; else no step is needed",
    ),
    Line(
        name="Theorem 2, steps",
        place="Theorem 2, second display",
        printed=r"with probability at least $1 - e^{-\frac{r^2 t}{2}}$ we have that "
        r"$\mathbb{E}\lVert w_t - w^*\rVert_2^2 \leq \epsilon$ for $t = 4 "
        r"\log\left(\frac{2\epsilon_0}{\epsilon}\right) \frac{1}{r} "
        r"\left(\frac{L_{sup}(\mathbf{p})}{\mu} + \frac{\sigma^2(\mathbf{p})}{\mu^2 "
        r"\epsilon}\right)$",
        question="Does the exact error meet the target with this probability?",
        check=Search(_draw_goal, _theorem_count, num_draws=100),
        proof="The first display of the theorem and the lines above.",
        given=r"$\mathbb{E}$ is over the indices, conditional on $\zeta$; $t$ is rounded up",
    ),
)

SIMPLER_LINES = (
    Line(
        name="expected error",
        place=OURS,
        printed=r"$\mathbb{E}\lVert w_t - w^*\rVert_2^2 \leq (1 - r(1 - \lambda))^t \lVert w_0 - "
        r"w^*\rVert_2^2 + \frac{\eta \sigma^2(\mathbf{p})}{\mu r \left(1 - \frac{\eta}{r} "
        r"L_{sup}(\mathbf{p})\right)}$ for every $t$, for certain",
        question=r"Is there a bound with the expectation over $\zeta$ too?",
        check=Search(draw_start, _expected),
        proof=r"$\zeta_t$ is independent of $w_t$: the step's inequality, averaged over "
        r"$\zeta_t$, has the factor $1 - r(1 - \lambda)$ and the noise $2\frac{\eta^2}{r} "
        r"\sigma^2(\mathbf{p})$. Sum the geometric series.",
    ),
    Line(
        name="never weaker",
        place=OURS,
        printed=r"$(1 - rx)^t \leq (1 - x)^{rt/2}$ for $0 \leq x \leq \frac12$, at $x = 1 - "
        r"\lambda$",
        question="Is our bound ever above Theorem 2's?",
        check=Search(_draw_rate, _sharper),
        proof=r"$\log(1 - rx) \leq -rx \leq \frac r2 \log(1 - x)$. The second holds since $\log(1 "
        r"- x) + 2x$ is concave, zero at 0 and positive at $\frac12$.",
        given=r"$x \leq \frac12$, which holds for $1 - \lambda$",
        without=Search(partial(_draw_rate, largest=0.99), _sharper),
    ),
    Line(
        name="plain SGD",
        place=OURS,
        printed=r"Theorem 2.1 of Needell et al. for the functions $\zeta g_i$, drawn with "
        r"$(\zeta, i)$, has the factor $1 - r(1 - \lambda)$ and the same second term",
        question="Is our bound a theorem that exists?",
        check=Algebra(_same_as_sgd, equal=True),
        proof=r"The constants of $\zeta g_i$ are at most $\frac1r L_{sup}(\mathbf{p})$, and its "
        r"noise is $\mathbb{E}\lVert\zeta \nabla g_i(w^*)\rVert^2 = \frac1r \sigma^2(\mathbf{p})$.",
    ),
    Line(
        name="half the steps",
        place=OURS,
        printed=r"At the theorem's step size, $t \geq 2 "
        r"\log\left(\frac{2\epsilon_0}{\epsilon}\right) \frac{1}{r} "
        r"\left(\frac{L_{sup}(\mathbf{p})}{\mu} + "
        r"\frac{\sigma^2(\mathbf{p})}{\mu^2\epsilon}\right)$ gives $\mathbb{E}\lVert w_t - "
        r"w^*\rVert_2^2 \leq \epsilon$, for certain",
        question="How many steps does our bound need?",
        check=Algebra(partial(_num_steps, factor=2, needed=1)),
        proof=r"As above with $(1 - r(1 - \lambda))^t$: $t \geq \log\frac{2\epsilon_0}{\epsilon} / "
        r"(r(1 - \lambda))$ is enough.",
        given=r"$\mathbb{E}$ is over the indices and over $\zeta$",
    ),
)
