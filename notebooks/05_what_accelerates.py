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
# # 5. What accelerates: the choice of points, or a longer step?

# %% tags=["remove-input"]
try:
    from liprune_utils.book import first_screen
except ModuleNotFoundError:
    raise SystemExit(
        "This page needs the kernel LiPrune, which `make book` installs."
    ) from None

first_screen.reserve("answer")

# %% tags=["remove-input"] mystnb={"figure": {"name": "fig-longer-step", "caption": "Excess test loss (test loss less that of the true line) in the setting of the paper's Figure 1, for four fractions kept; means over all runs. Random pruning with steps as long as LiPrune's lies on LiPrune until both reach the floor that the label noise sets."}, "image": {"alt": "Four panels of excess test loss against SGD step on a logarithmic scale. In each, LiPrune and random pruning with LiPrune's step fall together, and random pruning falls far more slowly. The gap is largest when a tenth is kept."}}
first_screen.reserve("figure")

# %% [markdown]
# ## Run it yourself
#
# Change a value, run all cells, and the answer changes with it. [How to rerun a page](../book/rerun.md) has the details.

# %% tags=["parameters", "hide-cell"] mystnb={"code_prompt_show": "Parameters", "code_prompt_hide": "Parameters"}
slope: float = 1.0  # true slope w*, from -100 to 100, not 0; not in the paper
num_runs: int = 10_000  # data sets, each with its SGD runs, from 1000 to 1000000
num_problems: int = 100  # data sets for Theorem 1's bound, from 10 to 100000
seed: int = 0  # root of all random streams, from 0
results_dir: str = "reruns/05_what_accelerates"  # folder for tables; made if missing

# %% tags=["hide-cell"] mystnb={"code_prompt_show": "Check of the parameters, imports", "code_prompt_hide": "Check of the parameters, imports"}
from experiments.what_accelerates.runs import AccelerationParameters

parameters = AccelerationParameters.from_notebook(globals())

import time

import numpy as np
from IPython.display import HTML

from experiments.what_accelerates import claims, figures, kept_problem, tables
from experiments.what_accelerates.runs import (
    importance_pulls,
    run_experiment,
    sampling_stream,
)
from liprune_utils import files, sgd
from liprune_utils.book import formats, register, style
from liprune_utils.intervals import Estimate
from liprune_utils.problems import LinearData

style.use_style()
folder = parameters.results_folder()

# %% [markdown]
# ## What the paper claims
#
# Section 4.1 says of SGD on the linear model: "Choosing $x_{i_k}$ such that $x_{i_k}^2$ is large results in faster convergence (on average)."
# It says of Figure 1: "The results confirm our theoretical predictions that LiPrune accelerates convergence." The prediction is Theorem 2: with
# points drawn in proportion to $L_i$, and gradients weighted so that their mean is unchanged, SGD converges fastest. LiPrune is presented as the
# deterministic version of this sampling. If that is why it accelerates, the sampling itself should close most of the gap.
#
# There is a simpler explanation. LiPrune's points have a larger mean of $x^2$, so at the same learning rate its steps are longer. If that is the
# reason, random points with a longer step should close most of the gap. The setting is that of Figure 1 on
# [page 4](04_linear_model.ipynb): batches of ten, learning rate 0.01, $w_0 = 0$.
#
# ## The method in a few lines
#
# Both explanations on one data set, with a tenth of the points kept. The next cell checks that the library takes the same paths.

# %%
generator = sampling_stream(seed, "example")
x = generator.uniform(-5, 5, 1000)
y = slope * x + 0.2 * generator.standard_normal(1000)


def run_sgd(batches, rate, weights):
    path = [0.0]
    for batch in batches:
        gradients = (path[-1] * x[batch] - y[batch]) * x[batch]
        path.append(path[-1] - rate * np.mean(weights[batch] * gradients))
    return np.array(path)


kept = np.argsort(-(x**2))[:100]  # LiPrune: the largest L_i = x_i^2
random = generator.permutation(1000)[:100]
longer = np.mean(x[kept] ** 2) / np.mean(x[random] ** 2)
places = np.array([generator.choice(100, 10, replace=False) for step in range(30)])

