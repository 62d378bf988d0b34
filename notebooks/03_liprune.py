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
# # What does LiPrune keep, and is GraNd a cheap way to it?
#
# ## Overview
#
# **Claims** (Sections 3 and 4.1 of {cite:t}`ayed2022`): "the Lipschitz constants are given by $L_i = |x_i|^2$", and "Assuming that
# $\nabla_w f_i(w_*) \approx 0$ for all $i$, GraNd can be seen as an approximate LiPrune".
#
# **Answer.** {glue:text}`answer`
#
# **The other questions.** {glue:text}`answer-more`
#
# **Cost.** {glue:text}`cost`
#
# LiPrune ranks functions $f_i$ by the Lipschitz constants $L_i$ of their gradients,
# $\|\nabla f_i(v) - \nabla f_i(w)\| \le L_i \|v - w\|$ with the smallest such $L_i$, and keeps the largest. For networks these constants are
# unknown. This page takes models for which they are known exactly, and asks what the algorithm, its cheap substitute and
# its batches do to them.

# %% tags=["parameters"]
slope: float = 1.0  # true slope w*, from -1000 to 1000, not 0; the paper does not state it
low: float = 8.0  # sine model, lower end of "your interval", from -1000 to 1000; the paper: 8
high: float = 12.0  # its upper end, from 0.5 above low to 1000; the paper's data have 12
num_runs: int = 1500  # data sets of the linear model, from 1000 to 10000
seed: int = 0  # root of all random streams, from 0
results_dir: str = "reruns/03_liprune"  # folder for tables; made if missing

# %%
from experiments.liprune.runs import LipruneParameters

parameters = LipruneParameters.from_notebook(globals())

# %% tags=["hide-input"]
import time

import numpy as np
import pandas as pd
from IPython.display import HTML
from myst_nb import glue

from experiments.linear_model.runs import NUM_POINTS
from experiments.liprune import batch_spread, claims, figures, tables
from experiments.liprune.runs import (
    KEEP_FRACTIONS,
    distance_needed,
    gradient_norms,
    kept_overlaps,
    kept_table,
    minimisers,
    population_table,
    rule_table,
)
from liprune_utils import files
from liprune_utils.book import formats, frames, register, style
from liprune_utils.lipschitz import sine_constant, sine_curvature, sine_loss
from liprune_utils.problems import NOISE_SD, draw_linear

style.use_style()
folder = files.results_folder(results_dir)
began = time.perf_counter()
for_linear, for_search, for_sine, for_check, for_batches = np.random.default_rng(seed).spawn(5)

# %% [markdown]
# ## Run the linear model

# %%
data = draw_linear(for_linear, num_runs, NUM_POINTS, slope=slope)
way = tables.way_table(data)
distances = tables.distance_table(data, [0, *np.geomspace(0.01, 100, 13)])
linear_ratios = tables.linear_ratios(draw_linear(for_search, 10, NUM_POINTS, slope=slope))
files.write_table(folder, "way", way)
files.write_table(folder, "distances", distances)

# %% tags=["hide-input"]
cost = time.perf_counter() - began
outcomes = [
    claims.linear_claim(linear_ratios, cost=cost),
    claims.grand_claim(way, cost=cost),
]
register.write_claims(folder, outcomes)
table = pd.DataFrame(outcomes).merge(
    register.verdict_table(folder.parent)[["id", "quote", "place", "page"]]
)
HTML(formats.claims_html(table))

# %% [markdown]
# (algorithm-1)=
# ## Algorithm 1, as printed and as run here
#
# The algorithm sorts the scores, takes the threshold $T_r = \hat s_{r \times n}$, the $r n$-th largest, and keeps every $i$ with $s_i \ge T_r$.
# Taken literally it has four gaps:
#
# - If $r n$ is not whole, there is no such score. The paper's batches of 128 on CIFAR-10 are such a case: the last, smaller one makes
#   391. (Without it there are 390, and $r n$ is whole for the paper's $r$.)
# - If $r n$ is below 1, there is none either.
# - If scores tie with the threshold, more than $r n$ functions are kept; if all are equal, all. In the linear model $x$ and
#   $-x$ tie, and so do repeated examples.
# - $r = 1$, no pruning, is outside $r \in (0, 1)$.
#
# The paper calls $r$ the *compression ratio*, though it is the fraction that is kept. This book says `keep_fraction`, allows 1, keeps exactly
# $\max(1, \lfloor r n + \tfrac12 \rfloor)$ functions, and takes the lowest index first among equal scores. Where $r n$ is whole and scores differ,
# both rules agree. Neither depends on the unit of the scores. The order of the data matters to ours alone, and only for which of several
# equal scores it keeps.

