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
# # Is convexity enough?
#
# ## Overview
#
# **The paper's explanation** (Section 3 of {cite:t}`ayed2022`) of why its networks show no acceleration: "We conjecture that this is due to the non-convex nature of the loss
# landscape". This page asks whether a convex loss is enough.
#
# **Answer.** {glue:text}`answer`
#
# **Cost.** {glue:text}`cost`; {glue:text}`real_cost` for the real data.
#
# By {eq}`eq-kept` of [page 05](05_what_accelerates.ipynb) SGD on the kept points is plain SGD on another problem, to which Theorem 1 applies.

# %% tags=["parameters"]
num_problems: int = 100  # data sets of each convex problem, from 10 to 100000
num_runs: int = 10_000  # simulated runs that check the exact losses, from 1000 to 1000000
seed: int = 0  # root of all random streams, from 0
results_dir: str = "reruns/06_convex_is_not_enough"  # folder for tables; made if missing

# %%
from experiments.convex_is_not_enough.runs import ConvexParameters

parameters = ConvexParameters.from_notebook(globals())

# %% tags=["hide-input"]
import time

import numpy as np
from myst_nb import glue

from experiments.convex_is_not_enough import figures, tables
from experiments.convex_is_not_enough.runs import (
    IMPORTANCE,
    SETTINGS,
    SOURCES,
    descend,
    draw,
    load,
    stream,
)
from liprune_utils import files
from liprune_utils.book import style

style.use_style()
folder = files.results_folder(results_dir)
began = time.perf_counter()

# %%
problems = tables.problem_table(num_problems, seed)
summary = tables.summary_table(problems)
kept = tables.kept_table(problems)
for name, table in {"problems": problems, "summary": summary, "kept": kept}.items():
    files.write_table(folder, name, table)
source = f"generated data; {', '.join(SOURCES)} of scikit-learn"
files.write_json(folder / "provenance.json", files.provenance(data_source=source))

# %% tags=["hide-input"]
rows = summary[(summary.rival == "random") & (summary.rates == "best") & (summary.step == 100)]
ratios = {
    row.task: f"{row.ratio:#.3g} [{row.low:#.3g}, {row.high:#.3g}]" for row in rows.itertuples()
}
uneven = kept.set_index("task").loc["uneven features, d = 5"]
answer = (
    "LiPrune is plain SGD on the kept points: Theorem 1 covers it there, with that problem's "
    "constants and minimiser. It speeds up where L_sup / μ falls and the minimiser stays. "
    "Convexity alone secures neither. Each at its best rate, after 100 steps, LiPrune's excess "
    f"loss over that of random pruning (median, 99% interval, n = {num_problems} data sets) is "
    f"{ratios['sizes differ, d = 5']} where only sizes differ, {ratios[uneven.name]} with uneven "
    f"features (L_sup / μ is {uneven.condition_liprune:.0f} instead of "
    f"{uneven.condition_random:.0f}), {ratios['large irrelevant feature, d = 5']} with a large "
    f"irrelevant one, {ratios['outliers']} with outliers, {ratios['bent line']} on a bent line, "
    f"and {ratios['two groups, d = 2']} where the small points carry a feature of their own, "
    "which LiPrune never learns."
)
glue("answer", answer, display=False)
glue(
    "cost",
    f"{time.perf_counter() - began:.0f} seconds for {num_problems} data sets of each problem, whose errors are exact",
    display=False,
)

