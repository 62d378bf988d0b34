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
# # 12. What would a pruning rule have to keep?

# %% tags=["remove-input"]
try:
    from liprune_utils.book import first_screen
except ModuleNotFoundError:
    raise SystemExit(
        "This page needs the kernel LiPrune, which `make book` installs."
    ) from None

first_screen.reserve("answer")

# %% tags=["remove-input"] mystnb={"figure": {"name": "fig-designs-first", "caption": "Excess test loss over that of random pruning after 100 steps of SGD, a tenth of the points kept, features of scales from 3 to 1/3. Left: least squares, where designs work. Right: logistic regression, where they help less. Each method has its own tuned step size. Bars: 99% intervals over data sets."}, "image": {"alt": "Two panels against the number of features, 1, 10 and 50, with a marker for each of LiPrune, largest leverages, A-optimal design and no pruning; random pruning is the line at one. On the left all are low at one feature; at 10 features LiPrune is at one and the design below; at 50 LiPrune lies between the design and one. On the right the design is nearer to one than on the left, and no pruning is lowest at each number of features."}}
first_screen.reserve("figure")

# %% [markdown]
# ## Run it yourself
#
# The races on generated problems take three to eight minutes. The network's runs and the races on its features are recorded.
# [How to rerun a page](../book/rerun.md) has the details.

# %% tags=["parameters", "hide-cell"] mystnb={"code_prompt_show": "Parameters", "code_prompt_hide": "Parameters"}
num_runs: int = 200  # data sets per problem, from 40 to 10000; a verdict needs 200
seed: int = 0  # root of all random streams, from 0 to 2^63 - 1
results_dir: str = "reruns/12_what_to_keep"  # folder for tables; made if missing

# %% tags=["hide-cell"] mystnb={"code_prompt_show": "Check of the parameters, imports", "code_prompt_hide": "Check of the parameters, imports"}
from experiments.what_to_keep.runs import WhatToKeepParameters

parameters = WhatToKeepParameters.from_notebook(globals())

import time
from itertools import combinations

import numpy as np
import pandas as pd
from IPython.display import HTML, Markdown, display

import liprune_utils as lp
from experiments.what_to_keep import (
    atlas,
    claims,
    figures,
    network,
    real,
    tables,
    theory,
)
from experiments.what_to_keep.runs import run_atlas, run_races
from liprune_utils import designs, files
from liprune_utils.book import formats, register, style
from liprune_utils.intervals import Estimate
from liprune_utils.pruning import overlap

style.use_style()
folder = parameters.results_folder()
files.write_json(folder / "provenance.json", files.provenance(data_source=real.DATA))