p = x**2 / np.sum(x**2)  # Theorem 2: draw point i with probability p_i ...
uniforms = generator.random((30, 10))
drawn = np.searchsorted(np.cumsum(p), uniforms)

ones = np.ones(1000)
paths = {
    "LiPrune": run_sgd(kept[places], 0.01, ones),
    "random": run_sgd(random[places], 0.01, ones),
    "random, longer step": run_sgd(random[places], 0.01 * longer, ones),
    "unbiased, p ∝ L": run_sgd(drawn, 0.01, 1 / (1000 * p)),  # ... and weight it
}

# %%
batches = kept[places]
means = [np.mean(x[batches] * v[batches], axis=1)[:, None] for v in (x, y)]
fast = sgd.descend(*means, learning_rate=0.01)[:, 0]
np.testing.assert_allclose(fast, paths["LiPrune"], rtol=1e-9)
data = LinearData(x[None], (y - slope * x)[None], slope)
pull = np.mean(x**2) * importance_pulls(data, uniforms[None])
fast = sgd.descend(np.full_like(pull, np.mean(x**2)), pull, learning_rate=0.01)[:, 0]
np.testing.assert_allclose(fast, paths["unbiased, p ∝ L"], rtol=1e-9)

print(f"The longer step is {longer:.2f} times as long. |w - w*| after ten steps:")
for name, path in paths.items():
    print(f"{name:20}{abs(path[10] - slope):.3f}")

# %% [markdown]
# <a id="points-or-step"></a>
# ## Why the longer step explains the gap
#
# Let $e = w - w^*$ be the error, and let $a_S$ be the mean of $x^2$ over the batch. Without label noise a step is $e^+ = (1 - \eta a_S)\, e$.
# With $m = \mathbb{E}\, a_S$,
#
# $$
# \mathbb{E}\,(e^+)^2 = q\, e^2, \qquad q = (1 - \eta m)^2 + \eta^2\, \mathrm{Var}(a_S). \label{eq-q}
# $$
#
# The first term is due to the mean step. The second is the noise of sampling. An *unbiased* choice of points can reduce only the second.
#
# **LiPrune changes the first term.** $u = |x|/5$ is uniform on $[0, 1]$, and LiPrune keeps $u \ge 1 - r$. Its mean of $x^2$ exceeds that of all points
# by the factor
#
# $$
# c(r) = \frac{\frac1r \int_{1-r}^1 u^2\, du}{\int_0^1 u^2\, du} = \frac{1 - (1 - r)^3}{r}, \label{eq-multiplier}
# $$
#
# which is between 1 and 3. Random pruning at the rate $c(r)\,\eta$ has the same mean step, and [the same curve](fig-longer-step).
#
# **The theory's sampling changes the second.** With $p_i \propto L_i$ and the weights $1/(n p_i) = \bar L / L_i$, every point has the same weighted
# curvature, $\frac{\bar L}{x_i^2}\, x_i^2 = m$. Then $\mathrm{Var}(a_S) = 0$ and $q = (1 - \eta m)^2$ with the $m$ of *all* points. No unbiased
# sampling has a smaller $q$. But at the paper's rate the second term is small anyway, so [almost nothing is gained](fig-race). Theorem 2's
# stochastic pruning makes only a fraction $r$ of these steps, each $1/r$ times as long. This adds noise, and it is slower.
#
# LiPrune is therefore not a deterministic version of this sampling. It drops the weights $1/(n p_i)$, and with them the unbiasedness. What remains
# is a longer step.
#
# The next cell runs every method on the data sets of [page 4](04_linear_model.ipynb). It checks all means against closed forms:
# the recursion of [page 4](eq-square), its counterpart for unbiased sampling, and the factor $q$ of [one step](eq-q).

# %%
began = time.perf_counter()
experiment = run_experiment(num_runs=num_runs, seed=seed, slope=slope)
results = tables.all_tables(experiment)
for name, rows in results.items():
    files.write_table(folder, name, rows)