# %% [markdown]
# (convex-is-not-enough)=
# ## Eight convex problems
#
# LiPrune accelerates where two things hold: the kept problem is better conditioned, and its minimum lies where that of the whole lies.
# In one dimension with a straight line both do. Neither follows from convexity. Eight problems with 1000 points, a tenth kept, one point a step
# ({numref}`fig-convex`), all of them least squares. "Best rate" is best for the expected excess loss of the very data set, which a user cannot know:
# it says what the kept points allow, not what tuning finds.
#
# - *Sizes differ*: points alike in all directions, in five dimensions, some larger than others. LiPrune works as on the line. On *heavy-tailed* $x$ it does
#   so too at its own rate, which must be small. At the common rate the expected error grows on many data sets, whatever is kept.
# - *Uneven features*: Gaussian features with scales from 3 to 1/3. The largest points are large along the largest feature. LiPrune raises the
#   curvature where it was high already: $L_{\sup}/\mu$ grows, the rate must shrink, and the small features are learned later.
#   With a *large irrelevant feature* LiPrune keeps the points that are large where nothing is to be learned.
# - *Two groups*: half of the points have only a first, large feature, the others only a second, small one. LiPrune keeps the first group. $F_K$ is flat along
#   the second coordinate, $w_2$ stays at 0 forever, and the excess loss never falls below $\tfrac12 \mathbb{E}\, x_2^2 (w_2^*)^2$.
# - *Bent line*: $y = 3 \tanh(x/2)$ plus noise, fitted by a line. LiPrune measures at the ends only, and finds the slope of the chord.
# - *Outliers*: one point in a hundred lies at $|x|$ between 5 and 6 with its sign wrong. LiPrune keeps every one of them.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-convex", "caption": "Expected excess loss on new data, LiPrune over random pruning, on eight convex problems: medians over data sets with 99% intervals. Left of the black line LiPrune is ahead. Circles: both at the rate that corresponds to the paper's. Squares: each at its best rate. An arrow stands for an interval that goes on."}, "image": {"alt": "Two panels, after 100 and 1000 steps, of ratios on a logarithmic axis, a row for each problem. The line, differing sizes and heavy tails at the best rate lie left of one; uneven features and the irrelevant feature at the best rate right of it after 100 steps; bent line, outliers and two groups far to the right."}}
figure = figures.ratio_figure(summary)

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-problems", "caption": "The same problems along the way: expected excess loss on new data, each method at its median best rate for 100 steps, medians over data sets. On two groups LiPrune does not learn the second feature at any rate; on the bent line and with outliers it goes to another minimum."}, "image": {"alt": "Eight panels of excess loss against step on a logarithmic scale. LiPrune is lowest on the paper's line, with differing sizes and heavy tails; slightly above the others with uneven features; on the last three it levels off far above random pruning and no pruning."}}
paths = tables.path_table(problems, seed, min(num_problems, 40))
files.write_table(folder, "paths", paths)
figure = figures.problems_figure(paths)

# %%
simulated = tables.simulation_table(num_runs, seed)
files.write_table(folder, "simulated", simulated)
assert simulated.z.abs().max() < 5, "a simulated excess loss is far from the exact one"
groups = problems[(problems.task == "two groups, d = 2") & (problems.method == "liprune")]
assert (
    groups.best.min() >= 13 / 12 / 4 - 1e-12
)  # half the mean of x_2 squared: w_2 is never learned
print(f"simulation: at most {simulated.z.abs().max():.1f} standard errors from the exact losses")
methods = ("LiPrune", "random", "none")
names = [f"{what}, {method}" for what in ("L_sup/μ", "end") for method in methods]
names = ["problem", *names, "rate ratio"]
shown = kept.set_axis(names, axis=1).style.hide().format("{:.2g}", subset=names[4:])
shown.format("{:.4g}", subset=names[1:4])

# %% [markdown]
# Medians over data sets: Theorem 1's quotient for what is kept, the excess loss at its minimiser ("end"), and LiPrune's best rate over random pruning's for 100 steps.
# Where the quotient falls and the end stays low, LiPrune is ahead at the best rates; where either fails, it is not ahead of random pruning after 100 steps.
# The quotient is not the whole story: with uneven features it is hardly larger than without pruning, and LiPrune is slower than that, too. After
# 1000 steps noise matters more, and with the irrelevant feature no difference from random pruning can be told.
# {download}`Every data set <../results/06_convex_is_not_enough/problems.csv>`,
# {download}`ratios, also to no pruning <../results/06_convex_is_not_enough/summary.csv>`, {download}`the kept problems <../results/06_convex_is_not_enough/kept.csv>`,
# {download}`curves <../results/06_convex_is_not_enough/paths.csv>`, {download}`simulation beside exact losses <../results/06_convex_is_not_enough/simulated.csv>`.

# %% [markdown]
# (real-convex-data)=
# ## Real convex data
#
# Three tables that come with scikit-learn have exact Lipschitz constants: breast cancer (logistic loss, $L_i = \|x_i\|^2 / 4 + \rho$),
# digits (multinomial, $\|x_i\|^2 / 2 + \rho$) and diabetes (least squares, $\|x_i\|^2$). Features are standardised on the training
# points, three quarters of the data, and a one is added for the intercept; the ridge $\rho$ is one over the number of training points
# for the two classification problems, and absent for diabetes.
#
# All methods take 300 steps from $w_0 = 0$ with ten points a step. LiPrune, random pruning and no pruning draw distinct points afresh
# in each step; importance sampling draws with replacement, $p_i \propto L_i$, and weighs the gradients by $1 / (n p_i)$. A seed decides the
# split, the random choice and the batches, so that methods are compared run by run.
#
# Step sizes follow one rule. Of fourteen sizes, a factor two apart, a method gets the one that is best in the mean of eight
# runs that are used for nothing else. Where losses are reported, best means the lowest loss on *all* training points after the last step; where
# steps are reported, the fewest steps to the target (300 for a run that never arrives), and among equals the lowest loss. Beside this,
# all methods race at one step size: at $1 / (2 \max_i L_i)$, which Theorem 1's step size approaches without noise, and
# at the size tuned for no pruning. *Excess* is the share of the way from the first loss on all training points to its minimum
# that is left; the target is a tenth.

