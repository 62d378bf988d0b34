r"""Appendix A from the recursion to Eq. (6) and the first part of Theorem 2, line by line.

``kept`` holds a run's :math:`\zeta`, given which the error and every probability are exact.
"""

from functools import partial
from itertools import product

import numpy as np
import sympy as sp

from experiments.stochastic_pruning.proof.cases import Case, draw_run, draw_start
from experiments.stochastic_pruning.proof.checks import Algebra, Line, Search, Sides
from liprune_utils.theory import exact_tail, noise_floor, stated_tail

R, T = sp.symbols("r t", positive=True)
HALF = sp.Rational(1, 2)


# The first line as printed: zeta_0 to zeta_t lead to w_{t+1}, chi_j counts zeta_1 to zeta_j.
def _printed_recursion(case: Case, kept: np.ndarray, always: bool = False) -> Sides:
    factor, made = case.contraction(), np.cumsum(kept[1:])
    noise = 2 * case.step**2 * case.constants.noise * (1 if always else kept[-1])
    right = factor ** made[-1] * case.distance + noise * (factor**made).sum()
    return case.errors(kept.sum())[-1], right


# A run whose last step is idle.
def _draw_idle_end(generator: np.random.Generator) -> dict:
    run = draw_run(generator)
    return run | {"kept": np.append(run["kept"], 0)}


# The corrected line: zeta_1 to zeta_t lead to w_t.
def _recursion(case: Case, kept: np.ndarray, rate: float = 2.0, noise: float = 2.0) -> Sides:
    factor, made = case.contraction(rate), np.cumsum(kept)
    total = (kept * factor ** (made[-1] - made)).sum()
    right = factor ** made[-1] * case.distance + noise * case.step**2 * case.constants.noise * total
    return case.errors(made[-1])[-1], right


# The sum of the first line, with its zeta_t, against that of the second.
def _printed_sum(contraction: float, kept: np.ndarray) -> Sides:
    return kept[-1] * (contraction ** np.cumsum(kept)).sum(), 1 / (1 - contraction)


# The corrected sum: its closed form, and the bound.
def _geometric_sum(contraction: float, kept: np.ndarray, limit: float = 1.0) -> Sides:
    made = np.cumsum(kept)
    total = (kept * contraction ** (made[-1] - made)).sum()
    closed = (1 - contraction ** made[-1]) / (1 - contraction)
    return np.array([total, closed, total]), np.array([closed, total, limit / (1 - contraction)])


def _draw_sum(generator: np.random.Generator) -> dict:
    contraction = generator.integers(10, 20) / 20  # in [1/2, 1), as for every problem
    return {"contraction": contraction, "kept": generator.integers(0, 2, generator.integers(1, 12))}


# The second line as a bound, with the printed indices.
def _conclusion(case: Case, kept: np.ndarray, rate: float = 2.0, floor: float = 1.0) -> Sides:
    contracted = case.contraction(rate) ** kept[1:].sum() * case.distance
    right = contracted + floor * noise_floor(case.constants, case.step)
    return case.errors(kept.sum())[-1], right


# P(|S - ES| >= t) for S a sum of widths times Bernoulli variables, against the bound at z.
def _hoeffding(
    widths: np.ndarray,
    keep_probability: float,
    z: float,
    t: float | None = None,
    exponent: float = 2.0,
) -> Sides:
    outcomes = np.array(list(product([0, 1], repeat=len(widths))))
    made = outcomes.sum(axis=1)
    chances = keep_probability**made * (1 - keep_probability) ** (len(widths) - made)
    deviations = np.abs((outcomes - keep_probability) @ widths)
    tail = chances[deviations >= (z if t is None else t) - 1e-12].sum()
    return tail, 2 * np.exp(-exponent * z**2 / (widths**2).sum())


def _draw_sums(generator: np.random.Generator) -> dict:
    widths, z = generator.integers(1, 4, generator.integers(1, 7)), generator.integers(1, 9) / 2
    return {"widths": widths, "keep_probability": generator.integers(1, 10) / 10, "z": z}


def _draw_loose_sums(generator: np.random.Generator) -> dict:
    return _draw_sums(generator) | {"t": generator.integers(1, 9) / 2}


# Hoeffding's exponent 2 z^2 / t at z = r t / 2.
def _exponent(part: sp.Expr = HALF) -> Sides:
    return 2 * (part * R * T) ** 2 / T, R**2 * T / 2