# %% tags=["hide-input"]
rules = rule_table()
files.write_table(folder, "rules", rules)
shown = rules.rename(columns={"r_n": "r n", "printed": "kept, as printed", "kept": "kept here"})
shown.drop(columns="problem").style.hide().format("{:g}", subset=["r", "r n"]).format(
    "{:.0f}", subset="kept, as printed", na_rep="no answer"
)

# %% [markdown]
# How many functions each rule keeps ({download}`table, with the reasons <../results/03_liprune/rules.csv>`).
#
# (linear-constant)=
# ## Exact constants of convex models
#
# A gradient's Lipschitz constant over a convex set is the largest norm of the Hessian there. (It is a constant *of the gradient*. The paper's
# "functions with Lipschitz constants" leaves the word out.)
#
# **Linear model.** $f(w) = \tfrac12 (w \cdot x - y)^2$ has the Hessian $x x^\top$ everywhere, hence $L = \|x\|^2$, and in one dimension *every*
# secant of the gradient is $x^2$. The paper says "mean squared loss" and writes the half. Without it, $L = 2 \|x\|^2$; the ranking is the same.
#
# **A batch of it.** The mean of $B$ such functions has the Hessian $X^\top X / B$, hence
#
# $$
# L = \frac{\sigma_{\max}(X)^2}{B} \;\le\; \frac{\mathrm{tr}(X^\top X)}{B} = \frac1B \sum_j \|x_j\|^2 ,
# $$ (eq-batch)
#
# with equality only if all points lie on one line through 0, as in one dimension. A batch's constant is then the mean of its points'.
#
# **Logistic loss.** $\log(1 + e^{-y\, w \cdot x})$ has the Hessian $p (1 - p)\, x x^\top$ with $p = 1 / (1 + e^{-w \cdot x})$. The factor is at most
# $\tfrac14$, so $L = \tfrac14 \|x\|^2$, attained where $w \cdot x = 0$. The label plays no part.
#
# **Cross-entropy of a softmax.** With $K$ classes and logits $W x$ the Hessian is $(\mathrm{diag}(p) - p p^\top) \otimes x x^\top$. For a vector $v$ of
# length 1 the first factor gives the variance of $v_k$ under $p$, at most $\tfrac14 (\max v - \min v)^2 \le \tfrac12$. So $L = \tfrac12 \|x\|^2$ for every
# $K \ge 2$: attained for $K = 2$ where both classes are equally likely, only approached for $K > 2$, as all but two classes vanish. (For $K = 2$ it is twice
# the logistic constant: two rows of weights describe what one could.)
#
# In these convex models, then, LiPrune sees the *inputs* alone. It ranks by $\|x\|$ and knows nothing of labels or errors.
#
# A search that does not know the formulas must never find more, and must come near. In one dimension it takes the largest
# secant on a fine grid. In several it looks for the best centre and direction by BFGS from random starts.

# %%
sine_x = for_sine.standard_normal((200, 1000))  # the paper's Eq. (7)
sine_y = np.sin(12 * sine_x) + 0.1 * for_sine.standard_normal(sine_x.shape)
sine_ratios = tables.sine_ratios(sine_x[0], sine_y[0], low, high)
searches = tables.search_table(
    {
        "linear, x²": linear_ratios,
        **tables.blind_ratios(for_search),
        "sine, all weights": sine_ratios["all"],
        "sine, your interval": sine_ratios["interval"],
    }
)
files.write_table(folder, "searches", searches)
assert searches.excess.max() < 1e-8, "a search found a secant above its constant"

# %% tags=["hide-input"]
shown = searches.set_axis(["model", "cases", "1 − smallest ratio", "largest ratio − 1"], axis=1)
shown.style.hide().format(lambda value: formats.number(value, 2), subset=shown.columns[2:])

