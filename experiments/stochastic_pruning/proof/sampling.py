"""What Section 2 says of sampling and of stochastic pruning, line by line."""

from dataclasses import replace
from functools import partial
from itertools import product

import numpy as np
import sympy as sp

from experiments.stochastic_pruning.proof.cases import Case, draw_case, draw_step
from experiments.stochastic_pruning.proof.checks import Algebra, Line, Search, Sides
from liprune_utils.theory import lipschitz_sup, optimal

GRADIENT, P, N, R = sp.symbols("∇f p n r", positive=True)  # the summand of one index


# E[grad g_i] against grad F, index by index.
def _unbiased(power: int = 1) -> Sides:
    return P * GRADIENT / (N * P**power), GRADIENT / N


# The same if F were the mean under p.
def _weighted_mean(gradients: np.ndarray, probabilities: np.ndarray) -> Sides:
    return gradients.mean(), probabilities @ gradients


def _draw_gradients(generator: np.random.Generator) -> dict:
    weights, gradients = generator.integers(1, 4, 2), generator.integers(-3, 4, 2)
    return {"gradients": gradients, "probabilities": weights / weights.sum()}


# E[zeta grad g_i] against grad F, index by index, zeta and i independent.
def _unbiased_update(power: int = 1) -> Sides:
    expected_kept = R * 1 + (1 - R) * 0
    return expected_kept * P * GRADIENT / (R**power * N * P), GRADIENT / N


# The same where the chance of a step depends on the index.
def _dependent(gradients: np.ndarray, probabilities: np.ndarray, chances: np.ndarray) -> Sides:
    keep = probabilities @ chances
    return (chances * gradients).mean() / keep, gradients.mean()


def _draw_dependent(generator: np.random.Generator) -> dict:
    return _draw_gradients(generator) | {"chances": generator.choice([0.5, 1.0], 2)}


# Gradients of the g_i between w and w*, and between w and w + x_i, where least squares is sharp.
def _gradient_lipschitz(case: Case, kept: int, factor: float = 1.0) -> Sides:
    x, points = case.problem.x, np.arange(len(case.problem.x))
    moved = case.scales[:, None] * case.problem.gradients(case.weights + x, points)
    sharp = np.linalg.norm(moved - case.gradients(case.weights), axis=1)
    plain = np.linalg.norm(case.differences, axis=1)
    sizes = np.linalg.norm(x, axis=1), np.full(len(x), case.distance**0.5)
    largest = case.constants.lipschitz / case.keep_probability
    left = np.concatenate([sharp, plain, case.lipschitz])
    each = [factor * case.lipschitz * size for size in sizes]
    return left, np.concatenate([*each, np.full(len(x), factor * largest)])


# The function x^2 / 2 itself, whose gradient has Lipschitz constant 1.
def _function_lipschitz(function: str, x: int, y: int) -> Sides:
    return abs(x**2 - y**2) / 2, abs(x - y)


def _draw_pair(generator: np.random.Generator) -> dict:
    x, y = generator.integers(-3, 4, 2)
    return {"function": "x²/2", "x": x, "y": y}


# The sum of L_i / (L-bar * divisor) against 1.
def _sum_of_choice(lipschitz: np.ndarray, divisor: float = 1.0) -> Sides:
    return (lipschitz / lipschitz.mean() / divisor).sum(), 1


# L_i / (n L-bar): the sum is 1, and L_sup is the least.
def _best_choice(lipschitz: np.ndarray, probabilities: np.ndarray, power: float = 1.0) -> Sides:
    scores = lipschitz**power
    choice = scores / (len(scores) * scores.mean())
    largest = lipschitz_sup(lipschitz, choice), lipschitz_sup(lipschitz, probabilities)
    return np.array([abs(choice.sum() - 1), largest[0]]), np.array([0, largest[1]])


def _draw_constants(generator: np.random.Generator) -> dict:
    return {"lipschitz": generator.integers(1, 6, generator.integers(2, 5))}


def _draw_choice(generator: np.random.Generator) -> dict:
    constants = _draw_constants(generator)
    return constants | {"probabilities": generator.dirichlet(np.ones_like(constants["lipschitz"]))}


# The factor lambda at p ~ L is the largest, or the least (sign -1), of all.
def _factor_at_choice(case: Case, sign: int = 1) -> Sides:
    choice = replace(case, probabilities=optimal(case.problem.lipschitz))
    return sign * case.contraction(), sign * choice.contraction()


def _draw_lone_case(generator: np.random.Generator) -> dict:
    return {"case": draw_case(generator)}


# The share of n functions drawn in n iterations, by enumeration; repeats count unless distinct.
def _share(probabilities: np.ndarray, keep_probability: float, distinct: bool = True) -> Sides:
    num_points = len(probabilities)
    chances = np.append(keep_probability * probabilities, 1 - keep_probability)  # the last is idle
    share = 0.0
    for run in product(range(num_points + 1), repeat=num_points):
        drawn = [point for point in run if point < num_points]
        count = len(set(drawn)) if distinct else len(drawn)
        share += chances[list(run)].prod() * count / num_points
    return share, keep_probability