# P(chi_t < r t / 2), exactly, against the stated tail.
def _tail(
    num_steps: int, keep_probability: float, factor: float = 1.0, power: float = 1.0
) -> Sides:
    stated = stated_tail(num_steps, keep_probability)
    return exact_tail(num_steps, keep_probability), factor * stated**power


def _draw_tail(generator: np.random.Generator) -> dict:
    num_steps = int(10 ** generator.uniform(0, 3))
    return {"num_steps": num_steps, "keep_probability": generator.integers(1, 100) / 100}


# Theorem 2, on w_t after zeta_1 to zeta_t; Eq. (6) is on w_{t+1}, with one draw more.
def _theorem(
    case: Case,
    num_steps: int,
    more: int = 0,
    factor: float = 1.0,
    power: float = 0.5,
    floor: float = 1.0,
) -> Sides:
    decay = case.contraction() ** (power * case.keep_probability * num_steps)
    bound = decay * case.distance + floor * noise_floor(case.constants, case.step)
    tail = factor * stated_tail(num_steps, case.keep_probability)
    return case.failure(num_steps + more, bound), tail


ERROR = r"\mathbb{E}\lVert w_{t+1} - w_*\rVert_2^2"
NOISE = r"2\frac{\eta^2 \sigma^2(\mathbf{p})}{r^2(1-\lambda)}"

