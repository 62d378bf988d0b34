# ---
# jupyter:
#   jupytext:
#     cell_metadata_filter: tags,mystnb
#     notebook_metadata_filter: kernelspec,jupytext,-jupytext.text_representation.jupytext_version
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#   kernelspec:
#     display_name: LiPrune
#     language: python
#     name: liprune
# ---

# %% [markdown]
# # 1. Does sampling by Lipschitz constants save steps?

# %% tags=["remove-input"]
try:
    from liprune_utils.book import first_screen
except ModuleNotFoundError:
    raise SystemExit(
        "This page needs the kernel LiPrune, which `make book` installs."
    ) from None

first_screen.reserve("answer")

# %% tags=["remove-input"] mystnb={"figure": {"name": "fig-importance-fewest-steps", "caption": "Steps that uniform sampling needs, over the steps that two other samplings need: p proportional to L, and an equal mixture of it with uniform sampling. Each has its best step size. Right of the black line the sampling saves steps. Random least squares in ten dimensions; a target is a share of the first error. Medians over problems with 99% intervals."}, "image": {"alt": "Four rows of ratios with intervals: no noise, then label noise with targets of a tenth, a hundredth and a thousandth of the first error. For p proportional to L the ratio is about three in the first two rows, falls towards two, and is just below one in the last. For the mixture it is above one in all rows."}}
first_screen.reserve("figure")

# %% [markdown]
# ## Run it yourself
#
# Change a value, run all cells, and the answer changes with it. [How to rerun a page](../book/rerun.md) has the details.

# %% tags=["parameters", "hide-cell"] mystnb={"code_prompt_show": "Parameters", "code_prompt_hide": "Parameters"}
num_problems: int = 60  # problems for each dimension and noise level, from 10 to 10000
noise_sd: float = 0.2  # label noise of the noisy problems, in (0, 10]; paper: 0.2
spread: float = 0.5  # standard deviation of the points' log sizes, from 0 to 1.5
seed: int = 0  # root of all random streams, from 0
results_dir: str = "reruns/01_importance_sampling"  # folder for tables; made if missing

# %% tags=["hide-cell"] mystnb={"code_prompt_show": "Check of the parameters, imports", "code_prompt_hide": "Check of the parameters, imports"}
from experiments.importance_sampling.runs import ImportanceParameters

parameters = ImportanceParameters.from_notebook(globals())

import time

import numpy as np
import pandas as pd
from IPython.display import HTML

from experiments.importance_sampling import claims, figures, step_counts
from experiments.importance_sampling.runs import (
    least_lipschitz_sup,
    paper_line,
    stream,
    theorem_table,
)
from liprune_utils import files, theory
from liprune_utils.book import formats, frames, register, style
from liprune_utils.intervals import standard_error
from liprune_utils.moments import SecondMoments
from liprune_utils.problems import LeastSquares, draw_least_squares
from liprune_utils.sgd import importance_sgd

style.use_style()
folder = parameters.results_folder()

# %% [markdown]
# ## What the paper claims
#
# This is the theory from which LiPrune is derived, before any pruning. SGD minimises $F(w) = \frac1n \sum_i f_i(w)$. Each $f_i$ is convex, and its
# gradient has the Lipschitz constant $L_i$. Section 2 of [Ayed and Hayou (2022)](cite:ayed2022) makes three claims:
#
# - Theorem 1: at a given step size, "we have $\mathbb{E}\|w_t - w^*\|^2 \leq \epsilon$ after $t = 2 \log(2\epsilon_0/\epsilon)
#   (\frac{L_{sup}}{\mu} + \frac{\sigma^2}{\epsilon\mu^2})$".
# - The $p$ that minimises $L_{sup}(p) = \max_i L_i / (n p_i)$ is "given by $p_i^* = \frac{L_i}{\bar{L}}$".
# - "Hence, choosing probabilities $p_i \propto L_i$ is optimal for *convergence speed* with importance sampling."
#
# The third is taken to mean this: on every problem and for every target, SGD with $p \propto L$ needs fewer steps than SGD with uniform sampling.
#
# ## The method in a few lines
#
# Importance sampling draws the index $i$ with probability $p_i$ and divides the gradient by $n p_i$. The expected step is then a gradient step on $F$,
# whatever $p$ is. Here are ten thousand runs on one least-squares problem:

