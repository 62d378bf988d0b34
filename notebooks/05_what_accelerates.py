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
# # What accelerates?
#
# ## Overview
#
# **Claims** (Section 4.1 and Appendix B.3 of {cite:t}`ayed2022`): "The results confirm our theoretical predictions that LiPrune
# accelerates convergence". "Choosing $x_{i_k}$ such that $x_{i_k}^2$ is large results in faster convergence (on average)." "As the
# batch size increases (Fig. 9), the empirical advantage of LiPrune over random pruning becomes less significant, which is expected
# since the pruned sets obtained using LiPrune and random pruning have more and more shared samples."
#
# **Answer.** {glue:text}`answer`
#
# **Cost.** {glue:text}`cost`
#
# [Page 04](04_linear_model.ipynb) found the gain that Figure 1 shows. This page asks where it comes from. The setting is the same: the paper's linear
# model, $w_0 = 0$, ten points a step, the rate 0.01, the same data sets and test points. Excess loss is the test loss less that of the
# true slope.

# %% tags=["parameters"]
slope: float = 1.0  # true slope w*, from -100 to 100, not 0; the paper does not state it
num_runs: int = 10_000  # data sets of the linear model with SGD runs, from 1000 to 1000000
num_problems: int = 100  # data sets on which Theorem 1's bound is computed, from 10 to 100000
seed: int = 0  # root of all random streams, from 0
results_dir: str = "reruns/05_what_accelerates"  # folder for tables; made if missing

# %%
from experiments.what_accelerates.runs import AccelerationParameters

parameters = AccelerationParameters.from_notebook(globals())

# %% tags=["hide-input"]
import time

import ipywidgets
import pandas as pd
from IPython.display import HTML
from myst_nb import glue

from experiments.what_accelerates import claims, figures, kept_problem, tables
from experiments.what_accelerates.runs import run_experiment
from liprune_utils import files
from liprune_utils.book import formats, frames, register, style

style.use_style()
folder = files.results_folder(results_dir)
began = time.perf_counter()

# %%
experiment = run_experiment(num_runs=num_runs, seed=seed, slope=slope)
curves, mechanism = tables.curve_table(experiment), tables.mechanism_table(experiment)
best, floors = tables.best_table(experiment), tables.floor_table(experiment)
limits, contraction = tables.limit_table(experiment), tables.contraction_table(experiment)
batches = tables.batch_table(experiment)
results = {"curves": curves, "mechanism": mechanism, "best": best, "floors": floors}
results |= {"limits": limits, "contraction": contraction, "batches": batches}
for name, rows in results.items():
    files.write_table(folder, name, rows)

# %% tags=["hide-input"]
cost = time.perf_counter() - began
outcomes = [
    claims.mechanism_claim(mechanism, cost=cost),
    claims.rate_claim(limits, cost=cost),
    claims.batch_claim(batches, cost=cost),
]
register.write_claims(folder, outcomes)
table = pd.DataFrame(outcomes).merge(
    register.verdict_table(folder.parent)[["id", "quote", "place", "page"]]
)
HTML(formats.claims_html(table))

# %% tags=["hide-input"]
glue("answer", claims.answer(mechanism, best, limits, batches), display=False)
glue(
    "cost",
    f"{time.perf_counter() - began:.0f} seconds for {num_runs:,} data sets of the linear model.",
    display=False,
)