# %% [markdown]
# Largest secant found over the exact constant, for random points (batches of eight points, and weights in three dimensions, where there are
# several). No search exceeds a constant by more than rounding. The first column says how near the worst case came: the softmax with four
# classes stays a little below, as it must, and the grid over an interval has a finite step
# ({download}`table <../results/03_liprune/searches.csv>`).
#
# (sine-constant)=
# ## The sine model: the constant is attained at the worst place
#
# For $f(w) = \tfrac12 (\sin(w x) - y)^2$ (Appendix B.4) write $s = \sin(w x)$. Then
#
# $$
# f'(w) = x \cos(w x)\,(s - y), \qquad f''(w) = x^2 (1 - 2 s^2 + y s).
# $$ (eq-sine)
#
# As a function of $s \in [-1, 1]$, $f''$ is smallest at $s = -\mathrm{sign}(y)$, where it is $-x^2 (1 + |y|)$. It is largest at $s = y/4$, where it is
# $x^2 (1 + y^2/8)$, if $|y| \le 4$, else at $s = \mathrm{sign}(y)$, where it is $x^2 (|y| - 1)$. Both are smaller in size, but for $y = 0$, where they tie. Hence
#
# $$
# L = x^2 (1 + |y|),
# $$ (eq-sine-constant)
#
# **always attained at negative curvature**. There $\cos(w x) = 0$ and the error $|s - y| = 1 + |y|$ is as large as any prediction can make it:
# these are the highest tops of $f$, with a zero gradient ({numref}`fig-sine`). The paper reads a large $L_i$ as large curvature, hence as a *hard*
# function. Here the curvature that LiPrune ranks by is that of a hilltop, from which SGD moves away, and which says little about the
# valley of the solution. At any one weight the Hessian is at most $L$ in size, and near the solution mostly well below. In a convex model
# the sign at least cannot be wrong.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-sine", "caption": "One function of the sine model (x = 1.2, y = 0.6) above its second derivative. The Lipschitz constant over all weights (blue) is attained at the tops of the function alone (triangles). On the shaded interval the constant (orange, dashed) is smaller."}, "image": {"alt": "Two panels that share the axis of weights. Above, a periodic loss with a high and a low top in each period. Below, its second derivative, whose deepest troughs touch the lower blue line exactly under the high tops, while its peaks stay well below the upper blue line."}}
figure = figures.sine_figure(1.2, 0.6, 9.9, 12.1)
one = pd.DataFrame({"w": np.linspace(2, 20, 901)})
one = one.assign(loss=sine_loss(one.w, 1.2, 0.6), curvature=sine_curvature(one.w, 1.2, 0.6))
files.write_table(folder, "sine", one)

# %% [markdown]
# {download}`Both curves <../results/03_liprune/sine.csv>`.
#
# (interval-constant)=
# ## On an interval of weights, and at one weight
#
# Section 2 restricts $w$ to a compact set $C$ and calls $L_i$ "the maximum norm eigenvalue of the Hessian matrix of $f_i$ over the compact set $C$":
# the largest *absolute* eigenvalue. That is the Lipschitz constant on $C$ if $C$ is convex. If $C$ has gaps, it is not: a secant may
# reach across. {glue:text}`gap` And the theorems need SGD to stay within $C$, which nothing ensures.
#
# On an interval the constant of the sine model is exact too: in $\theta = w x$, $|f''|$ can be largest only at the ends, where $\cos \theta = 0$ or where
# $\sin \theta = y / 4$. One checks which of these angles the interval contains.
#
# The Hessian norm at *one* weight, which the paper proposes to use, is at most $L_i$. It is "tight" only for weights that are infinitely near: at
# a point where the Hessian vanishes it would say that the gradient does not change at all.