# %%
began_real = time.perf_counter()
races = tables.race_all(seed)
real = {name: getattr(races, name) for name in races._fields}  # tuning, runs, curves
real["losses"] = tables.loss_table(races.runs)
real["steps"] = tables.step_table(races.runs)
real["sooner"] = tables.sooner_table(races.runs)
real["classes"] = tables.class_table(seed)
for name, real_table in real.items():
    files.write_table(folder, f"real_{name}", real_table)
for name, text in tables.real_findings(real["losses"], real["sooner"], real["classes"]).items():
    glue(name, text, display=False)
glue("real_cost", f"{time.perf_counter() - began_real:.0f} seconds", display=False)
tuned = races.runs[races.runs.rule == "final"].pivot_table(
    index=["data_set", "keep_fraction"], columns="method", values="test_loss", sort=False
)
tuned.rename_axis(index=["data set", "kept"], columns="mean test loss").style.format(
    "{:.3g}", na_rep="–"
)

# %% [markdown]
# Mean test loss after the last step, each method at its own best step size
# ({download}`all runs <../results/06_convex_is_not_enough/real_runs.csv>`,
# {download}`curves <../results/06_convex_is_not_enough/real_curves.csv>`,
# {download}`tuning <../results/06_convex_is_not_enough/real_tuning.csv>`). Two checks by other routes: scikit-learn's solver and the normal
# equations find the same minima, and a plain loop with automatic gradients makes the same steps, weights $1 / (n p_i)$ included.

# %% tags=["hide-input"]
import torch
from sklearn.linear_model import LogisticRegression
from torch.nn import functional

torch_losses = {
    "breast cancer": functional.binary_cross_entropy_with_logits,
    "digits": functional.cross_entropy,
    "diabetes": lambda scores, labels: functional.mse_loss(scores, labels) / 2,
}
solver = LogisticRegression(C=1, fit_intercept=False, tol=1e-8, max_iter=5000)
for name in SOURCES:
    train = load(name, stream((seed, 0, 0), "split")).train
    labels = train.y.argmax(axis=1) if train.y.shape[1] > 1 else train.y[:, 0]
    other = (
        np.linalg.lstsq(train.x, train.y)[0].T
        if name == "diabetes"
        else solver.fit(train.x, labels).coef_
    )
    assert abs(train.value(other) - train.value(train.minimiser)) < 1e-7
    draws = draw(train.lipschitz, (seed, 0, 0))
    *_, ours = descend(train, draws, np.full((len(SETTINGS), 1), 1 / train.lipschitz.max()))
    at, weights = SETTINGS.index(IMPORTANCE), torch.zeros(train.minimiser.shape).double()
    for points, factors in zip(draws.points[:, at], draws.factors[:, at], strict=True):
        weights.requires_grad_()
        loss = train.ridge / 2 * factors.mean() * (weights**2).sum()
        for point, factor in zip(points, factors, strict=True):
            x, y = torch.tensor(train.x[[point]]), torch.tensor(train.y[[point]])
            loss = loss + factor / len(points) * torch_losses[name](x @ weights.T, y)
        weights = (weights - torch.autograd.grad(loss, weights)[0] / train.lipschitz.max()).detach()
    assert np.allclose(ours[at, 0], weights, rtol=1e-6, atol=1e-9)

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-real-curves", "caption": "Excess loss on all training points during SGD, a tenth kept by LiPrune and random pruning, each method at the step size tuned for its last loss. Pruning levels off at the loss of the minimiser of what it keeps; no pruning and importance sampling go on. Bands: 95% intervals of the mean (20 runs for digits, 100 for the others)."}, "image": {"alt": "Three panels of excess training loss against SGD step, both logarithmic. LiPrune falls first on breast cancer and diabetes, then flattens and is overtaken by no pruning and importance sampling. On digits it is above all others throughout."}}
figure = figures.excess_curves(races.curves, keep_fraction=0.1)

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-real-gaps", "caption": "LiPrune less random pruning, in the same runs: excess on all training points (top) and test loss (bottom) after 300 steps under three rules for the step size, and at the exact minimiser of the points kept. Left of the line LiPrune is better. Bars: 99% intervals (20 runs for digits, 100 for the others)."}, "image": {"alt": "Six panels of differences, a column for each data set. On digits all but the smallest step size are far right of zero, most for the smallest fraction kept. On diabetes the smallest fraction is left of zero in all rows, the others near it. On breast cancer differences are small and of both signs."}}
figure = figures.gap_figure(real["losses"])

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-real-steps", "caption": "Median steps to a tenth of the excess, for each method and fraction kept: at the step size tuned for no pruning (squares), and each at the one tuned for its own steps (dots). Bars: 99% intervals of the median (20 runs for digits, 100 for the others); those that reach never are open. At 1 / (2 max L) the runs on breast cancer and digits never arrive."}, "image": {"alt": "Three panels with a row for each method and fraction. With own step sizes all methods on breast cancer and most on diabetes stand within a few steps of each other; on digits LiPrune with small fractions never arrives."}}
figure = figures.step_figure(real["steps"])

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-real-classes", "caption": "Share of each class among the points that LiPrune keeps, and among all training points. A large norm is not a hard example: of the digits, zeros and eights all but vanish. Bars: 99% intervals over 20 splits."}, "image": {"alt": "Two panels of class shares. Breast cancer: malignant cases rise as less is kept. Digits: the classes differ widely, with zero and eight near the bottom and two, four and seven at the top, where all points would give a tenth each."}}
figure = figures.class_figure(real["classes"])