# %%
generator = stream(seed, "example")
x = generator.uniform(-5, 5, (200, 2))
y = x @ [0.6, 0.8] + noise_sd * generator.standard_normal(200)
L = (x**2).sum(axis=1)  # Lipschitz constants of the gradients of (x_i·w - y_i)² / 2
p = L / L.sum()

step_size, w = 0.5 / L.mean(), np.zeros((10_000, 2))  # each row of w is a run
for _ in range(20):
    i = generator.choice(200, size=len(w), p=p)  # one index per run
    residuals = (x[i] * w).sum(axis=1) - y[i]
    w = w - step_size * (residuals / (200 * p[i]))[:, None] * x[i]

# %% [markdown]
# The library's SGD has the same mean squared error. On least squares this error also follows an exact recursion
# (`liprune_utils.moments`), which the rest of the page uses in place of simulation:

# %%
problem = LeastSquares(x, y)
exact = SecondMoments(problem, p).error_after(step_size, num_steps=20)
*_, fast = importance_sgd(
    problem, p, step_size=step_size, num_steps=20, num_runs=10_000, generator=generator
)
for name, last in {"plain lines": w, "library": fast}.items():
    errors = ((last - problem.minimiser) ** 2).sum(axis=1)
    distance = (errors.mean() - exact) / standard_error(errors)
    assert abs(distance) < 5, f"{name}: {distance:.1f} standard errors away"
    print(f"{name}: mean squared error {errors.mean():.5f}; exact: {exact:.5f}")

# %% [markdown]
# <a id="optimal-p"></a>
# ## The optimal p
#
# The constants $L_i/(n p_i)$ of the weighted functions, averaged with the weights $p_i$, always give $\bar L$. Their maximum $L_{\sup}(p)$ is at least this
# mean. The two are equal only if all $L_i/(n p_i)$ are equal, that is for
#
# $$
# p_i^* = \frac{L_i}{\sum_j L_j} = \frac{L_i}{n \bar L}, \qquad L_{\sup}(p^*) = \bar L. \label{eq-optimal}
# $$
#
# The paper prints $p_i^* = L_i/\bar L$, which sums to $n$ instead of 1. Its later "Conclusion" has the right formula. A linear programme, which knows
# nothing of the derivation, finds the same minimum:

# %%
np.testing.assert_allclose(p, theory.optimal(L))
assert abs((L / (200 * p)).max() / least_lipschitz_sup(L) - 1) < 1e-6
print(f"sum of p: {p.sum():.6f}; sum of the printed p: {(L / L.mean()).sum():.6f}")
print(f"least L_sup: {least_lipschitz_sup(L):.6f}; mean of L: {L.mean():.6f}")