# %% [markdown]
# ## What each part of the loss asks for
#
# LiPrune looks at $L_{\sup}$ alone. We look at the loss itself, for least squares: the labels are $y_i = w^* \cdot x_i + \sigma \varepsilon_i$, a set $K$ of
# $k \ge d$ points is kept without a look at the labels, and SGD takes $t$ steps on it with a small step size $\eta$ and batches of $B$ points drawn with replacement. Write $M$ for the mean of $x x^\top$ over all points,
# $M_K$ for that over $K$, and $e_t = w_t - w^*$ for the error. The excess test loss is $\tfrac12\, e_t^\top M e_t$.
#
# **Proposition 1.** If $M_K$ is invertible, the expected excess test loss is the sum of two parts. The contraction is what is left of the first error, and shrinks with $t$. The
# labels' noise adds a part that grows from 0; the display has its limit, a floor plus the error of an estimate:
#
# $$
# \underbrace{\tfrac12\, e_0^\top (I - \eta M_K)^t M (I - \eta M_K)^t e_0}_{\text{contraction}}
# \;+\; \underbrace{\frac{\eta \sigma^2}{4 B}\, \mathrm{tr}\, M}_{\text{floor}}
# \;+\; \underbrace{\frac{\sigma^2}{2 k}\, \mathrm{tr}(M M_K^{-1})}_{\text{estimation}} \label{eq-three-parts}
# $$
#
# The last term is exact. The first two are leading terms: what they leave out is smaller by a factor of the order of $\eta$, for the floor also of $d / k$, which is not
# small with 50 features and 100 points. At the step sizes of the races they are a guide, no forecast. The races draw distinct points, which lowers the floor by the factor
# $(k - B) / (k - 1)$. Since $k M_K$ is at most $N M$, no kept set estimates better than all $N$ points: a design can beat no pruning only by its contraction, or before the
# noise has reached its limit.
#
# <details><summary>Proof</summary>
#
# A step is $e_{t+1} = (I - \eta A_t) e_t + \eta b_t$, with the mean $A_t$ of $x x^\top$ and the mean $b_t$ of $\sigma \varepsilon x$ over the batch. So $e_t$ is a linear
# function of $e_0$ plus a linear function of the noise $\varepsilon$. The noise has mean zero and is independent of the draws: the two parts do not correlate, and
# their expected losses add up.
#
# *Without noise* the mean of the error is $(I - \eta M_K)^t e_0$. The draws add a variance, which is of the order of $\eta$ while $\eta t$ is bounded.
#
# *The noise's part* starts at 0. Write $\hat e$ for the error of the minimiser over $K$. It is $\hat w_K - w^* = (X_K^\top X_K)^{-1} X_K^\top \sigma \varepsilon$, with the covariance
# $\frac{\sigma^2}{k} M_K^{-1}$. This gives the estimation term. Given $\varepsilon$, the mean of $e_t - \hat e$ over the draws tends to 0, so that no cross term is left. Its
# covariance $F$ solves $M_K F + F M_K = \frac{\eta}{B} \cdot \frac1k \sum_{i \in K} r_i^2 x_i x_i^\top + O(\eta^2)$ with the residuals $r_i$ at $\hat w_K$. These
# have the variance $\sigma^2 (1 - O(d/k))$. So the right-hand side is $\frac{\eta \sigma^2}{B} M_K$, and $F = \frac{\eta \sigma^2}{2B} I$ solves it. Its loss is $\tfrac12 \mathrm{tr}(M F)$. ∎
#
# </details>
#
# | part | what a kept set should have | in optimal design |
# |---|---|---|
# | contraction | a large $M_K$ in all directions in which $e_0$ is large; in the end a large least eigenvalue | E-optimality |
# | floor | nothing: in the leading term the kept set does not matter, the step size does | |
# | estimation | a small $\mathrm{tr}(M M_K^{-1})$ | V-optimality |
#
# Two more criteria are common: A, the trace of $M_K^{-1}$, and D, its determinant. They measure the error of the weights and the size of a confidence region.
# The decomposition into bias, noise and a limit is known, see [Défossez and Bach (2015)](cite:defossez2015), and the criteria are those of
# [Pukelsheim (2006)](cite:pukelsheim2006). Défossez and Bach also ask which distribution of points serves each part best; to ask it of a kept set is this page's part.
#
# With batches the step size is limited by the largest eigenvalue of $M_K$ and by $\mathrm{tr}\, M_K / B$ rather than by $1 / L_{\sup}(K)$. That is where LiPrune's rule pays a
# price: it makes the large eigenvalues of $M_K$ larger still.
#
# ## The method in a few lines
#
# First the proposition: SGD in a loop, many runs with noise of their own, against the exact recursion. Then a design: begin with some points, and swap the one
# that says least for the one that says most, as long as that lowers $\mathrm{tr}(M M_K^{-1})$.

# %%
generator = np.random.default_rng(seed)
scales = np.array([3.0, 1.0, 1 / 3])
x = generator.standard_normal((300, 3)) * scales
moment, w_star = x.T @ x / len(x), np.array([0.6, 0.0, 0.8])

points, runs, rate, sigma = x[:30], 20_000, 0.02, 0.5
noise = sigma * generator.standard_normal((runs, len(points)))
error = np.tile(-w_star, (runs, 1))
for _ in range(60):
    drawn = generator.integers(len(points), size=(runs, 5))
    batch, eps = points[drawn], np.take_along_axis(noise, drawn, axis=1)
    residual = np.einsum("rbd,rd->rb", batch, error) - eps
    error -= rate * np.einsum("rb,rbd->rd", residual, batch) / 5
simulated = np.vecdot(error @ moment, error) / 2
held = theory.Kept(points, rate, 5, sigma)
exact = theory.excess_path(held, moment, -w_star, 60)
apart = (simulated.mean() - exact.total[-1]) / (simulated.std() / np.sqrt(runs))
assert abs(apart) < 5, "the simulated loss is far from the exact one"
print(f"after 60 steps {simulated.mean():.4f}, exact {exact.total[-1]:.4f}")