# %% tags=["hide-input"]
half_widths = (0, 0.1, 0.5, 1, 2, 4, 16)
ends = [(12 - half, 12 + half) for half in half_widths] + [(low, high)]
intervals = tables.interval_table(sine_x, sine_y, ends)
files.write_table(folder, "intervals", intervals)
spots = np.pi * np.array([0.25, 0.75])  # f = sin(w)² / 2 has no curvature here
slopes = np.sin(2 * spots) / 2
assert np.abs(sine_curvature(spots, 1.0, 0.0)).max() < 1e-12
at_solution, yours = intervals.iloc[0], intervals.iloc[-1]
by_input = kept_overlaps(sine_constant(sine_x, sine_y), sine_x**2, 0.1).mean()
glue(
    "gap",
    f"For x = 1, y = 0 and C = {{π/4, 3π/4}}, say, the Hessian is 0 on all of C, while the secant is "
    f"{abs(np.diff(slopes) / np.diff(spots))[0]:.2f}.",
    display=False,
)
glue(
    "intervals",
    f"At the solution itself (first row) the curvature is on average {at_solution.constant_ratio:.2f} of L, it is negative for "
    f"{at_solution.negative_share:.2f} of the points, and pruning by it keeps {at_solution.overlap:.2f} of what L keeps. On your interval, from {low:g} to "
    f"{high:g}, {yours.global_share:.2f} of the points have the constant of all weights, {yours.negative_share:.2f} attain theirs at negative "
    f"curvature, and the kept sets share {yours.overlap:.2f}. Ranking by x² alone shares {by_input:.2f} with L.",
    display=False,
)
shown = intervals[["low", "high", "global_share", "negative_share", "constant_ratio", "overlap"]]
names = ["from", "to", "share equal to L", "share negative", "mean ratio to L", "overlap, keep 0.1"]
shown.set_axis(names, axis=1).style.hide().format("{:.3g}")

# %% [markdown]
# The sine model on the paper's data ($w^* = 12$, $x \sim N(0, 1)$, noise 0.1): constants on intervals of $w$ against $L$, the constant over all $w$, in 200
# data sets of 1000 points. The first row is the Hessian at one weight, the last your interval
# ({download}`table with standard errors <../results/03_liprune/intervals.csv>`).
#
# {glue:text}`intervals` Points with a large $|x|$ run through a whole period in any interval of some length. That is why the kept sets agree there although
# many constants do not.
#
# (grand-overlap)=
# ## GraNd as an approximate LiPrune
#
# GraNd ({cite:t}`paul2021`) scores an example by the norm of its gradient, on average over random initialisations (and, later in training, over the
# training's randomness). The paper's argument: since $\|\nabla f_i(w) - \nabla f_i(w_*)\| \le L_i \|w - w_*\|$, the quotient of the two norms is "an
# approximation of $L_i$", and if $\nabla f_i(w_*) \approx 0$, GraNd is proportional to it. There are two steps in this.
#
# **Is the quotient $L_i$?** In the linear model in one dimension, yes, at every $w$: it is $x_i^2$. In $d$ dimensions it is $\|x_i\| |x_i \cdot u|$ with
# $u$ the direction of $w - w_*$: a lower bound, equal to $L_i$ only for points along $u$.
#
# **Is $\nabla f_i(w_*) \approx 0$ for all $i$?** Only if the model can fit every label at once: without noise. With residuals $\nu_i = y_i - w_* x_i$ GraNd's
# score is $|x_i| \, |x_i (w - w_*) - \nu_i|$. Far from $w_*$ the first term rules, and the ranking is LiPrune's. At $w_*$ the score is $|x_i \nu_i|$, label noise
# times input. What counts is the distance in units of the noise.
#
# Here $w_*$ is the minimiser of $F$ on the data, as the paper defines it in Section 3. {glue:text}`true-slope` The register's rule asks
# for an overlap of 0.9 on the way from $w_0 = 0$ to $w_*$, when each keeps a tenth.

# %% tags=["hide-input"]
at_slope = kept_overlaps(data.lipschitz, gradient_norms(data.x, data.y, slope), 0.1).mean()
glue(
    "true-slope",
    f"The true slope is not quite the same: scored there instead of at the minimiser, the overlap is {at_slope:.3f} instead of {way.overlap.iloc[-1]:.3f}.",
    display=False,
)
shown = way.assign(
    interval=[f"{row.overlap:.3f} [{row.low:.3f}, {row.high:.3f}]" for row in way.itertuples()]
)[["way", "distance", "interval", "population", "gradient_ratio"]]
names = ["share of the way", "|w − w*|", "overlap, 99% interval", "infinite data"]
shown.set_axis([*names, "gradient left at w*"], axis=1).style.hide().format(
    "{:.3g}", subset=["share of the way", "|w − w*|"]
).format("{:.3f}", subset=["infinite data", "gradient left at w*"], na_rep="–")

