r"""Appendix A up to the inequality for one step, line by line; ``kept`` is :math:`\zeta_t`."""

import numpy as np
import sympy as sp
from scipy.special import expit

from experiments.stochastic_pruning.proof.cases import Case, draw_case, draw_step
from experiments.stochastic_pruning.proof.checks import Algebra, Line, Search, Sides

A, B = sp.symbols("a b", real=True)  # a coordinate of two vectors
ETA, P, N, R, NORM = sp.symbols("η p n r ‖∇f‖", positive=True)

CONVEX = {
    "x²/2": (lambda x: x, 1.0),
    "log(1 + eˣ)": (expit, 0.25),
    "log cosh x": (np.tanh, 1.0),
    "Huber's loss": (lambda x: np.clip(x, -1, 1), 1.0),
}  # derivative, and its Lipschitz constant
SMOOTH = CONVEX | {"−x²/2": (lambda x: -x, 1.0), "cos x": (lambda x: -np.sin(x), 1.0)}


# The square of a - eta b.
def _expanded(cross: int = 2) -> Sides:
    return (A - ETA * B) ** 2, A**2 - cross * ETA * A * B + ETA**2 * B**2


# The square of a against those of a - b and b.
def _split(factor: int = 2) -> Sides:
    return A**2, factor * (A - B) ** 2 + factor * B**2


# Co-coercivity of f(x) = sum_k phi(a_k . x); the constant is the sum's.
def _co_coercive(
    function: str,
    x: np.ndarray,
    y: np.ndarray,
    directions: np.ndarray | None = None,
    factor: float = 1.0,
) -> Sides:
    derivative, curvature = SMOOTH[function]
    rows = np.eye(1) if directions is None else directions
    lipschitz = curvature * np.linalg.norm(rows, 2) ** 2
    difference = rows.T @ (derivative(rows @ x) - derivative(rows @ y))
    return difference @ difference, factor * lipschitz * (x - y) @ difference


def _draw_smooth(generator: np.random.Generator) -> dict:
    x, y = generator.integers(-6, 7, (2, 1)) / 2
    return {"function": generator.choice(list(SMOOTH)), "x": x, "y": y}


def _draw_convex(generator: np.random.Generator) -> dict:
    terms, dim = generator.integers(1, 4, 2)
    x, y = generator.normal(size=(2, dim)) * generator.choice([0.1, 1, 10])
    directions = generator.normal(size=(terms, dim))
    return {"function": generator.choice(list(CONVEX)), "x": x, "y": y, "directions": directions}


# Co-coercivity of every g_i at w and w*.
def _co_coercive_step(case: Case, kept: int, factor: float = 1.0) -> Sides:
    change = case.differences
    return (change**2).sum(axis=1), factor * case.lipschitz * (change @ case.offset)


# Right side of the first line of the second display.
def _expected_step(case: Case, kept: int, noise: float = 2.0) -> float:
    made = case.step * kept  # eta_t / r
    curved = case.probabilities @ (case.lipschitz * (case.differences @ case.offset))
    squares = 2 * (case.step_size * kept) ** 2 * curved + noise * made**2 * case.constants.noise
    return case.distance - 2 * made * case.pull + squares


def _index_expectation(case: Case, kept: int, noise: float = 2.0) -> Sides:
    return case.expected_error(kept), _expected_step(case, kept, noise)


# Expectation over two steps' indices, against the right side at the first step's outcome.
def _total_expectation(case: Case, kept: int) -> Sides:
    outcomes = case.after(kept=1)
    left = case.probabilities @ [outcome.expected_error(kept) for outcome in outcomes]
    return left, min(_expected_step(outcome, kept) for outcome in outcomes)


# E of the squared norm of grad g_i(w*), index by index.
def _noise(power: int = 2) -> Sides:
    return P * (NORM / (R * N * P)) ** 2, NORM**2 / P / N**2 / R**power


# The constants under the expectation against the largest.
def _largest_constant(case: Case, kept: int, factor: float = 1.0) -> Sides:
    inner = case.differences @ case.offset
    largest = factor * case.constants.lipschitz / case.keep_probability
    return case.probabilities @ (case.lipschitz * inner), largest * (case.probabilities @ inner)


# The same for f_i(w) = f_i'' w^2 / 2 at w = 1, w* = 0 and r = 1; f_i'' may be negative.
def _largest_curvature(curvatures: np.ndarray, probabilities: np.ndarray) -> Sides:
    inner = curvatures / (len(curvatures) * probabilities)
    lipschitz = abs(inner)
    return probabilities @ (lipschitz * inner), lipschitz.max() * (probabilities @ inner)