distances = np.abs([*results["checks"].z, *results["contraction"].z])
assert distances.max() < 5, "a simulated mean is far from its closed form"
print(
    f"{len(distances):,} means; the farthest is {distances.max():.1f} standard errors"
)

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-race", "caption": "The theory's sampling beside LiPrune: excess test loss in the setting of Figure 1, means over all runs. Unbiased sampling with p proportional to L lies on random pruning and no pruning. The stochastic pruning of Theorem 2, which makes a fraction r of these steps, is slower."}, "image": {"alt": "Four panels of excess test loss against SGD step on a logarithmic scale. LiPrune falls fastest. Random pruning, no pruning and unbiased sampling coincide above it. The curve of Theorem 2 lies highest, far above when little is kept."}}
methods = ("liprune", "random", "none", "unbiased", "theorem2")
figure = figures.excess_figure(results["curves"], methods, height=5.6)

# %% [markdown]
# <a id="best-step"></a>
# ## What the choice of points does
#
# If the longer step were all, LiPrune's lead would vanish once each method has its own best learning rate. [It does not](fig-best-rates). LiPrune's
# curve is that of random pruning moved to smaller rates by the factor $c(r)$, *and* its lowest point lies lower. The reason is label noise, which
# the factor $q$ of [one step](eq-q) leaves out. Each step adds $\eta\, \overline{x \nu}$ with variance $\eta^2 \sigma^2 m / B$. For small rates the error settles at
#
# $$
# \mathbb{E}\, e_\infty^2 \approx \frac{\eta^2 \sigma^2 m / B}{1 - q} \approx \frac{\eta\, \sigma^2}{2 B}, \label{eq-floor}
# $$
#
# plus $\sigma^2 / (K m)$, the error of the least-squares slope of the $K$ kept points. At *equal mean step* $\eta m$ LiPrune's rate is $c(r)$ times
# smaller, and so are both terms. A point far from 0 says more about a slope than a point near 0, whatever the optimiser. This is the classical
# advice to measure at both ends. It does not rest on convexity: the line must be straight, and the noise must be equal everywhere.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-best-rates", "caption": "Excess test loss after 10 and 30 steps against the learning rate, a tenth kept, batch size 10. Lines: expected on a typical data set. Markers: measured at each method's best rate. Vertical line: the paper's rate. LiPrune's optimum lies at a smaller rate, and lower."}, "image": {"alt": "Two panels of V-shaped curves on logarithmic axes. LiPrune's curve has its lowest point to the left of, and below, those of random pruning and unbiased sampling, which nearly coincide. At the vertical line the paper's rate lies on the left slope of all curves."}}
figure = figures.rates_figure(results["best"], slope)

# %%
floors = results["floors"]  # at equal mean step, those of the rivals over LiPrune's
low, high = floors.low / floors.expected, floors.high / floors.expected
assert (low < 1.1).all(), "a noise floor is above its closed form"
assert (high > 0.9).all(), "a noise floor is below its closed form"

# %% [markdown]
# <a id="stability"></a>
# ## Where each method stops converging
#
# The mean square error converges if and only if the factor $q$ of [one step](eq-q) is below 1, that is
#
# $$
# \eta < \eta_{\max} = \frac{2 m}{\mathbb{E}\, a_S^2}, \qquad \mathbb{E}\, a_S^2 = m^2 + \frac{\overline{x^4} - m^2}{B} \cdot \frac{K - B}{K - 1}. \label{eq-limit}
# $$
#
# LiPrune's error shrinks faster than that of random pruning if and only if $\eta < 2 (m_L - m_R) / (\mathbb{E}_L a_S^2 - \mathbb{E}_R a_S^2)$. Below that
# rate, "large $x^2$ results in faster convergence" is right. Above it, it is wrong: $|1 - \eta x^2|$ is small where $\eta x^2$ is near 1, not where it
# is large. At [still larger rates](fig-contraction) LiPrune diverges while random pruning converges. Unbiased sampling has the widest range, up to $2/m$.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-contraction", "caption": "Factor by which a step multiplies the mean square error, without the label noise, against the learning rate; batch size 10. Lines: closed form. Markers: measured at the first step. Below the black line SGD converges; right of the grey line the error of random pruning shrinks faster than LiPrune's."}, "image": {"alt": "Four panels of parabolas. LiPrune's falls first, has its minimum at a smaller rate and rises above one while random pruning is still near its minimum. The less is kept, the narrower is LiPrune's parabola. Markers lie on the curves."}}
figure = figures.contraction_figure(results["contraction"])