# %% [markdown]
# Overlap of the tenth that GraNd keeps with the tenth that LiPrune keeps, in data sets of 1000 points. *Infinite data*: the same by quadrature. The last column is the mean of
# $|f_i'(w_*)|$ over the mean of $|f_i'(w) - f_i'(w_*)|$, which the argument takes to be small. Where the overlap is near 0.9, the verdict on a single weight
# would be another for more points or another noise; what does not depend on them is that it falls, and how far
# ({download}`table <../results/03_liprune/way.csv>`).
#
# **Check: the same without simulation.** For infinitely many points the overlap is an integral over $|x|$ of the probability that the score
# exceeds GraNd's threshold; the threshold solves another such integral. A finite data set agrees a little less, since its two thresholds
# are themselves random; at 1000 points that costs very little. The check therefore uses data sets of fifty times that size.

# %%
big = draw_linear(for_check, 30, 50 * NUM_POINTS, slope=slope)
check = tables.distance_table(big, [0, 0.03, 0.3, 3])
files.write_table(folder, "overlap_check", check)
worst_z = check.z.abs().max()
assert worst_z < 5, f"a simulated overlap is {worst_z:.1f} standard errors from the quadrature"
print(f"{len(check)} overlaps; the farthest is {worst_z:.1f} standard errors from the quadrature")

# %% [markdown]
# To first order in the noise, GraNd moves a point by $\nu / (2 \delta)$ across LiPrune's threshold, with $\delta = |w - w_*|$. The density of $|x|$ is
# $1/a$, with $a = 5$, so that
#
# $$
# 1 - \text{overlap} \approx \frac{1}{\sqrt{2 \pi}} \cdot \frac{\sigma}{2 a \, \delta \, r} .
# $$ (eq-far)
#
# {glue:text}`far`

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-overlap", "caption": "Share of LiPrune's kept points that GraNd keeps too, against the distance from the minimiser at which GraNd is computed (linear model, noise 0.2, 1000 points). Markers: means over data sets with 99% intervals; lines: infinitely many points. Thin horizontal lines: the overlap of unrelated scores."}, "image": {"alt": "Three S-shaped curves of overlap against distance on a logarithmic axis, for keep fractions 0.1, 0.3 and 0.5. Each rises from a plateau somewhat above its chance level to nearly 1. The smaller the fraction kept, the lower the curve and the farther out it crosses the line at 0.9."}}
curves = population_table(np.geomspace(0.004, 100, 60))
files.write_table(folder, "overlap_curves", curves)
figure = figures.overlap_figure(curves, distances)

# %% tags=["hide-input"]
needed = {fraction: distance_needed(0.9, fraction) for fraction in KEEP_FRACTIONS}
glue(
    "far",
    "An overlap of 0.9 needs a distance of "
    + ", ".join(f"{d:.2f} (keep {r:g})" for r, d in needed.items())
    + f", while the standard deviation of the noise is {NOISE_SD:g}. Whether GraNd passes at w = 0 thus hangs on the true slope, "
    "which is the distance from there, and which the paper does not state.",
    display=False,
)

# %% [markdown]
# {download}`The simulated overlaps <../results/03_liprune/distances.csv>`, {download}`the curves <../results/03_liprune/overlap_curves.csv>`,
# {download}`the check <../results/03_liprune/overlap_check.csv>`.
#
# Move the slider to follow one data set. LiPrune's choice, outside the vertical lines, stays as it is. GraNd's, above the horizontal one, comes apart.

# %% tags=["hide-input"]
target = minimisers(data)[0]
kept = kept_table(data.x[0], data.y[0], {share: share * target for share in tables.WAY}, 0.1)
files.write_table(folder, "kept", kept)
frames.frame_browser(
    lambda share: figures.kept_figure(kept[kept.way == share]),
    list(tables.WAY),
    describe=lambda share: (
        f"Gradient norm against input for one data set, scored {share:g} of the way from 0 to the minimiser. LiPrune's points are "
        "those at both ends; GraNd's are the highest."
    ),
    name="share of the way",
)