slow = held._replace(step_size=0.005)
path = theory.excess_path(slow, moment, -w_star, 8000)
shrink = np.linalg.matrix_power(np.eye(3) - slow.step_size * slow.moment, 200)
left = shrink @ -w_star
np.testing.assert_allclose(path.contraction[200], left @ moment @ left / 2, rtol=0.1)
limit = theory.floor(slow, moment) + theory.estimation(slow, moment)
np.testing.assert_allclose(path.noise[-1], limit, rtol=0.1)

# %%
kept = np.arange(30)
while True:
    inverse = np.linalg.inv(x[kept].T @ x[kept] / 30)
    gain = np.vecdot(x @ inverse @ moment @ inverse, x)
    others = np.setdiff1d(np.arange(len(x)), kept)
    best, worst = others[gain[others].argmax()], gain[kept].argmin()
    trial = np.append(np.delete(kept, worst), best)
    after = np.trace(moment @ np.linalg.inv(x[trial].T @ x[trial] / 30))
    if after >= np.trace(moment @ inverse):
        break
    kept = trial
design = lp.optimal_design(x, keep_fraction=0.1)
chosen = np.trace(moment @ np.linalg.inv(x[design.kept].T @ x[design.kept] / 30))
assert chosen <= np.trace(moment @ inverse) * (1 + 1e-9)
swapped = np.trace(moment @ inverse) / 30
print(f"tr(M / M_K) / k: {swapped:.4f} by swaps, {chosen / 30:.4f} by the library")
print(f"(at least {design.efficiency:.1%} of the best), {3 / 300:.4f} for all points")

# %% [markdown]
# ## One dimension: all agree with LiPrune
#
# **Proposition 2.** In one dimension, at one step size $\eta \le 1 / L_{\sup}$ for all sets, the $k$ largest $|x_i|$ make the contraction fastest and the estimation
# best, whatever $e_0$, $\sigma$ and $t$ are; the leading term of the floor is the same for all sets.
#
# *Proof.* $M_K$ is the mean of $x_i^2$ over $K$. The contraction $(1 - \eta M_K)^{2t}$ and the estimation $\sigma^2 M / (2 k M_K)$ both fall as $M_K$ grows, and the largest
# $|x_i|$ have the largest $M_K$. ∎
#
# So on the paper's linear model LiPrune does what each part asks for. This is [page 5's finding](05_what_accelerates.ipynb) again: a longer step, and points
# that say more about the slope. In more dimensions $M_K$ is a matrix, and a large trace is no longer enough.

# %%
line = x[:9, 0]
sets = [np.array(chosen) for chosen in combinations(range(9), 4)]
means = np.array([(line[chosen] ** 2).mean() for chosen in sets])
largest = lp.keep_highest(line**2, keep_fraction=4 / 9)
for name in designs.CRITERIA:
    found = designs.optimal_design(line[:, None], 4 / 9, name).kept
    np.testing.assert_array_equal(found, largest)
np.testing.assert_array_equal(sets[means.argmax()], largest)

# %% [markdown]
# ## More dimensions: the wrong metric
#
# Take ten features whose scales fall from 3 to 1/3. The norm $\|x\|^2$ is decided by the features with the largest scales. LiPrune keeps points that say much about the
# weights of the large features, and little about those of the small ones. The table below has what each part asks for, with a tenth of the points kept; random pruning is 1, and lower is better.
#
# The remedy is a change of metric. Write the weights in coordinates in which $M$ is the identity: $z = M^{-1/2} x$.
#
# **Proposition 3.** In these coordinates the Lipschitz constant of point $i$ is its leverage, $\|z_i\|^2 = x_i^\top M^{-1} x_i$. So LiPrune there, which is LiPrune for SGD that is
# preconditioned by $M^{-1}$, keeps the largest leverages. If the inputs have elliptical contours around 0, this set is D-optimal in the limit of many points.
#
# <details><summary>Proof</summary>
#
# With $w = M^{-1/2} v$ the function is $\tfrac12 (v \cdot z_i - y_i)^2$, whose Hessian $z_i z_i^\top$ has the norm $\|z_i\|^2$. A step of SGD on $v$ is the step
# $w \leftarrow w - \eta M^{-1} \nabla f_i(w)$. For the second claim, a share of the points is D-optimal among all shares of its size if and only if some threshold has the
# $x^\top M_K^{-1} x$ of all kept points above it and those of all others below. This is the equivalence theorem with bounded weights. If $z$ has spherical contours, the set of large
# $\|z\|$ looks the same from all directions, so that $M_K$ is a multiple of $M$. Then $x^\top M_K^{-1} x$ has the order of the leverages, and the threshold exists. ∎
#
# </details>
#
# The second claim is that of [Glemser and Schwabe (2023)](cite:glemser2023); the first is elementary, and the bridge to LiPrune is this page's. **The paper's idea, in the right metric, is an
# old and good one.** Where it fails on least squares with uneven features, the metric is at fault. The races use the largest leverages with plain SGD, not with the
# preconditioned one.
#
# Other rules from statistics: IBOSS of [Wang, Yang and Stufken (2019)](cite:wang2019) keeps the extremes of every coordinate. [Wang, Zhu and Ma (2018)](cite:wang2018) draw the points of a
# logistic regression at random, with chances from the residuals and the Hessian at a pilot estimate. BAIT of [Ash et al. (2021)](cite:ash2021) uses such a criterion on the last layer of a network.