# %% [markdown]
# <a id="theorem-1-check"></a>
# ## Theorem 1
#
# The paper takes its Theorem 1 from [Needell, Srebro and Ward (2016)](cite:needell2016). That text was not at hand, so what is checked is the statement as
# the paper quotes it. It asks for a $\mu$-strongly convex $F$ and the step size $\eta = \mu\epsilon / (2\mu\epsilon L_{\sup} + 2\sigma^2)$ with
# $\sigma^2 = \mathbb{E}_i \|\nabla f_i(w^*)\|^2$. For another sampling $p$, the functions are $f_i/(n p_i)$ and the constants are $L_{\sup}(p)$ and
# $\sigma^2(p) = \frac{1}{n^2}\sum_i \|\nabla f_i(w^*)\|^2/p_i$.
#
# [The check](fig-theorem-1) has least squares in one, two and ten dimensions, with and without label noise, and logistic loss with a ridge. The error on
# least squares is exact. On each logistic problem it is a mean over 200 runs. The theorem asks for more steps than are needed, because its bound takes the
# worst of all points and of all directions at once. The slider shows the exact error and the bound on one problem in ten dimensions, for several targets.
#
# <details><summary>Why the theorem holds</summary>
#
# [The next page](02_stochastic_pruning.ipynb) proves the bound
# $\mathbb{E}\|w_t - w^*\|^2 \le \lambda^t \epsilon_0 + \eta\sigma^2 / (\mu(1 - \eta L_{\sup}))$ with $\lambda = 1 - 2\eta\mu(1 - \eta L_{\sup})$. The step size
# has $\eta L_{\sup} \le \frac12$, so $1 - \lambda \ge \eta\mu$. The stated $t = \log(2\epsilon_0/\epsilon)/(\eta\mu)$ steps bring the first term to
# $\epsilon/2$. The second term is $\epsilon\sigma^2/(\mu\epsilon L_{\sup} + 2\sigma^2) \le \epsilon/2$.
#
# The paper reads the rate $1 - 2\eta\mu(1 - \eta L_{\sup}(p))$ "from Theorem 1". It is not in the theorem but in this bound. The theorem's "almost
# surely" has nothing to say about finitely many constants.
#
# </details>

# %%
began = time.perf_counter()
theorem = theorem_table(parameters)
speed = step_counts.speed_table(parameters)
summary = claims.speed_summary(speed)
exponents = step_counts.exponent_table(parameters)
cost = time.perf_counter() - began

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-theorem-1", "caption": "The error at Theorem 1's step size and number of steps, over the target error; one dot per problem and target. The theorem holds left of the black line. The error is exact on least squares and a mean over 200 runs on logistic problems."}, "image": {"alt": "Strip plot on a logarithmic axis, a row for each dimension and noise level, three samplings by colour and marker. All dots lie well to the left of the line at one; those without noise lie farthest."}}
figure = figures.theorem_figure(theorem)

# %% tags=["hide-input"]
example = draw_least_squares(
    stream(seed, "theorem", 0), 200, 10, noise_sd=noise_sd, spread=spread
)
curves = {
    target: step_counts.approach(
        step_counts.Race.of(example, target), np.linspace(0, 1, 61)
    )
    for target in (0.3, 0.1, 0.03, 0.01)
}
frames.frame_browser(
    lambda target: figures.approach_figure(curves[target], target),
    list(curves),
    describe=lambda target: (
        "Exact error and bound against the share of the stated steps, for three "
        f"samplings, target {target:g}: the error falls below the target long before "
        "the bound does."
    ),
    name="target error",
)

# %% [markdown]
# <a id="what-p-minimises"></a>
# ## Which sampling makes the error small?
#
# $p \propto L$ minimises one constant of a bound. The error itself is another matter. From an error $e = w - w^*$ one step leaves
# $\mathbb{E}\|e^+\|^2 = \|e\|^2 - 2\eta\, e \cdot \nabla F + \eta^2 \frac{1}{n^2}\sum_i \|\nabla f_i\|^2 / p_i$. Only the last term depends on $p$. By the
# Cauchy–Schwarz inequality it is least for $p_i \propto \|\nabla f_i(w)\|$, the norm of the *gradient*. For least squares this means:
#
# - **One dimension, no noise:** $\|\nabla f_i\| = L_i |e|$. Then $p \propto L$ is optimal at every step and every step size.
# - **More dimensions, no noise:** $\|\nabla f_i\| = \|x_i\|\,|x_i \cdot e|$. Then $p \propto L$ is optimal on average over the directions of $e$. But SGD's
#   error has a preferred direction: it is slowest to shrink where the curvature is small.
# - **At the minimiser:** only label noise is left, $\|\nabla f_i(w^*)\| = \sqrt{L_i}\,|\rho_i|$ with the residual $\rho_i$. If residuals do not depend on
#   $L_i$, then $p \propto \sqrt L$ is optimal, and $p \propto L$ has as much noise as uniform sampling.
#
# [This scan](fig-exponents) over $p_i \propto L_i^\alpha$ agrees. The bound is least at $\alpha = 1$ in all cases. The number of steps is least there in one
# dimension without noise. With noise a smaller $\alpha$ is better. Beyond $\alpha = 1$ the number of steps grows fast, because functions with a small
# $L_i$ are then drawn too rarely and weighted too much.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-exponents", "caption": "Sampling by a power of the Lipschitz constants, relative to uniform sampling (exponent 0). Dotted: the constant of the bound. Circles and squares: steps to a thousandth of the first error, without and with label noise, at the best step size; medians over eight problems. Thin line: p proportional to L."}, "image": {"alt": "Two panels, one and ten dimensions, of curves against the exponent from zero to two. The dotted constant of the bound has a sharp minimum at one. In one dimension the noiseless steps have their minimum there too; the noisy steps have theirs near one half. In ten dimensions the noiseless minimum is flat around one and the noisy curve is above uniform sampling at one."}}
figure = figures.exponent_figure(exponents)