# %% [markdown]
# {download}`The points of every frame <../results/03_liprune/kept.csv>`.
#
# Two more things stand between GraNd and LiPrune: the average over initial weights, which helps, and the direction, which
# hurts.

# %% tags=["hide-input"]
starts = tables.initialisation_table(data, (0, 0.1, 1, 10))
directions = tables.direction_table(for_check, (1, 2, 3, 10, 100), 1000)
both = {"initialisations": starts, "directions": directions}
for name, rows in both.items():
    files.write_table(folder, name, rows)
labels = [f"w₀ ~ N(0, {sd:g}²)" if sd else "w₀ = 0" for sd in starts.init_sd]
labels += [f"no noise, {dim}-d" for dim in directions.dim]
shown = pd.concat(both.values(), ignore_index=True)
cells = [f"{row.overlap:.3f} [{row.low:.3f}, {row.high:.3f}]" for row in shown.itertuples()]
pd.DataFrame({"GraNd computed": labels, "overlap, 99% interval": cells}).style.hide()

# %% [markdown]
# Overlap when each keeps a tenth. First rows: GraNd's expectation over initial weights in the linear model, exact for each point. Last rows: one
# gradient in $d$ dimensions, standard normal inputs, no label noise at all
# ({download}`initialisations <../results/03_liprune/initialisations.csv>`, {download}`directions <../results/03_liprune/directions.csv>`).
#
# Narrow initial weights leave the sign of every large error as it is, and the average equals the score at 0. Wide ones are mostly far from $w_*$: hence the
# gain. In many dimensions one gradient sees each point from one side only, and the
# agreement falls towards chance even where the paper's assumption is exactly true. In one dimension there is a remedy that needs neither the assumption nor
# $w_*$: the *difference* of two gradients, at any two weights, is $L_i$ times their distance.
#
# (points-to-batches)=
# ## From points to batches
#
# The paper prunes points in the linear model and batches of 128 in the networks. In one dimension a batch's constant is the mean of its points' by
# {eq}`eq-batch`. For batches of $B$ distinct points among $N$ the coefficient of variation (standard deviation over mean) is therefore
#
# $$
# \mathrm{CV}_B = \frac{\mathrm{CV}_1}{\sqrt B} \sqrt{\frac{N - B}{N - 1}} ,
# $$ (eq-spread)
#
# and what the largest $r$ of nearly normal constants gain over the mean falls with it: $1 + \mathrm{CV}_B \, \varphi(z_r) / r$, with $z_r$ the upper $r$ quantile of the normal
# density $\varphi$. For single points of the linear model the gain is $(1 - (1 - r)^3) / r$.

# %%
spread_runs = batch_spread.spread_runs(for_batches, num_runs=8)
spread = batch_spread.spread_table(spread_runs)
files.write_table(folder, "spread_runs", spread_runs)
files.write_table(folder, "spread", spread)
partitions = batch_spread.partition_table(for_batches, data.lipschitz[0])
files.write_table(folder, "partitions", partitions)
assert partitions.z.abs().max() < 5, "random batches do not spread as the formula says"
points = spread[(spread.inputs == "1-d, uniform") & (spread.batch_size == 1)].iloc[0]
for fraction in batch_spread.FRACTIONS:
    error = (points[f"gain_{fraction:g}_high"] - points[f"gain_{fraction:g}_low"]) / 7  # 99%, n = 8
    assert abs(points[f"gain_{fraction:g}"] - batch_spread.uniform_gain(fraction)) < 5 * error
print(
    f"{len(partitions)} batch sizes; the farthest is {partitions.z.abs().max():.1f} standard errors"
)

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-spread", "caption": "Left: how much the exact constants of batches differ, against batch size. Right: the mean constant of the largest tenth of the batches over the mean of all. Linear model with inputs uniform in one dimension (as in the paper) and Gaussian in 10 and 100. Bars: 99% intervals over data sets; dotted: falling as one over the root of B."}, "image": {"alt": "Two panels against batch size on a logarithmic axis. Left, coefficients of variation: the one-dimensional case follows its dotted line down; the Gaussian cases with random sizes start higher and fall more slowly; the case with equal sizes starts lowest and falls slowly too. Right, the gain falls towards 1 in all cases, most slowly in 100 dimensions with random sizes."}}
figure = figures.spread_figure(spread)