# %% [markdown]
# <a id="batch-size"></a>
# ## Batch size
#
# Appendix B.3 says: "As the batch size increases (Fig. 9), the empirical advantage of LiPrune over random pruning becomes less significant, which is
# expected since the pruned sets obtained using LiPrune and random pruning have more and more shared samples."
#
# The batch size enters the factor $q$ of [one step](eq-q) only through $\mathrm{Var}(a_S)$, the small term. When *points* are pruned and batches are drawn
# from the kept ones, LiPrune's advantage [hardly depends on the batch size](fig-batch). Nor do the kept sets: LiPrune and random pruning share a
# fraction $r$ of them on average at every batch size, since one of the two is random.
#
# When fixed *batches* are pruned, as the paper does for its networks, the advantage does shrink, and fast. In one dimension the constant of a
# batch is the mean of its points' constants. Means of $B$ points differ less than points do, by the factor $1/\sqrt B$. The best batches are then hardly
# larger than the others, and $c(r)$ goes to 1. The shared part of the kept sets is still $r$. (A batch then acts like a point:
# the recursion of [page 4](eq-square) holds with the batches' means in place of $x_i^2$, $B = 1$, and $\sigma / \sqrt B$ for $\sigma$.)

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-batch", "caption": "Excess test loss of LiPrune over that of random pruning at step 10 against the batch size, learning rate 0.01. Left: points are pruned. Right: fixed batches are pruned. Markers: simulated with 99% intervals. Lines: expected given the inputs."}, "image": {"alt": "Two panels on logarithmic axes, a curve for each keep fraction. On the left all four are flat. On the right all rise from the same values at batch size one towards one at batch size a hundred."}}
figure = figures.batch_figure(results["batches"])

# %% [markdown]
# <a id="kept-problem"></a>
# ## Which theorem covers deterministic pruning?
#
# Theorem 2 does not: it samples all points. Theorem 1 does, for another problem. SGD on the kept points is plain SGD on $F_K$, the mean of the
# kept $f_i$. This problem has its own $L_{\sup}$, $\mu$, $\sigma^2$ and minimiser $w_K$. (Here $\mu = m$, and the functions are means over batches, all
# equally likely.) With the bound of [page 1](01_importance_sampling.ipynb),
#
# $$
# \sqrt{\mathbb{E}\|w_t - w^*\|^2} \;\le\; \sqrt{\lambda^t \epsilon_0 + \frac{\eta \sigma^2}{\mu (1 - \eta L_{\sup})}} + \|w_K - w^*\|. \label{eq-kept}
# $$
#
# [This bound](fig-bound) predicts the acceleration that Theorem 2 cannot. Its number of steps depends on $L_{\sup}/\mu$ and $\sigma^2/\mu^2$. LiPrune
# multiplies $\mu$ by $c(r)$ and leaves $L_{\sup}$ as it is, so [both quotients fall](../results/05_what_accelerates/constants.csv). The
# price is the last term, the distance of the two minimisers. It is small for a straight line. Nothing in the theorem says that it is small elsewhere.