# %%
grid = exponents.groupby(["dim", "noise_sd", "exponent"]).steps.median()
best = grid.groupby(["dim", "noise_sd"]).idxmin().map(lambda key: key[2])
assert best[1, 0.0] == 1  # one dimension, no noise: p proportional to L, as derived
best.rename("exponent with the fewest steps").reset_index().style.hide().format("{:g}")

# %% [markdown]
# <a id="steps-saved"></a>
# ## How many steps does it save?
#
# [This comparison](fig-steps) has the paper's linear model ($d = 1$, 1000 points) and random least squares ($d = 10$). It sets uniform sampling against
# $p \propto L$ and against an equal mixture of the two. The mixture is safe: its $L_{\sup}$ is at most twice the least one, and its noise $\sigma^2(p)$ at most
# twice that of uniform sampling.
#
# - **Each at its theorem's step size:** most of the gain is the larger step that the theorem allows.
# - **Each at its best step size:** this is what a careful user gets. The smaller the target, the more the noise counts and the less is gained.
# - **Both at one step size:** this is what the choice of points does by itself. At the theorem's small step it does almost nothing, because the mean path
#   is the same for every $p$.
#
# In one dimension $p \propto L$ can reach an easy target in a single step. The ratio at the best step sizes then only counts the steps of uniform sampling.
# Without noise a fairer number is the factor by which one step multiplies the mean squared error:

# %%
line = paper_line(stream(seed, "speed"), noise_sd)  # L_i = x_i²
L = line.lipschitz
steps = {"uniform": L.mean() / (L**2).mean(), "optimal": 1 / L.mean()}  # the best ones
rates = {"uniform": 1 - L.mean() ** 2 / (L**2).mean(), "optimal": 0.0}
for name, step_size in steps.items():
    moments = SecondMoments(line, theory.SAMPLINGS[name](L))
    measured = moments.operators([step_size])[0][0, 0]  # noise is another entry
    assert abs(measured - rates[name]) < 1e-12
    print(f"{name}: each step multiplies the error by {measured:.3f}")

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-steps", "caption": "Steps of uniform sampling over steps of p proportional to L (circles) and of the equal mixture (triangles), for four rules for the step size; right of the black line importance sampling is faster. Medians over random problems with 99% intervals."}, "image": {"alt": "Four panels of ratios on a logarithmic axis, eight problems each. At the theorem's and at each one's best step sizes the ratios lie between one and ten; at a common best step below two; at a common small step at one. In ten dimensions with noise and the smallest target the circles fall left of the line, the triangles stay right of it."}}
figure = figures.steps_figure(summary)

# %% [markdown]
# ## The verdict
#
# The first row counts problems. Its interval is not taken over these problems: it is that of the 200 runs on the least favourable problem, if that problem
# is logistic. The last row has the least favourable of [all comparisons with](fig-steps) $p \propto L$; its interval is taken over problems.