# %% [markdown]
# Against random pruning, LiPrune's final loss on all training points is {glue:text}`real_final_excess_random`, its test loss
# {glue:text}`real_final_test_random`, each at its own best step size
# ({download}`all differences <../results/06_convex_is_not_enough/real_losses.csv>`). What is kept sets the limit: at the minimisers of the kept
# points, LiPrune's excess is {glue:text}`real_minimiser_excess_random`. Against *no* pruning, its test loss is
# {glue:text}`real_final_test_none`.
#
# At one equal step LiPrune can look better than it is. At $1 / (2 \max L)$ its excess after the last step, against random pruning, is
# {glue:text}`real_theorem_excess_random`. Digits is the clearest case: ahead at that step, behind at every tuned one
# ({numref}`fig-real-gaps`). Breast cancer shows that a larger $L_i$ need not help even there: a large norm is not a useful direction. At the size
# tuned for no pruning, LiPrune reaches the target before no pruning {glue:text}`real_shared_none`; with each at its own,
# {glue:text}`real_arrival_none`. Settings where nobody arrives count as undecided
# ({download}`medians <../results/06_convex_is_not_enough/real_steps.csv>`,
# {download}`counts <../results/06_convex_is_not_enough/real_sooner.csv>`).
#
# The norm alone says what is kept: of breast cancer's tenth, the malignant cases are {glue:text}`real_malignant`; of the digits', the zeros are
# {glue:text}`real_zeros` ({download}`all classes <../results/06_convex_is_not_enough/real_classes.csv>`). The intervals are 99% each, over splits
# of the same three tables: they speak of these data, not of all data.
#
# (for-practice)=
# ### For practice
#
# **When to use LiPrune.** In linear least squares, if only a small part of the points can be kept for good: points with large
# $\|x_i\|$ pin the weights down. On diabetes with a tenth kept, the excess at its minimiser less that at random pruning's is
# {glue:text}`real_diabetes`; with half kept nothing of the gain is left. That is one data set, and no other way of choosing points was tried.
#
# **When not.** To save steps: with tuned step sizes LiPrune's excess, against that of no pruning at the same number of steps, is
# {glue:text}`real_final_excess_none`. In classification: the norm tells neither how near a point is to the boundary nor how rare its class
# is; on digits, the same difference from random pruning is {glue:text}`real_digits`. And never without a look at the class shares of what is kept.
#
# **What to do instead.** Tune the step size first: a gain at one common step may be no more than that. Keep all points. Where the $L_i$
# differ widely, try $p_i \propto L_i$ with the weights $1 / (n p_i)$, which leaves the minimiser where it is; a gain is not assured: its final excess less that
# of no pruning is {glue:text}`real_importance`. If points must go, let a random subset be the rival to beat.

# %% [markdown]
# ## What differs from the paper
#
# It blames the missing gain on networks on non-convexity. Convex problems show the same failure, for reasons that networks may share: many directions, models
# that do not fit everywhere, wrong labels, and [batches in place of points](batch-size).
#
# ## Next
#
# A model that is not convex: [the sine](07_sine_model.ipynb). [The verdict](14_verdict.ipynb) keeps the account of all claims.