# %%
bounds = kept_problem.bound_table(num_problems, seed, slope)
assert (bounds.error <= bounds.bound).all(), "an error lies above Theorem 1's bound"

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-bound", "caption": "Theorem 1 applied to the kept points, a tenth kept, paper's setting. Solid colour: simulated mean square error from the true slope. Dotted: exact error from the kept points' own minimiser. Grey: the theorem's bound of the latter. Black dashed: the same with the distance of the minimisers added."}, "image": {"alt": "Two panels of mean square error against step on a logarithmic scale, LiPrune and random pruning. In each the bounds lie above the errors by a factor of a few; LiPrune's bound and error both fall much faster than random pruning's."}}
means = bounds.groupby(["method", "keep_fraction", "step"])[
    ["error", "bound", "total_bound"]
].mean()
files.write_table(folder, "bounds", means.reset_index())
constants = kept_problem.constants_table(num_problems, seed, slope)
files.write_table(folder, "constants", constants)
pruned = experiment.pruned[tables.BASE]
measured = {m: (pruned[m, 0.1].error ** 2).mean(axis=1) for m in ("liprune", "random")}
figure = figures.bound_figure(bounds, measured)

# %% [markdown]
# ## The verdict
#
# What the paper says, and what was measured.

# %% tags=["hide-input"]
outcomes = claims.decide_claims(results, cost=time.perf_counter() - began)
register.write_claims(folder, outcomes)
HTML(formats.claims_html(register.claims_table(outcomes)))

# %% [markdown]
# ## Exercises
#
# 1. **Drop the weights.** Draw points with $p_i \propto L_i$ as in Theorem 2, but do not weight their gradients. Nothing is pruned. By which factor is the mean step
#    longer than with uniform sampling? Derive the mean path from $w_0 = 0$, and check it with `run_sgd` and `p` from above.
# 2. **The best single step.** Leave out the label noise and take one point per step. Which learning rate makes $q$ of [one step](eq-q) least, and how small is it for
#    LiPrune and for random pruning, with a tenth kept? Check your formulas by a numerical search over the learning rate.
#
# <details><summary>Solution of exercise 1, in words</summary>
#
# The mean curvature of a drawn point is $m_p = \sum_i p_i x_i^2 = \overline{x^4}/\overline{x^2}$. The factor is $m_p/\overline{x^2}$, which for $x \sim U(-5, 5)$ is
# $9/5$. The mean path is $\mathbb{E}\, w_t = w_p\, (1 - (1 - \eta m_p)^t)$, with $w_p$ the least-squares slope under the weights $x_i^2$.
#
# Sampling by $L_i$ accelerates without any pruning, once the weights are gone. The weights keep the mean step at that of uniform sampling. LiPrune drops
# them too.
#
# </details>

# %% tags=["hide-cell"] mystnb={"code_prompt_show": "Solution of exercise 1, in code", "code_prompt_hide": "Solution of exercise 1, in code"}
unweighted = np.random.default_rng([seed, 101])
curvature = np.mean(x**4) / np.mean(x**2)
goal = np.sum(x**3 * y) / np.sum(x**4)
expected_w = goal * (1 - (1 - 0.01 * curvature) ** 10)
ends = [
    run_sgd(unweighted.choice(1000, (10, 10), p=p), 0.01, ones)[-1] for _ in range(1000)
]
error = np.std(ends) / np.sqrt(len(ends))
assert abs(np.mean(ends) - expected_w) < 5 * error, "the mean is not as derived"
print(f"the mean step is {curvature / np.mean(x**2):.3f} times as long; 9/5 expected")
print(f"mean of w after ten steps: {np.mean(ends):.4f}, expected {expected_w:.4f}")
slower = np.sum(x * y) / np.sum(x**2) * (1 - (1 - 0.01 * np.mean(x**2)) ** 10)
print(f"with uniform sampling, or with the weights, it is near {slower:.4f}")

# %% [markdown]
# <details><summary>Solution of exercise 2, in words</summary>
#
# For single points $q = 1 - 2 \eta m + \eta^2\, \overline{x^4}$ with the means over the kept points. It is least at $\eta = m/\overline{x^4}$, where
#
# $$
# q = 1 - \frac{m^2}{\overline{x^4}} = \frac{\mathrm{Var}(x^2)}{\overline{x^4}} .
# $$
#
# With $|x|/5$ uniform on $[1 - r, 1]$, $m = \frac{25}{3r} (1 - (1 - r)^3)$ and $\overline{x^4} = \frac{125}{r} (1 - (1 - r)^5)$. For random pruning, $r = 1$.
#
# At the best rate the size of the constants does not count, only how much they differ. The points that LiPrune keeps are nearly alike, so one step is
# almost exact. Unbiased sampling with $p \propto L$ makes all weighted points alike and has $q = 0$.
#
# </details>