# %% tags=["hide-input"]
outcomes = [
    claims.theorem_claim(theorem, cost=cost),
    claims.formula_claim(line.lipschitz, cost=cost),
    claims.speed_claim(summary, cost=cost),
]
register.write_claims(folder, outcomes)
approaches = pd.concat([rows.assign(target=share) for share, rows in curves.items()])
tables = {"theorem": theorem, "speed": speed, "summary": summary}
for name, rows in (tables | {"exponents": exponents, "approach": approaches}).items():
    files.write_table(folder, name, rows)
HTML(formats.claims_html(register.claims_table(outcomes)))

# %% [markdown]
# ## Exercises
#
# 1. **The mixture is safe.** The equal mixture draws point $i$ with the probability $p_i = \frac12 \big(\frac1n + p_i^*\big)$. Show that its
#    $L_{\sup}(p)$ is at most $2 \bar L$, and that its noise $\sigma^2(p)$ is at most twice that of uniform sampling. Find constants $L_i$ for which
#    $L_{\sup}(p)$ is nearly $2 \bar L$.
# 2. **Small targets.** For a small target $\epsilon$ most of Theorem 1's steps are due to the term $\sigma^2(p)/(\epsilon \mu^2)$. Predict from this how
#    many steps $p \propto \sqrt L$ needs on the paper's line (`line`), relative to $p \propto L$. Compare the prediction with exact counts from
#    `SecondMoments(line, p).steps_to(target, step_sizes)`, each sampling at its best step size.
#
# <details><summary>Solution of exercise 1, in words</summary>
#
# Both parts of the mixture are positive, so $p_i \ge \frac12 p_i^*$ and $p_i \ge \frac{1}{2n}$. The first inequality gives
# $L_i/(n p_i) \le 2 L_i/(n p_i^*) = 2 \bar L$ for every $i$. The second gives $\frac{1}{n^2} \|\nabla f_i(w^*)\|^2 / p_i \le \frac2n \|\nabla f_i(w^*)\|^2$.
# The sum over $i$ is at most twice the noise of uniform sampling.
#
# If one constant is far larger than all others, $p^*$ nearly always draws that function. The mixture draws it half as often, so $L_{\sup}(p)$ is
# nearly $2 \bar L$. The mixture thus costs at most a factor of two in each constant of the bound. Neither $p^*$ nor uniform sampling has such a
# guarantee for both constants.
#
# </details>

# %% tags=["hide-cell"] mystnb={"code_prompt_show": "Solution of exercise 1, in code", "code_prompt_hide": "Solution of exercise 1, in code"}
trial, factors = np.random.default_rng([seed, 101]), []
for _ in range(1000):  # random constants and gradients at w*, alike or very different
    sizes = np.exp(trial.uniform(0, 4) * trial.standard_normal(50))
    squares = np.exp(trial.uniform(0, 4) * trial.standard_normal(50))
    safe = (1 / 50 + sizes / sizes.sum()) / 2
    largest = (sizes / (50 * safe)).max() / sizes.mean()
    noise = (squares / safe).sum() / 50**2 / squares.mean()
    factors.append((largest, noise))
assert np.max(factors) <= 2, "the mixture is not as safe as the proof says"

one_large = np.array([1.0] * 999 + [1e6])
factor = theory.lipschitz_sup(one_large, theory.mixture(one_large)) / one_large.mean()
assert 1.9 < factor <= 2
largest, noise = np.max(factors, axis=0)
print(f"1,000 random problems: L_sup at most {largest:.3f} times the mean constant,")
print(f"noise at most {noise:.3f} times that of uniform sampling")
print(f"one large constant: L_sup is {factor:.3f} times the mean constant")