# %% [markdown]
# (points-or-step)=
# ## The choice of points, or the size of the step?
#
# LiPrune and random pruning run at one learning rate, but not at one step. Let $e = w - w^*$, and let $a_S$ be the mean of $x^2$ over the batch. Without label
# noise a step is $e^+ = (1 - \eta a_S)\, e$. With $m = \mathbb{E}\, a_S$,
#
# $$
# \mathbb{E}\,(e^+)^2 = q\, e^2, \qquad q = (1 - \eta m)^2 + \eta^2\, \mathrm{Var}(a_S).
# $$ (eq-q)
#
# The first term is the mean step. The second is the noise of sampling, the only thing that an *unbiased* choice of points can reduce.
#
# **LiPrune moves the first term.** $u = |x|/5$ is uniform on $[0, 1]$, and LiPrune keeps $u \ge 1 - r$. Its mean of $x^2$ over that of all points is
#
# $$
# c(r) = \frac{\frac1r \int_{1-r}^1 u^2\, du}{\int_0^1 u^2\, du} = \frac{1 - (1 - r)^3}{r},
# $$ (eq-multiplier)
#
# between 1 and 3. Random pruning at the rate $c(r)\,\eta$ has the same mean step: *Random, LiPrune's step* in {numref}`fig-race`.
#
# **The theory moves the second.** With $p_i \propto L_i$ and the weights $1/(n p_i) = \bar L / L_i$ of Theorem 2, every point has the same weighted curvature,
# $\frac{\bar L}{x_i^2}\, x_i^2 = m$. So $\mathrm{Var}(a_S) = 0$ and $q = (1 - \eta m)^2$ with the $m$ of *all* points. That is the best that
# sampling without bias can do, and at the paper's rate it is next to nothing: the mean step dominates. *Theorem 2* in the figure makes
# only a fraction $r$ of these steps, each $1/r$ times as long, as the paper's Eq. (2) has it; the added randomness makes it slower.
#
# LiPrune is not a variant of that sampling with less noise. It drops the weights $1/(n p_i)$, and with them the unbiasedness: what is left is a longer
# step.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-race", "caption": "Excess test loss in the paper's setting (batch size 10, learning rate 0.01), means over all runs. Random pruning with LiPrune's mean step lies on LiPrune until the noise floor. Unbiased sampling with p proportional to L lies on random pruning; the stochastic pruning of Theorem 2, which makes a fraction r of the steps, is slower."}, "image": {"alt": "Four panels of excess test loss against SGD step on a logarithmic scale. In each, two curves fall fastest and coincide, LiPrune and random pruning with its step, parting only at the floor. Random pruning, no pruning and unbiased sampling coincide above them. The curve of Theorem 2 lies highest, far above when little is kept."}}
figure = figures.excess_figure(curves)

# %% [markdown]
# (best-step)=
# ## What the choice of points does
#
# If the step were all, tuning the rate would end LiPrune's lead. {numref}`fig-best-rates` tunes it. LiPrune's curve is random pruning's, moved to smaller rates
# by $c(r)$, *and* its lowest point lies lower. The reason is label noise, which {eq}`eq-q` leaves out. A step adds $\eta\, \overline{x \nu}$ with variance
# $\eta^2 \sigma^2 m / B$, so that for small rates the error settles at
#
# $$
# \mathbb{E}\, e_\infty^2 \approx \frac{\eta^2 \sigma^2 m / B}{1 - q} \approx \frac{\eta\, \sigma^2}{2 B},
# $$ (eq-floor)
#
# plus $\sigma^2 / (K m)$, the error of the least-squares slope of the $K$ kept points. At *equal mean step* $\eta m$ LiPrune's rate is $c(r)$ times
# smaller, and so are both terms of its floor. A point far out says more about a slope than one near 0, whatever the optimiser: it is the
# old advice to measure at the ends. The paper's theory does not say this, and its reason is not convexity but a line that is truly straight, with noise
# that is equal everywhere.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-best-rates", "caption": "Excess test loss after 10 and 30 steps against the learning rate, a tenth kept, batch size 10. Lines: expected on a typical data set. Markers: measured at each method's best rate. Vertical line: the paper's rate. LiPrune's optimum lies at a smaller rate, and lower."}, "image": {"alt": "Two panels of V-shaped curves on logarithmic axes. LiPrune's curve has its lowest point to the left of, and below, those of random pruning and unbiased sampling, which nearly coincide. At the vertical line the paper's rate lies on the left slope of all curves."}}
figure = figures.rates_figure(best, slope)

# %%
checks = tables.check_table(experiment)
files.write_table(folder, "checks", checks)
assert checks.z.abs().max() < 5, "a simulated mean is far from its closed form"
assert contraction.z.abs().max() < 5, "a measured contraction is far from its closed form"
assert ((floors.low / floors.expected < 1.1) & (floors.high / floors.expected > 0.9)).all()
print(
    f"{len(checks):,} simulated means; the farthest is {checks.z.abs().max():.1f} standard errors"
)
shown = floors.drop(columns="num_runs").replace(
    {"none": "no pruning", "unbiased": "unbiased, p ∝ L"}
)
shown.rename(columns={"keep_fraction": "keep", "multiplier": "c(r)"}).style.hide().format(
    "{:.3g}", subset=["keep", "c(r)", "expected", "ratio", "low", "high"]
)