def _draw_curvatures(generator: np.random.Generator) -> dict:
    num_points = generator.integers(2, 4)
    curvatures = generator.integers(-3, 4, num_points)
    weights = generator.integers(1, 4, num_points)
    curvatures[0] = 4 - curvatures[1:].sum()  # F is convex
    return {"curvatures": curvatures, "probabilities": weights / weights.sum()}


# E<w - w*, grad g_i(w) - grad g_i(w*)> against <w - w*, grad F(w)> / r.
def _inner_expectation(case: Case, kept: int, factor: float = 1.0) -> Sides:
    inner = case.probabilities @ case.differences @ case.offset
    return inner, factor * case.pull / case.keep_probability


# The last line of the display against the contraction.
def _strong_convexity(case: Case, kept: int, rate: float = 2.0) -> Sides:
    made = case.step * kept  # eta_t / r
    left = case.distance - 2 * made * (1 - made * case.constants.lipschitz) * case.pull
    return left, case.contraction(rate) * case.distance if kept else case.distance


def _draw_large_step(generator: np.random.Generator) -> dict:
    return {"case": draw_case(generator, low=1.0, high=2.0), "kept": 1}


# The whole step.
def _step(case: Case, kept: int, rate: float = 2.0, noise: float = 2.0) -> Sides:
    left, contracted = case.expected_error(kept), _strong_convexity(case, kept, rate)[1]
    return left, contracted + noise * (case.step * kept) ** 2 * case.constants.noise


DISPLAY = "Appendix A, first display"
EXPECTED = "Appendix A, second display"