# %% [markdown]
# <details><summary>Solution of exercise 2, in words</summary>
#
# The number of steps is proportional to $\sigma^2(p)$, with $\|\nabla f_i(w^*)\|^2 = L_i \rho_i^2$. Residuals that do not depend on $L_i$ leave
# $\frac{1}{n^2} \sum_i L_i / p_i$, which is $\bar L$ for $p \propto L$ and $\big(\frac1n \sum_i \sqrt{L_i}\big)^2$ for $p \propto \sqrt L$. With
# $\sqrt{L_i} = |x_i|$ and $x_i \sim U(-5, 5)$ the quotient is $(5/2)^2 / (25/3) = 3/4$.
#
# So $p \propto L$ minimises the wrong constant when the target is small. It has no less noise than uniform sampling there, and $p \propto \sqrt L$ saves a
# quarter of the steps.
#
# </details>

# %% tags=["hide-cell"] mystnb={"code_prompt_show": "Solution of exercise 2, in code", "code_prompt_hide": "Solution of exercise 2, in code"}
sizes, mu = line.lipschitz, line.strong_convexity
slopes_there = (line.x[:, 0] * line.minimiser - line.y)[:, None] * line.x  # gradients
noises, counts = {}, {}
for power in (0, 0.5, 1):
    chances = sizes**power / (sizes**power).sum()
    noises[power] = theory.gradient_noise(slopes_there, chances)
target = noises[1] / mu**2 / 1000  # so small that the noise decides
for power in (0, 0.5, 1):
    chances = sizes**power / (sizes**power).sum()
    step_sizes = np.geomspace(2e-4, 4e-3, 300) / mu
    counts[power] = SecondMoments(line, chances).steps_to(target, step_sizes).min()

predicted, counted = noises[0.5] / noises[1], counts[0.5] / counts[1]
assert abs(counted / predicted - 1) < 0.05, "the noise does not decide"
print(f"steps of p ∝ √L over steps of p ∝ L: predicted {predicted:.3f}")
print(f"from exact counts {counted:.3f}; for infinitely many points 3/4")
print(f"steps of uniform sampling over steps of p ∝ L: {counts[0] / counts[1]:.3f}")

# %% [markdown]
# ## What differs from the paper
#
# The paper's "a smaller $L_{\sup}(p)$ results in faster convergence" is a statement about the bound. The measured
# number of steps agrees with it without noise, and not always with noise. At a *common* small step size unbiased sampling gains almost nothing.
# LiPrune's experiments compare methods at a common step size. Their gain must come from what else LiPrune does: it drops the weights $1/(n p_i)$, so
# that its mean step is longer ([page 5](05_what_accelerates.ipynb)). The theory draws single functions with replacement; the paper's experiments draw
# batches.
#
# **Tables.** [Theorem 1 on every problem](../results/01_importance_sampling/theorem.csv), [the slider's curves](../results/01_importance_sampling/approach.csv),
# [the scan of exponents](../results/01_importance_sampling/exponents.csv), [steps on every problem](../results/01_importance_sampling/speed.csv),
# [their medians](../results/01_importance_sampling/summary.csv).
#
# **Next.** [Does stochastic pruning prune the data?](02_stochastic_pruning.ipynb)

# %% tags=["remove-input"]
quiet, noisy = (
    claims.fewest_steps_ratio(summary, noise_sd=sd, target=1e-3)
    for sd in (0.0, noise_sd)
)
times = [
    f"{formats.number(value)} times as many steps (99% interval "
    f"{formats.number(low)} to {formats.number(high)})"
    for value, low, high, _ in (quiet, noisy)
]
first_screen.fill(
    f"""**{claims.first_words(quiet, noisy)}** To bring the error down to a thousandth
in ten dimensions, uniform sampling needs {times[0]} as sampling in proportion to the
Lipschitz constants L without label noise, and {times[1]} with noise {noise_sd:g}. These
are medians over {num_problems:,} problems, with each sampling at its best step size. In
one dimension without noise, sampling in proportion to L arrives in one step; under
uniform sampling each step multiplies the mean squared error by
{rates["uniform"]:.2f}.""",
    figures.fewest_steps_figure(summary),
)