# %% [markdown]
# Noise floors at equal mean step, over LiPrune's: expected on a typical data set, and measured with a 99% interval. All means of this page are held against
# closed forms: {eq}`eq-square` of page 04, its counterpart for unbiased sampling (`experiments.what_accelerates.closed_forms.importance_square`), and {eq}`eq-q`.
# Tables: {download}`curves <../results/05_what_accelerates/curves.csv>`, {download}`shares of the gap <../results/05_what_accelerates/mechanism.csv>`,
# {download}`best rates <../results/05_what_accelerates/best.csv>`, {download}`floors <../results/05_what_accelerates/floors.csv>`,
# {download}`distances from the closed forms <../results/05_what_accelerates/checks.csv>`.
#
# (stability)=
# ## Where each method stops converging
#
# By {eq}`eq-q` the mean square error converges if and only if $q < 1$, that is
#
# $$
# \eta < \eta_{\max} = \frac{2 m}{\mathbb{E}\, a_S^2}, \qquad \mathbb{E}\, a_S^2 = m^2 + \frac{\overline{x^4} - m^2}{B} \cdot \frac{K - B}{K - 1},
# $$ (eq-limit)
#
# and LiPrune contracts faster than random pruning if and only if $\eta < 2 (m_L - m_R) / (\mathbb{E}_L a_S^2 - \mathbb{E}_R a_S^2)$. "Large $x^2$ results in faster
# convergence" is right below that rate, and wrong above it: $|1 - \eta x^2|$ is small where $\eta x^2$ is near 1, not where it is large. The
# order turns well before LiPrune diverges, and LiPrune diverges long before random pruning. Unbiased sampling has the widest range, $2/m$.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-contraction", "caption": "Factor by which a step multiplies the mean square error, without the label noise, against the learning rate; batch size 10. Lines: closed form. Markers: measured at the first step. Below the black line SGD converges; right of the grey line random pruning contracts faster than LiPrune."}, "image": {"alt": "Four panels of parabolas. LiPrune's falls first, has its minimum at a smaller rate and rises above one while random pruning is still near its minimum. The less is kept, the narrower is LiPrune's parabola. Markers lie on the curves."}}
figure = figures.contraction_figure(contraction)

# %% [markdown]
# Tables: {download}`limits and crossings at every batch size <../results/05_what_accelerates/limits.csv>`,
# {download}`measured contraction <../results/05_what_accelerates/contraction.csv>`.
#
# (batch-size)=
# ## Batch size
#
# By {eq}`eq-q` the batch size enters through $\mathrm{Var}(a_S)/B$ only, the term that hardly matters. When *points* are pruned and batches
# are drawn from the kept ones, LiPrune's advantage should not depend on the batch size, and it hardly does
# ({numref}`fig-batch`). Nor do the kept sets depend on it: LiPrune and random pruning share a fraction $r$ of them on average, whatever $B$ is, since one of the two
# is random. "More and more shared samples" is no reason.
#
# When fixed *batches* are pruned, as the paper does for its networks, the advantage does shrink, and fast. The constant of a batch is the mean
# of its points' (in one dimension). Means of $B$ points differ less than points do, by $1/\sqrt B$, so that the best batches are hardly larger than
# the others and $c(r)$ goes to 1. The shared part of the kept sets is still $r$. A batch then acts like a point: {eq}`eq-square` holds with the batches'
# means in place of $x_i^2$, $B = 1$, and $\sigma / \sqrt B$ for $\sigma$.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-batch", "caption": "Excess test loss of LiPrune over that of random pruning at step 10 against the batch size, learning rate 0.01. Left: points are pruned. Right: fixed batches are pruned. Markers: simulated with 99% intervals. Lines: expected given the inputs."}, "image": {"alt": "Two panels on logarithmic axes, a curve for each keep fraction. On the left all four are flat. On the right all rise from the same values at batch size one towards one at batch size a hundred."}}
figure = figures.batch_figure(batches)