# %%
scales = np.geomspace(3, 1 / 3, 10)
cloud = generator.standard_normal((1000, 10)) * scales
kept_by = {
    "random pruning": generator.permutation(1000)[:100],
    "LiPrune": lp.keep_highest((cloud**2).sum(axis=1), 0.1),
    "largest leverages": lp.keep_highest(designs.leverages(cloud), 0.1),
    "A-optimal": lp.optimal_design(cloud, 0.1, "A").kept,
    "V-optimal": lp.optimal_design(cloud, 0.1, "V").kept,
}
everything = cloud.T @ cloud / len(cloud)
turned = cloud @ np.linalg.inv(np.linalg.cholesky(everything)).T  # M is the identity
np.testing.assert_allclose((turned**2).sum(axis=1), designs.leverages(cloud))

many = generator.standard_normal((20_000, 10)) * scales
best = designs.optimal_design(many, 0.1, "D")
simple = lp.keep_highest(designs.leverages(many), 0.1)
shared = overlap(best.kept, simple)
assert shared > 0.95
print("Of 20,000 Gaussian points, the D-optimal tenth and the largest leverages share")
print(f"{shared:.1%}; a random tenth would share 10%.")
parts = pd.DataFrame(
    {name: theory.parts(cloud[own], everything) for name, own in kept_by.items()}
)
(parts.div(parts["random pruning"], axis=0)).T.style.format("{:.2f}")

# %% [markdown]
# <a id="race-of-designs"></a>
# ## The race
#
# 1,000 points with 10 or 50 features, whose scales fall from 3 to 1/3, and the true weights in a random direction. SGD starts from $w_0 = 0$ and takes 30, 100 or 300
# steps with ten of the kept points per step. Each method has its own step size for each problem, fraction and number of steps: the one with the lowest mean excess test loss
# on data sets that are used for nothing else; the races then compare geometric means. The register says only *the design*. We chose the A-optimal one after a trial with other seeds and
# other code, before the races were run, and the V-optimal one for the real data and the network.
#
# For logistic regression the design may be weighted by the Hessian of a pilot, 100 steps of SGD on all points, if that tunes better. Until then its run is *the same* as that
# without pruning, and counts as ahead of random pruning though nothing has been pruned. At 300 steps a third of its steps are still on all points, a help that its rivals do
# not have. *Even signal* is least squares with a truth in which all features matter equally: a
# true direction at random hides in the large features. The table counts cases (dimension, fraction kept, number of steps) in which the whole interval of the design's excess
# test loss over that of the rival is *lower* than 1, or *higher*, or neither (*open*).

# %%
began = time.perf_counter()
level = register.load_register()["design-least-squares"]["level"]
races = run_races(num_runs, seed)
methods = tables.method_table(races, level)
cases = tables.case_table(races, level)
cost = time.perf_counter() - began
outcomes = [
    claims.least_squares_claim(cases, cost=cost),
    claims.logistic_claim(cases, cost=cost),
]
duels = cases[cases.dim > 1].groupby(["labels", "against"]).outcome
duels.value_counts().unstack(fill_value=0)

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-design-races", "caption": "Least squares: excess test loss of each method over that of random pruning, by the number of SGD steps, at each method's own step size. The horizontal line is random pruning. Bars: 99% intervals over data sets."}, "image": {"alt": "Four panels, for 10 and 50 features with a tenth and three tenths kept: markers with bars for no pruning, LiPrune, GraNd, IBOSS, largest leverages, and two optimal designs at three numbers of steps."}}
figure = figures.races_figure(methods, "noise 0.5")

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-design-logistic", "caption": "Logistic regression on the same inputs; as in the figure above. The weighted design is chosen after 100 steps on all points, and its run is that without pruning until then."}, "image": {"alt": "Four panels as before. Most markers lie closer to the line of random pruning, and no pruning lies below it."}}
figure = figures.races_figure(methods, "logistic")