# %% tags=["hide-input"]
shown = spread[spread.batch_size.isin([1, 128])].copy()
shown["normal"] = [batch_spread.normal_gain(v, 0.1) for v in shown.variation]
columns = ["inputs", "batch_size", "variation", "gain_0.1", "gain_0.2", "gain_0.5", "normal"]
names = ["inputs", "B", "CV", "gain, r = 0.1", "r = 0.2", "r = 0.5", "r = 0.1, if normal"]
shown[columns].set_axis(names, axis=1).style.hide().format("{:.3g}", subset=names[2:])

# %% [markdown]
# Spread of the constants of points and of batches of 128, and gains: mean constant of what is kept over the mean of all. The last column is what the
# spread alone would give to normal constants ({download}`all batch sizes, with intervals <../results/03_liprune/spread.csv>`,
# {download}`each data set <../results/03_liprune/spread_runs.csv>`, {download}`the check <../results/03_liprune/partitions.csv>`).
#
# In the paper's linear model, batches of 128 are nearly alike. Even there, where everything is convex, pruning them could hardly change the mean
# constant. In many dimensions the spread falls more slowly than $1 / \sqrt B$ until $B$ is well above $d$: points are then nearly orthogonal,
# and the top eigenvalue follows the largest point of a batch rather than the mean. How much is left depends on how much the points differ in size:
# with equal sizes there is little to begin with. So batches do dilute the scores, but by how much for a network has to be measured there.

# %% tags=["hide-input"]
linear, grand = outcomes
start, end = way.iloc[0], way.iloc[-1]
single, batches = (
    spread[(spread.inputs == "1-d, uniform") & (spread.batch_size == size)].iloc[0]
    for size in (1, 128)
)
glue(
    "answer",
    f"L = x² {formats.words(linear.verdict)}, exactly. That GraNd approximates LiPrune {formats.words(grand.verdict)}: of the tenth that "
    f"each keeps, they share {start.overlap:.3f} [{start.low:.3f}, {start.high:.3f}] at w₀ = 0, but {end.overlap:.3f} "
    f"[{end.low:.3f}, {end.high:.3f}] at the minimiser (99% intervals, n = {start.num_runs:,.0f} data sets; unrelated scores share a tenth). Without label "
    "noise they agree exactly in one dimension, and only there.",
    display=False,
)
glue(
    "answer-more",
    f"Algorithm 1 as printed says nothing where r n is not whole and keeps too many where scores tie; {rules.printed.isna().sum()} of "
    f"{len(rules)} cases below have no answer. In the sine model L = x² (1 + |y|) is attained at negative curvature alone, at the tops of the loss. "
    f"In batches of 128, the constants of the linear model differ by {batches.variation:.2f} of their mean instead of {single.variation:.2f}, and "
    f"the largest tenth exceeds the mean by a factor of {batches['gain_0.1']:.2f} instead of {single['gain_0.1']:.2f}.",
    display=False,
)
glue("cost", f"{time.perf_counter() - began:.0f} seconds for the whole page.", display=False)

# %% [markdown]
# ## What differs from the paper
#
# - Algorithm 1 keeps a definite number here, for any `keep_fraction` in $(0, 1]$, with ties broken by index.
# - The paper does not state the sine model's $L_i$, nor the set $C$ on which it is meant. Here: over all $w$, unless an interval is named.
# - The paper does not state $w_*$ in the linear model. Here it is 1, as on page 04. A steeper line makes GraNd at $w_0 = 0$ agree better,
#   a flatter one worse.
# - GraNd is an expectation over initial weights; the paper's linear model starts at $w_0 = 0$. The verdict follows the register, with single weights.
#
# ## Next
#
# LiPrune keeps the largest $|x|$ in the linear model. [Does that make SGD faster?](04_linear_model.ipynb)