RECURSION_LINES = (
    Line(
        name="recursion",
        place="Appendix A, fourth display, first line",
        printed=rf"${ERROR} \leq \lambda^{{\chi_t}} \lVert w_0 - w_*\rVert_2^2 + "
        r"2\frac{\eta_t^2}{r^2} \sigma^2(\mathbf{p}) \sum_{j=1}^t \lambda^{\chi_j}$ with "
        r"$\chi_t = \sum_{j=1}^t \zeta_j$",
        question=r"Does using the step's inequality recursively give this sum? (A counterexample's "
        r"$\zeta$ begins with $\zeta_0$.)",
        check=Search(_draw_idle_end, _printed_recursion),
        corrected=r"$\mathbb{E}[\lVert w_t - w_*\rVert_2^2 \mid \zeta] \leq \lambda^{\chi_t} "
        r"\lVert w_0 - w_*\rVert_2^2 + 2\frac{\eta^2}{r^2} \sigma^2(\mathbf{p}) \sum_{j=1}^t "
        r"\zeta_j \lambda^{\chi_t - \chi_j}$, where $\zeta_1, \dots, \zeta_t$ lead from $w_0$ to "
        "$w_t$",
        corrected_check=Search(draw_run, _recursion),
        proof=r"An active step multiplies what is there by $\lambda$ and adds its noise; the "
        r"noise of step $j$ is then contracted by the $\chi_t - \chi_j$ active steps after it. As "
        r"printed, an idle last step, $\eta_t = 0$, deletes all noise; with $\eta$ for $\eta_t$ "
        "the newest noise, which nothing has contracted yet, would still be missing.",
    ),
    Line(
        name="geometric sum",
        place="Appendix A, fourth display, second line",
        printed=r"$\eta_t^2 \sum_{j=1}^t \lambda^{\chi_j} \leq \frac{\eta^2}{1-\lambda}$",
        question="Is the sum a geometric one?",
        check=Search(_draw_sum, _printed_sum),
        corrected=r"$\sum_{j=1}^t \zeta_j \lambda^{\chi_t - \chi_j} = \frac{1 - \lambda^{\chi_t}}"
        r"{1-\lambda} \leq \frac{1}{1-\lambda}$",
        corrected_check=Search(_draw_sum, _geometric_sum),
        proof=r"Over the active steps the exponent $\chi_t - \chi_j$ runs through $\chi_t - 1, "
        r"\dots, 0$. The printed sum repeats $\lambda^{\chi_j}$ in every idle step; its mean "
        r"tends to $\frac{1}{r(1-\lambda)} - 1$.",
    ),
    Line(
        name="conclusion of the recursion",
        place="Appendix A, fourth display, as a whole",
        printed=rf"${ERROR} \leq \lambda^{{\chi_t}} \lVert w_0 - w_*\rVert_2^2 + {NOISE}$",
        question="Is the conclusion true in spite of its derivation?",
        check=Search(draw_run, _conclusion),
        proof=r"The two corrected lines. $\chi_t$ leaves out $\zeta_0$, which leads from $w_0$ to "
        r"$w_1$; as $\lambda < 1$ that only weakens the bound.",
        given=r"$\mathbb{E}$ is over the indices, conditional on $\zeta$",
    ),
    Line(
        name="Hoeffding",
        place="Appendix A, Lemma 2",
        printed=r"for all $z > 0$: $\mathbb{P}(\lvert S_n - \mathbb{E}S_n\rvert \geq t) \leq 2 "
        r"\exp\left(-\frac{2z^2}{\sum_{i=1}^n (b_i - a_i)^2}\right)$",
        question=r"May $t$ and $z$ differ?",
        check=Search(_draw_loose_sums, _hoeffding),
        corrected=r"for all $z > 0$: $\mathbb{P}(\lvert S_n - \mathbb{E}S_n\rvert \geq z) \leq 2 "
        r"\exp\left(-\frac{2z^2}{\sum_{i=1}^n (b_i - a_i)^2}\right)$",
        corrected_check=Search(_draw_sums, _hoeffding),
        proof=r"Hoeffding (1963), Theorem 2, for each side. Checked on $X_i$ that are $b_i$ with "
        r"probability $r$, else 0.",
    ),
    Line(
        name="exponent",
        place="Appendix A, after Lemma 2",
        printed=r"with $z = rt/2$ ... $\exp(-\frac{r^2 t}{2})$",
        question="Is this Hoeffding's exponent?",
        check=Algebra(_exponent, equal=True),
        proof=r"$b_i - a_i = 1$, so the exponent is $2 (rt/2)^2 / t$.",
    ),
    Line(
        name="two-sided tail",
        place="Appendix A, after Lemma 2",
        printed=r"with probability at least $1 - 2\exp(-\frac{r^2 t}{2})$, $\chi_t \geq rt - rt/2$",
        question="Does it hold for the exact binomial tail?",
        check=Search(_draw_tail, partial(_tail, factor=2.0), num_draws=2000),
        proof="Lemma 2.",
    ),
    Line(
        name="one-sided tail",
        place="Theorem 2",
        printed=r"with probability at least $1 - e^{-\frac{r^2 t}{2}}$",
        question=r"Theorem 2 drops the factor 2 of Appendix A: may it?",
        check=Search(_draw_tail, _tail, num_draws=2000),
        proof=r"Only $\chi_t < rt/2$ matters, and Hoeffding's inequality for one side has no "
        "factor 2. Appendix A proves the weaker statement.",
    ),
    Line(
        name="Equation (6)",
        place="Appendix A, Eq. (6)",
        printed=r"with probability at least $1 - 2\exp(-\frac{r^2 t}{2})$, "
        rf"${ERROR} \leq \lambda^{{rt/2}} \lVert w_0 - w_*\rVert_2^2 + {NOISE}$",
        question=r"Is it true of $w_{t+1}$?",
        check=Search(draw_start, partial(_theorem, more=1, factor=2.0)),
        proof=r"$\lambda < 1$ and $\chi_t \geq rt/2$. The theorem is about $w_t$: it does not "
        "follow from here, but from the same argument with $t$ draws for $t$ steps.",
        given=r"$\mathbb{E}$ is over the indices, conditional on $\zeta$",
    ),
    Line(
        name="Theorem 2, error",
        place="Theorem 2, first display",
        printed=r"with probability at least $1 - e^{-\frac{r^2 t}{2}}$ over $\zeta_1, \dots, "
        r"\zeta_t$, $\mathbb{E}\lVert w_t - w^*\rVert_2^2 \leq \lambda^{rt/2} \lVert w_0 - "
        r"w^*\rVert_2^2 + \frac{\eta \sigma^2(\mathbf{p})}{\mu r \left(1 - \frac{\eta}{r} "
        r"L_{sup}(\mathbf{p})\right)}$",
        question=r"Is it true of $w_t$, with $t$ draws for $t$ steps?",
        check=Search(draw_start, _theorem),
        proof="The corrected recursion, its geometric sum and the one-sided tail.",
        given=r"$\mathbb{E}$ is over the indices, conditional on $\zeta$; Eq. (2) would number "
        r"the draws $\zeta_0, \dots, \zeta_{t-1}$",
    ),
)