STEP_LINES = (
    Line(
        name="co-coercivity",
        place="Appendix A, Lemma 1",
        printed="Let $f$ be a smooth function with Lipschitz constant $L$, then for all $x, y$ "
        r"$\lVert\nabla f(x) - \nabla f(y)\rVert_2^2 \leq L \langle x - y, \nabla f(x) - \nabla "
        r"f(y) \rangle$",
        question="Is smoothness enough?",
        check=Search(_draw_smooth, _co_coercive),
        corrected="Let $f$ be *convex* and smooth with Lipschitz constant $L$, then the same holds",
        corrected_check=Search(_draw_convex, _co_coercive),
        proof=r"$\phi(z) = f(z) - \langle \nabla f(y), z \rangle$ is convex and least at $y$, so "
        r"$\phi(y) \leq \phi(x - \frac1L \nabla\phi(x)) \leq \phi(x) - \frac{1}{2L} "
        r"\lVert\nabla\phi(x)\rVert^2$. Add this to the same with $x$ and $y$ exchanged.",
    ),
    Line(
        name="square",
        place=f"{DISPLAY}, second line",
        printed=r"$= \lVert w_t - w^*\rVert_2^2 - 2\eta_t \langle w_t - w^*, \nabla_w g_{i_t}(w_t) "
        r"\rangle + \eta_t^2 \lVert\nabla_w g_{i_t}(w_t)\rVert_2^2$",
        question="Is the square expanded rightly?",
        check=Algebra(_expanded, equal=True),
        proof="In every coordinate, and so in the sum over coordinates.",
    ),
    Line(
        name="Jensen",
        place=f"{DISPLAY}, third line",
        printed=r"$\lVert\nabla_w g_{i_t}(w_t)\rVert^2 \leq 2\lVert\nabla_w g_{i_t}(w_t) - "
        r"\nabla_w g_{i_t}(w^*)\rVert^2 + 2\lVert\nabla_w g_{i_t}(w^*)\rVert^2$",
        question=r"Is $\lVert a\rVert^2 \leq 2\lVert a - b\rVert^2 + 2\lVert b\rVert^2$?",
        check=Algebra(_split),
        proof=r"The right side minus the left is $\lVert a - 2b\rVert^2$.",
    ),
    Line(
        name="co-coercivity of a step",
        place=f"{DISPLAY}, fourth line",
        printed=r"$\lVert\nabla_w g_{i_t}(w_t) - \nabla_w g_{i_t}(w^*)\rVert^2 \leq \frac{L_{i_t}}"
        r"{rnp_{i_t}} \langle w_t - w^*, \nabla_w g_{i_t}(w_t) - \nabla_w g_{i_t}(w^*) \rangle$",
        question="Does Lemma 1 apply to each $g_i$?",
        check=Search(draw_step, _co_coercive_step),
        proof=r"Lemma 1, corrected: $g_i$ is convex, and $\frac{L_i}{rnp_i}$ is its constant.",
    ),
    Line(
        name="expectation",
        place=f"{EXPECTED}, first line",
        printed=r"$\mathbb{E}\lVert w_{t+1} - w_*\rVert_2^2 \leq \lVert w_t - w_*\rVert_2^2 - "
        r"2\frac{\eta_t}{r} \langle w_t - w_*, \nabla_w F(w_t) \rangle + 2\eta_t^2 \mathbb{E} "
        r"\frac{L_{i_t}}{rnp_{i_t}} \langle w_t - w_*, \nabla_w g_{i_t}(w_t) - \nabla_w "
        r"g_{i_t}(w_*) \rangle + 2\frac{\eta_t^2}{r^2} \sigma^2(\mathbf{p})$",
        question="Over what is the expectation taken?",
        check=Search(draw_step, _index_expectation),
        proof=r"$\mathbb{E}_{i_t} \nabla_w g_{i_t} = \frac1r \nabla F$. With a total expectation "
        "on the left the right side would still be random.",
        given=r"$\mathbb{E}$ is over $i_t$ alone, conditional on $w_t$ and $\zeta_t$",
        without=Search(draw_step, _total_expectation),
    ),
    Line(
        name="noise of a step",
        place=f"{EXPECTED}, last term",
        printed=r"$2\frac{\eta_t^2}{r^2} \sigma^2(\mathbf{p})$ with $\sigma^2(\mathbf{p}) = "
        r"\frac{1}{n^2} \sum_{i=1}^n \frac{1}{p_i} \lVert\nabla_w f_i(w_*)\rVert_2^2$",
        question=r"Is $\mathbb{E}\lVert\nabla_w g_{i_t}(w_*)\rVert^2 = \frac{1}{r^2} "
        r"\sigma^2(\mathbf{p})$?",
        check=Algebra(_noise, equal=True),
        proof=r"$p_i \left(\frac{1}{rnp_i}\right)^2 = \frac{1}{r^2} \frac{1}{n^2 p_i}$, index by "
        "index.",
    ),
    Line(
        name="largest constant",
        place=f"{EXPECTED}, second inequality",
        printed=r"$\mathbb{E} \frac{L_{i_t}}{rnp_{i_t}} \langle w_t - w_*, \nabla_w g_{i_t}(w_t) "
        r"- \nabla_w g_{i_t}(w_*) \rangle \leq \frac1r L_{sup}(\mathbf{p}) \mathbb{E} \langle w_t "
        r"- w_*, \nabla_w g_{i_t}(w_t) - \nabla_w g_{i_t}(w_*) \rangle$",
        question="May the constant be replaced by the largest?",
        check=Search(draw_step, _largest_constant),
        proof="The inner product is not negative, since the gradient of a convex function is "
        "monotone.",
        given="each $f_i$ is convex, as the theorem assumes",
        without=Search(_draw_curvatures, _largest_curvature),
    ),
    Line(
        name="inner product",
        place=f"{EXPECTED}, third inequality",
        printed=r"$2\eta_t^2 \frac1r L_{sup}(\mathbf{p}) \mathbb{E} \langle w_t - w_*, \nabla_w "
        r"g_{i_t}(w_t) - \nabla_w g_{i_t}(w_*) \rangle \leq 2\eta_t^2 \frac{1}{r^2} "
        r"L_{sup}(\mathbf{p}) \langle w_t - w_*, \nabla_w F(w_t) \rangle$",
        question=r"Where does the second $\frac1r$ come from?",
        check=Search(draw_step, _inner_expectation, equal=True),
        proof=r"An equality: $\mathbb{E} \nabla_w g_{i_t} = \frac1r \nabla F$, and $\nabla F(w_*) "
        "= 0$.",
    ),
    Line(
        name="strong convexity",
        place="Appendix A, third display",
        printed=r"$\mathbb{E}\lVert w_{t+1} - w_*\rVert_2^2 \leq \left(1 - 2\mu \frac{\eta_t}{r} "
        r"\left(1 - \frac{\eta_t}{r} L_{sup}(\mathbf{p})\right)\right) \lVert w_t - w_*\rVert_2^2 "
        r"+ 2\frac{\eta_t^2}{r^2} \sigma^2(\mathbf{p})$",
        question=r"Is $\langle w_t - w_*, \nabla F(w_t) \rangle \geq \mu \lVert w_t - "
        r"w_*\rVert^2$ used with the right sign?",
        check=Search(draw_step, _strong_convexity),
        proof=r"The inner product stands with the factor $-2\frac{\eta_t}{r} (1 - \frac{\eta_t}{r} "
        r"L_{sup}(\mathbf{p}))$, which is not positive.",
        given=r"$\eta \leq r / L_{sup}(\mathbf{p})$, as the theorem assumes",
        without=Search(_draw_large_step, _strong_convexity),
    ),
    Line(
        name="one step",
        place="Appendix A, third display, from the update",
        printed=r"the same inequality, from the update to here",
        question="Does the inequality bound the exact expectation after a step?",
        check=Search(draw_step, _step),
        proof="The lines above.",
    ),
)