# %% [markdown]
# <a id="who-wins-when"></a>
# ## Who wins when?
#
# Choose the number of features, the kind of inputs, the labels, and the fraction kept. The chart has each method's excess test loss over that of random pruning. *Even* features have one
# scale, *uneven* ones scales from 3 to 1/3; *heavy-tailed* points differ in size, and *correlated* features have the correlation 0.9 with their neighbours. A *bent truth* adds a
# quadratic part, so that no linear model is right. Intervals are 95%, over fewer data sets than in the races. The table below the chart counts the cases of all charts. Some two of
# them lie on each side by chance, and most cases decided for the bent truth have one or two features.

# %% tags=["hide-input"]
wide = tables.method_table(run_atlas(num_runs, seed), 0.95)
counts, costs = tables.count_table(wide), tables.cost_table((10, 50), seed)
sums = counts.groupby(["method", "labels"])[["lower", "open", "higher"]].sum()
price = costs[costs.dim == 50].set_index("method").epochs
display(atlas.browser(wide))
display(
    Markdown(f"""To choose among 1,000 points with 50 features, leverages take the time
of {price["leverage"]:.2g} epochs of SGD, an A-optimal design that of
{price["A"]:.2g}.""")
)
both = sums.lower.astype(str) + " / " + sums.higher.astype(str)
words = (
    f"Cases surely ahead of / behind random pruning, of {sums.sum(axis=1).max()} each."
)
both.unstack().rename(figures.LABELS).style.set_caption(words)

# %% [markdown]
# <a id="real-designs"></a>
# ## On real data
#
# The data sets and the convex head of [page 6](06_convex_is_not_enough.ipynb), each split at random into points that train and points that test. Here no model is right, and nobody
# knows the true weights. The design is the V-optimal one of the inputs, which does not depend on their coordinates. A data set counts if the design is ahead of random pruning in all
# of its four cases. The splits share points, and where the design is ahead by little the verdict depends on which splits are drawn: another `seed` may decide otherwise.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-design-real", "caption": "Real data with a convex loss: test loss of each method over that of random pruning, each at its own tuned step size, after 100 and 1,000 steps of SGD. The convex head is recorded. Bars: 95% intervals over random splits."}, "image": {"alt": "Two panels, after 100 and after 1000 steps, with a row for each data set and fraction kept, and a marker with a bar for optimal design, leverage, LiPrune and no pruning. The vertical line is random pruning."}}
head, head_facts = real.recorded_head()
real_losses = pd.concat([real.run_small(seed), head], ignore_index=True)
ratios = real.ratio_table(real_losses)
outcomes.append(claims.real_claim(ratios, cost=head_facts["seconds"]))
figure = real.real_figure(ratios)

# %% [markdown]
# <a id="network-designs"></a>
# ## On a network, recorded
#
# The last layer of a network is a linear model of the features before it. The V-optimal design of these features, at the start of epoch 5, says which images to keep. Its rivals
# are random *images*, cut into new batches as the design's images are; random batches stand beside it. This is the idea of BAIT, without its weights of classes.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-design-network", "caption": "ResNet-14 on a tenth of CIFAR-10, recorded: test error less that of random images with the same seed, averaged over the epochs after the pruning. Left of the vertical line a method is better than random images; the dotted line is the gain that would count. Bars: 90% intervals over paired seeds."}, "image": {"alt": "Two panels, a fifth and half of the images kept, with a row each for optimal design, leverage and random batches: a marker and a bar, and a vertical line at zero."}}
curves, runs, grid = network.recorded_networks()
gaps = network.network_gaps(curves)
outcomes.append(claims.network_claim(gaps, cost=grid["seconds"]))
figure = network.network_figure(gaps)