# %% [markdown]
# {download}`Ratios, their growth, overlaps and mean steps <../results/05_what_accelerates/batches.csv>`.
#
# (kept-problem)=
# ## Which theorem covers deterministic pruning?
#
# Theorem 2 does not: it samples all points. Theorem 1 does, for another problem. SGD on the kept points is plain SGD on
# $F_K$, the mean of the kept $f_i$, which has its own $L_{\sup}$, $\mu$, $\sigma^2$ and minimiser $w_K$ (here
# $\mu = m$, and the functions are the means over batches, as every batch is equally likely). With the bound of [page 01](01_importance_sampling.ipynb),
#
# $$
# \sqrt{\mathbb{E}\|w_t - w^*\|^2} \;\le\; \sqrt{\lambda^t \epsilon_0 + \frac{\eta \sigma^2}{\mu (1 - \eta L_{\sup})}} + \|w_K - w^*\|.
# $$ (eq-kept)
#
# This predicts the acceleration that Theorem 2 cannot. Its number of steps rests on $L_{\sup}/\mu$ and $\sigma^2/\mu^2$. LiPrune leaves $L_{\sup}$ as it is
# and multiplies $\mu$ by $c(r)$, and both quotients fall. The price is the last term. It is small for a straight line ($\sigma/\sqrt{K m}$),
# and nothing in the theorem says that it is small elsewhere.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-bound", "caption": "Theorem 1 applied to the kept points, a tenth kept, paper's setting. Solid colour: simulated mean square error from the true slope. Dotted: exact error from the kept points' own minimiser. Grey: the theorem's bound of the latter. Black dashed: the same with the distance of the minimisers added."}, "image": {"alt": "Two panels of mean square error against step on a logarithmic scale, LiPrune and random pruning. In each the bounds lie above the errors by a factor of a few; LiPrune's bound and error both fall much faster than random pruning's."}}
bounds = kept_problem.bound_table(num_problems, seed, slope)
pruned = experiment.pruned[tables.BASE]
measured = {
    method: (pruned[method, 0.1].error ** 2).mean(axis=1) for method in ("liprune", "random")
}
figure = figures.bound_figure(bounds, measured)

# %%
assert (bounds.error <= bounds.bound).all(), "an error lies above Theorem 1's bound"
means = bounds.groupby(["method", "keep_fraction", "step"])[
    ["error", "bound", "total_bound"]
].mean()
files.write_table(folder, "bounds", means.reset_index())
constants = kept_problem.constants_table(num_problems, seed, slope)
files.write_table(folder, "constants", constants)
names = {"keep_fraction": "keep", "lipschitz": "L_sup", "strong_convexity": "μ", "noise": "σ²"}
names |= {"condition": "L_sup / μ", "rate": "λ", "steps": "steps", "bias": "distance of minimisers"}
methods = {"liprune": "LiPrune", "random": "random", "none": "no pruning"}
shown = constants.replace(methods).rename(columns=names)
shown.style.hide().format("{:.3g}", subset=list(names.values()))

# %% [markdown]
# What Theorem 1 knows of the kept problems, means over data sets: constants of batches of ten, the factor $\lambda$ at the paper's rate, and the theorem's number of
# steps to a hundredth of the first error at its own step size. {download}`Constants <../results/05_what_accelerates/constants.csv>`,
# {download}`bounds and errors <../results/05_what_accelerates/bounds.csv>`.
#
# ## Try it
#
# Expected excess test loss on the linear model from the closed forms. Each slider moves one thing from the paper's setting with a tenth kept.

# %% tags=["hide-input"]
rates = [0.0025, 0.005, 0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 0.08, 0.09, 0.1]
sliders = {
    "learning rate": (rates, lambda rate: (0.1, 10, rate)),
    "fraction kept": ([0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9], lambda fraction: (fraction, 10, 0.01)),
    "batch size": ([1, 2, 5, 10, 20, 50, 100], lambda size: (0.1, size, 0.01)),
}
words = "Expected excess test loss against step for LiPrune, random pruning, random pruning with LiPrune's step and unbiased sampling;"
browsers = [
    frames.frame_browser(
        lambda value, setting=setting: figures.expected_figure(*setting(value), slope),
        values,
        describe=lambda value, name=name: f"{words} {name} {value}.",
        name=name,
    )
    for name, (values, setting) in sliders.items()
]
ipywidgets.VBox(browsers)

# %% [markdown]
# ## What differs from the paper
#
# - In each figure of the paper all methods have one learning rate. At one rate LiPrune takes longer steps, so that the comparison cannot tell points from
#   steps.
# - It reads Figure 1 as confirming its theory. The theory's sampling, run beside it, explains almost nothing of the gain.
# - It gives no limit to "large $x^2$ results in faster convergence", and explains the role of the batch size by shared samples.
#
# ## Next
#
# Two things must hold for the kept problem to be faster: [do they hold in every convex problem?](06_convex_is_not_enough.ipynb) [The verdict](14_verdict.ipynb) keeps the account of
# all claims.