def _draw_sampling(generator: np.random.Generator) -> dict:
    weights = generator.integers(1, 4, generator.integers(1, 4))
    keep = generator.integers(1, 10) / 10
    return {"probabilities": weights / weights.sum(), "keep_probability": keep}


SAMPLING_LINES = (
    Line(
        name="unbiased gradient",
        place="Section 2, before Eq. (2)",
        printed=r"$\mathbb{E}[\nabla_w g_i(w)] = \nabla F(w)$ with $g_i(w) = \frac{1}{np_i} "
        "f_i(w)$",
        question="Is the importance-sampled gradient unbiased?",
        check=Algebra(_unbiased, equal=True),
        proof=r"$\sum_i p_i \frac{1}{np_i} \nabla f_i = \frac1n \sum_i \nabla f_i$, index by "
        "index.",
        given=r"$F = \frac1n \sum_i f_i$ is the uniform mean, not the mean under $p$",
        without=Search(_draw_gradients, _weighted_mean, equal=True),
    ),
    Line(
        name="unbiased update",
        place="Eqs. (2) and (5)",
        printed=r"$w_{t+1} = w_t - \eta \zeta_t \nabla_w g_{i_t}(w_t)$ with "
        r"$g_i(w) = \frac{1}{rnp_i} f_i(w)$",
        question=r"Is $\mathbb{E}[\zeta_t \nabla_w g_{i_t}(w)] = \nabla F(w)$?",
        check=Algebra(_unbiased_update, equal=True),
        proof=r"$\mathbb{E}\zeta_t = r$ cancels the $r$ in $g_i$.",
        given=r"$\zeta_t$ and $i_t$ are independent",
        without=Search(_draw_dependent, _dependent, equal=True),
    ),
    Line(
        name="Lipschitz constants",
        place="Section 2 and Theorem 2",
        printed=r"$g_i$ has Lipschitz constant $\frac{L_i}{rnp_i}$, and the largest of them is "
        r"$\frac1r L_{sup}(\mathbf{p})$ with $L_{sup}(\mathbf{p}) = \sup_i \frac{L_i}{np_i}$",
        question=r"Does $\frac1r L_{sup}(\mathbf{p})$ bound every constant?",
        check=Search(draw_step, _gradient_lipschitz),
        proof=r"A factor $\frac{1}{rnp_i}$ on $f_i$ is one on $\nabla f_i$ and on its constant.",
        given="the Lipschitz constant of a function means that of its gradient",
        without=Search(_draw_pair, _function_lipschitz),
    ),
    Line(
        name="optimal probabilities",
        place="Section 2, before Interpretation",
        printed=r"$p_i^* = \frac{L_i}{\bar{L}}$ where $\bar{L} = \frac1n \sum_{i=1}^n L_i$",
        question=r"Do these sum to 1 and minimise $L_{sup}(\mathbf{p})$?",
        check=Search(_draw_constants, _sum_of_choice, equal=True),
        corrected=r"$p_i^* = \frac{L_i}{n\bar{L}}$",
        corrected_check=Search(_draw_choice, _best_choice),
        proof=r"For any $p$ the mean $\sum_i p_i \frac{L_i}{np_i} = \bar{L}$ is at most the "
        r"largest term, $L_{sup}(\mathbf{p})$; at $p^*$ all terms are $\bar{L}$.",
    ),
    Line(
        name="optimal factor",
        place="Section 2, Conclusion",
        printed=r"To maximize the factor $\lambda$, the probability vector should be chosen as "
        r"$p_i = \frac{L_i}{\sum_j L_j}$",
        question=r"Is $\lambda$ largest at these probabilities?",
        check=Search(_draw_lone_case, _factor_at_choice),
        corrected=r"To minimise the factor $\lambda$, the probabilities should be these",
        corrected_check=Search(_draw_lone_case, partial(_factor_at_choice, sign=-1)),
        proof=r"At a fixed $\eta$, $\lambda$ grows with $L_{sup}(\mathbf{p})$, which they "
        r"minimise. A small $\lambda$ is fast.",
    ),
    Line(
        name="share of the data",
        place="Section 2, after Eq. (2)",
        printed="when we train for $n$ iterations, only a fraction $r$ of the data will be "
        "sampled on average",
        question=r"Is the expected share $r$?",
        check=Search(_draw_sampling, _share, equal=True, num_draws=100),
        corrected="$n$ iterations make $rn$ draws on average, of fewer than $rn$ functions",
        corrected_check=Search(
            _draw_sampling, partial(_share, distinct=False), equal=True, num_draws=100
        ),
        proof="Each of the $n$ iterations draws with probability $r$. The expected share of "
        r"distinct functions is $\frac1n \sum_i (1 - (1 - rp_i)^n)$, below $r$ for $n > 1$.",
    ),
)