# %% tags=["hide-cell"] mystnb={"code_prompt_show": "Solution of exercise 2, in code", "code_prompt_hide": "Solution of exercise 2, in code"}
from scipy.optimize import minimize_scalar

sizes = np.abs(np.random.default_rng([seed, 102]).uniform(-5, 5, 200_000))
for name, keep in {"LiPrune": 0.1, "random pruning": 1.0}.items():
    mean_square = 25 / 3 * (1 - (1 - keep) ** 3) / keep
    fourth = 125 * (1 - (1 - keep) ** 5) / keep
    squares = sizes[sizes >= 5 * (1 - keep)] ** 2
    found = minimize_scalar(
        lambda rate, squares=squares: np.mean((1 - rate * squares) ** 2),
        bounds=(0, 2 / mean_square),
        method="bounded",
        options={"xatol": 1e-9},
    )
    exact = 1 - np.mean(squares) ** 2 / np.mean(squares**2)  # for the points drawn
    np.testing.assert_allclose(found.fun, exact, rtol=1e-4)
    np.testing.assert_allclose(found.x, mean_square / fourth, rtol=0.05)
    np.testing.assert_allclose(found.fun, 1 - mean_square**2 / fourth, rtol=0.05)
    print(f"{name}: best rate {mean_square / fourth:.4f}", end=", ")
    print(f"q = {1 - mean_square**2 / fourth:.4f}; by search {found.fun:.4f}")

# %% [markdown]
# ## What differs from the paper
#
# In each figure of the paper all methods have one learning rate. LiPrune then takes longer steps, so the
# comparison cannot tell the choice of points from the length of the step. The paper reads Figure 1 as a confirmation of its theory but does not
# run the theory's sampling beside it. It gives no limit to "large $x^2$ results in faster convergence".
#
# **Tables.** [Curves](../results/05_what_accelerates/curves.csv), [shares of the gap](../results/05_what_accelerates/mechanism.csv),
# [best rates](../results/05_what_accelerates/best.csv), [noise floors](../results/05_what_accelerates/floors.csv),
# [limits and crossings](../results/05_what_accelerates/limits.csv), [contraction of a step](../results/05_what_accelerates/contraction.csv),
# [batch sizes](../results/05_what_accelerates/batches.csv), [distances from the closed forms](../results/05_what_accelerates/checks.csv),
# [Theorem 1's constants](../results/05_what_accelerates/constants.csv) and [bounds](../results/05_what_accelerates/bounds.csv).
#
# **Next.** [Is a convex loss enough for LiPrune to help?](06_convex_is_not_enough.ipynb)

# %% tags=["remove-input"]
shares = results["mechanism"].query("keep_fraction == 0.1").set_index("method")
matched, unbiased = (
    Estimate.of(shares.loc[method], "share") for method in ("matched", "unbiased")
)
points = results["batches"].query("pruned == 'points' and keep_fraction == 0.1")
ratio = Estimate.of(points.set_index("batch_size").loc[10], "ratio")
opening = claims.first_words(ratio, matched, unbiased)
best = results["best"].query("keep_fraction == 0.1 and rival == 'random'")
tuned = Estimate.of(best.set_index("step").loc[10], "ratio")
methods = ("liprune", "matched", "random")
first_screen.fill(
    f"""**{opening}** With a tenth of the points kept,
random pruning with steps as long as LiPrune's closes {claims.percentage(matched)} of
the gap between random pruning and LiPrune after ten steps. The unbiased sampling of the
paper's theory closes {claims.percentage(unbiased)}. The choice of points has an effect
of its own, on the label noise: with each method at its best learning rate, LiPrune's
excess test loss after ten steps is {formats.relative(tuned)} than that of random
pruning. Each number comes from {num_runs:,} data sets, on which all methods run.""",
    figures.excess_figure(results["curves"], methods, height=4.2),
)