# %% [markdown]
# <a id="what-to-do"></a>
# ## For practice, and the verdict
#
# **Where a design works.** Labels are dear, the model is linear and fits, and the inputs of all points are known. Then a design says which points to label. On
# least squares the largest leverages are about as good with 50 features, and often with 10, and cost some passes over the data. A design can cost the time of thousands of steps of
# SGD: it pays where labels are dear, not where time is. Three lines:
#
# ```python
# import liprune_utils as lp
# design = lp.optimal_design(x, keep_fraction=0.1)  # x: inputs, [n, dim]
# x, y = x[design.kept], y[design.kept]  # only these need labels
# ```
#
# For a network, `lp.score("leverage", model, images, labels)` has the leverages of the last layer's features. On [the network above](fig-design-network), and on digits, they
# did worse than random images and points: we do not advise them there.
#
# **Where it fails.** A design trusts its model. Where the model does not fit, the far points that it keeps can be those where the misfit is largest, as with a bent truth. For classes, a point far out
# says little if its class is certain. And if all labels are there already, no pruning is the rival to beat, not random pruning.
#
# What this page claims, beyond the paper, and what was measured:

# %% tags=["hide-input"]
register.write_claims(folder, outcomes)
written = {
    "cases": cases, "methods": methods, "tuning": tables.tuning_table(races),
    "atlas": wide, "counts": counts, "costs": costs,
    "real_losses": real_losses, "real_ratios": ratios,
    "real_tuned": real.tuned_table(real_losses), "network_gaps": gaps,
}  # fmt: skip
for name, table in written.items():
    files.write_table(folder, name, table)
HTML(formats.claims_html(register.claims_table(outcomes)))

# %% [markdown]
# **What differs from the literature.** The statistics of designs asks for the error of an estimate alone. Here SGD takes few steps, so that contraction counts as well. The
# designs are found by an algorithm for bounded weights that also bounds the best set, see `liprune_utils.designs`.
#
# **Tables.** [Every comparison that decides](../results/12_what_to_keep/cases.csv), [all methods against random pruning](../results/12_what_to_keep/methods.csv),
# [how often each is ahead](../results/12_what_to_keep/counts.csv), [step sizes chosen](../results/12_what_to_keep/tuning.csv), [the charts' numbers](../results/12_what_to_keep/atlas.csv),
# [what a selection costs](../results/12_what_to_keep/costs.csv). Real data: [losses](../results/12_what_to_keep/real_losses.csv), [ratios](../results/12_what_to_keep/real_ratios.csv),
# [step sizes](../results/12_what_to_keep/real_tuned.csv). Recorded: [differences of the networks](../results/12_what_to_keep/network_gaps.csv), their
# [curves](../book/results/12_what_to_keep/design_curves.csv), [runs](../book/results/12_what_to_keep/design_runs.csv) and
# [provenance](../book/results/12_what_to_keep/design_provenance.json), the [races on the convex head](../book/results/12_what_to_keep/head.csv).
#
# **Next.** [The library on your own data](13_your_problem.ipynb)

# %% tags=["remove-input"]
verdicts = {one.id: one.verdict for one in outcomes}
said = {
    "holds": "Points that determine the weights: an optimal design.",
    "holds-in-part": "Points that determine the weights, where a linear model fits.",
}.get(verdicts["design-least-squares"], "No rule was found that works everywhere.")
row = methods.query(
    "labels == 'noise 0.5' and dim == 10 and keep_fraction == 0.1"
    " and step == 100 and method == 'A'"
).iloc[0]
gain = formats.relative(Estimate.of(row, "ratio"), level=level)
unpruned = cases.query("labels == 'noise 0.5' and dim > 1 and against == 'none'")
behind = (unpruned.outcome == "higher").sum()
others = {"logistic regression": "design-logistic", "real data": "design-real"}
others |= {"a ResNet, by its last layer": "design-network"}
elsewhere = "; ".join(
    f"on {name}, {formats.words(verdicts[claim])}" for name, claim in others.items()
)
first_screen.fill(
    f"""**{said}** With features of uneven scale the largest constants have the wrong
metric. On least squares with 10 uneven features and a tenth of the points kept, the
excess test loss of an A-optimal design is {gain} than that of random pruning after 100
steps ({row.num_runs} data sets). Keeping all points is better still in {behind} of
{len(unpruned)} such cases. The same claim elsewhere, most of it against random pruning
alone: {elsewhere}.""",
    figures.first_figure(methods),
)
