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
# # 4. Does LiPrune accelerate SGD on a linear model?

# %% tags=["remove-input"]
try:
    from liprune_utils.book import first_screen
except ModuleNotFoundError:
    raise SystemExit(
        "This page needs the kernel LiPrune, which `make book` installs."
    ) from None

first_screen.reserve("answer")

# %% tags=["remove-input"] mystnb={"figure": {"name": "fig-1", "caption": "Test loss during SGD with batch size 10 and learning rate 0.01 (the paper's Figure 1), for four fractions kept. Bands: 95% intervals of the mean over 100 runs. No pruning lies on random pruning. The gain of LiPrune is largest when little is kept."}, "image": {"alt": "Four panels of test loss against SGD step on a logarithmic scale. In each, LiPrune falls fastest; random pruning and no pruning coincide. The gap narrows as more is kept."}}
first_screen.reserve("figure")

# %% [markdown]
# ## Run it yourself
#
# Change a value, run all cells, and the answer changes with it. [How to rerun a page](../book/rerun.md) has the details.

# %% tags=["parameters", "hide-cell"] mystnb={"code_prompt_show": "Parameters", "code_prompt_hide": "Parameters"}
learning_rate: float = 0.02  # "your setting": step size of SGD, in (0, 1]
batch_size: int = 10  # "your setting": points per step, from 1 to the points kept
keep_fraction: float = 0.2  # "your setting": fraction of the points kept, in (0, 1]
slope: float = 1.0  # true slope w*, from -1000 to 1000, not 0; not in the paper
num_runs: int = 10_000  # runs, each on its own data, from 100 to 1000000; paper: 100
seed: int = 0  # root of all random streams, from 0
results_dir: str = "reruns/04_linear_model"  # folder for tables; made if missing

# %% tags=["hide-cell"] mystnb={"code_prompt_show": "Check of the parameters, imports", "code_prompt_hide": "Check of the parameters, imports"}
from experiments.linear_model.runs import LinearModelParameters

parameters = LinearModelParameters.from_notebook(globals())

import time

import numpy as np
from IPython.display import HTML

from experiments.linear_model import figures
from experiments.linear_model.claims import decide_claims
from experiments.linear_model.runs import (
    NUM_STEPS,
    PAPER_FIGURES,
    Setting,
    simulate,
    stream,
)
from experiments.linear_model.tables import (
    closed_form_table,
    curve_table,
    loss_ratio,
    population_excess,
    slope_table,
)
from liprune_utils import files, sgd
from liprune_utils.book import formats, frames, register, style

style.use_style()
folder = parameters.results_folder()

# %% [markdown]
# ## What the paper claims
#
# Section 4.1 says of Figure 1: "The results confirm our theoretical predictions that LiPrune accelerates convergence." The model is
# the paper's Eq. (3): $y_i = w^* x_i + 0.2\,\varepsilon_i$ with $x_i \sim U(-5, 5)$ and $N = 1000$ points. The functions are
# $f_i(w) = \tfrac12 (w x_i - y_i)^2$. Their gradients have the Lipschitz constants $L_i = x_i^2$, so LiPrune keeps the points with the
# largest $|x_i|$. SGD starts at $w_0 = 0$ and takes 30 steps.
#
# ## The method in a few lines
#
# Draw a data set, score the points, keep a tenth, and run SGD with batches of ten:

# %%
generator = stream(seed, "example")
x = generator.uniform(-5, 5, 1000)
y = slope * x + 0.2 * generator.standard_normal(1000)
kept = np.argsort(-(x**2))[:100]  # LiPrune: the tenth with the largest L_i = x_i^2
batches = [generator.choice(kept, 10, replace=False) for step in range(NUM_STEPS)]

path = [0.0]
for batch in batches:
    gradient = np.mean((path[-1] * x[batch] - y[batch]) * x[batch])
    path.append(path[-1] - 0.01 * gradient)

# %% [markdown]
# The library runs the same SGD for many data sets at once. From the same batches it takes the same path:

# %%
means = [np.mean(x[batches] * values[batches], axis=1)[:, None] for values in (x, y)]
fast = sgd.descend(*means, learning_rate=0.01)[:, 0]
np.testing.assert_allclose(fast, path, rtol=1e-12)
print(f"after {NUM_STEPS} steps w = {path[-1]:.4f}; the true slope is {slope:g}")

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-data", "caption": "The data set drawn above (the paper's Figure 4). LiPrune keeps the points with the largest |x|; here, a tenth of them. Both ends of the line are kept, the middle goes."}, "image": {"alt": "Scatter plot of y against x along a straight line. The points kept by LiPrune are the two ends, where x is below minus 4.5 or above 4.5."}}
figure = figures.data_figure(x, y, kept)

# %% [markdown]
# ## All figures at once
#
# LiPrune, random pruning and no pruning see the same data and the same noise. LiPrune and random pruning also draw the same
# positions in their lists of kept points. Their difference is therefore due to the choice of points alone. All figures share
# their data sets and draws: a batch of ten is the first part of a draw of a hundred.
#
# The claims rest on all runs. The pictures are drawn as in the paper, from 100 runs with 95% intervals of the mean. Their scale is
# logarithmic, so that the same factor has the same height everywhere.

# %%
began = time.perf_counter()
runs = simulate(PAPER_FIGURES, num_runs=num_runs, seed=seed, slope=slope)
curves = curve_table(runs)
shown = curve_table(simulate(PAPER_FIGURES, num_runs=100, seed=seed, slope=slope))

# %% [markdown]
# ## The larger initial loss
#
# "The initial loss value is large with LiPrune since we fix the initial point of SGD to $w_0 = 0$", says the paper, and its caption
# names the *test* loss. But at step 0 all methods stand at the same point and are measured on the same test points, so their test
# losses are equal. The loss that starts higher is the loss on the [kept training points](fig-losses).

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-losses", "caption": "Three losses of the same 100 runs, batch size 10, learning rate 0.01, a tenth kept: on 400 test points, on the kept training points, on all training points. Only on the kept points does LiPrune start higher. Bands: 95% intervals of the mean."}, "image": {"alt": "Three panels of loss against step. In the test and full-training panels both methods start at the same loss; in the kept-points panel LiPrune starts far higher, and falls below random pruning within five steps."}}
figure = figures.losses_figure(shown[shown.figure == 1], keep_fraction=0.1)

# %% [markdown]
# ## Other learning rates
#
# Appendix B.2 reports "consistent training acceleration with LiPrune" and for Figure 6 "a small advantage for LiPrune". At
# [the rate 0.05](fig-linear-rates) both methods reach the floor that label noise sets within ten steps. There LiPrune is not ahead, and the many
# runs show that it is *behind*: its larger curvature at the same rate means more gradient noise.
#
# The expected loss [has a closed form](closed-form), so it can be computed for any rate without a simulation: move the slider. At small rates LiPrune is ahead all
# the way. At larger rates it reaches a higher floor. At the largest it diverges while random pruning still converges.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-linear-rates", "caption": "Test loss with batch size 10 and the learning rates 0.005 and 0.05 (the paper's Figures 5 and 6). Bands: 95% intervals of the mean over 100 runs. At 0.005 LiPrune is ahead throughout; at 0.05 all curves lie on the floor of the label noise after ten steps."}, "image": {"alt": "Two rows of four panels of test loss against step. In the upper row, learning rate 0.005, LiPrune falls faster in all panels. In the lower row, learning rate 0.05, all methods fall to one low level within ten steps, LiPrune within two or three."}}
figure = figures.settings_figure(shown[shown.figure.isin([5, 6])], "learning_rate")

# %% tags=["hide-input"]
frames.frame_browser(
    lambda rate: figures.excess_figure(
        {
            method: population_excess(
                0.1, method, batch_size=10, learning_rate=rate, slope=slope
            )
            for method in ("liprune", "random")
        }
    ),
    [0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1],
    describe=lambda rate: (
        "Expected excess test loss against step for LiPrune and random pruning, "
        f"a tenth kept, learning rate {rate}."
    ),
    name="learning rate",
)

# %% [markdown]
# ## Other batch sizes
#
# LiPrune's lead hardly depends on the batch size. With batches of one point the bands are wider.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-linear-batches", "caption": "Test loss with learning rate 0.01 and batches of 1, 20 and 100 points (the paper's Figures 7 to 9). Bands: 95% intervals of the mean over 100 runs. LiPrune leads by the same factor at every batch size."}, "image": {"alt": "Three rows of four panels of test loss against step, for batches of 1, 20 and 100 points. LiPrune falls faster in every panel; with batches of one point the bands are wider, and otherwise the rows look alike."}}
figure = figures.settings_figure(shown[shown.figure.isin([7, 8, 9])], "batch_size")

# %% [markdown]
# ## Your setting
#
# `learning_rate`, `batch_size` and `keep_fraction` among the parameters describe one more panel. The paper's figures
# do not change with them.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-yours", "caption": "Test loss in the setting of this page's parameters. Bands: 95% intervals of the mean over 100 runs."}, "image": {"alt": "Test loss against step for LiPrune, random pruning and no pruning in the setting of the page's parameters."}}
yours = {0: Setting(batch_size, learning_rate, (keep_fraction,))}
your_curves = curve_table(simulate(yours, num_runs=100, seed=seed, slope=slope))
figure = style.loss_figure(your_curves)

# %% [markdown]
# <a id="closed-form"></a>
# ## Check: the same numbers without simulation
#
# Given the inputs of a run, the expected squared error over label noise and batches has a closed form. It must agree with the
# simulation for every figure, method, keep fraction, step and loss, averaged over the same data sets.
#
# <details><summary>The closed form</summary>
#
# Write
# $w_t - w^* = -w^* P_t + \sum_i g_{t,i} \nu_i$, where $\nu_i$ is the noise of label $i$, $K$ points are kept, a batch $S$ has $B$
# points and $a_S$ is its mean of $x^2$. One step gives
#
# $$
# P_{t+1} = (1 - \eta a_S) P_t, \qquad g_{t+1,i} = (1 - \eta a_S)\, g_{t,i} + \frac{\eta}{B}\, x_i\, 1[i \in S]. \label{eq-step}
# $$
#
# The noise has mean zero and does not influence the batches, hence
#
# $$
# \mathbb{E}(w_t - w^*)^2 = (w^*)^2 q^t + \sigma^2 G_t, \qquad
# G_{t+1} = q\, G_t + 2\eta\, \frac{1 - p^t}{K^2 m} \sum_i x_i^2 (1 - \eta \alpha_i) + \frac{\eta^2 m}{B}, \label{eq-square}
# $$
#
# with $m$ the mean of $x^2$ over the kept points, $p = 1 - \eta m$,
# $q = p^2 + \eta^2\, \mathrm{Var}(a_S)$, the finite-population variance
# $\mathrm{Var}(a_S) = \frac{\overline{x^4} - m^2}{B} \cdot \frac{K - B}{K - 1}$, and
# $\alpha_i = \mathbb{E}[a_S \mid i \in S] = \frac1B \big(x_i^2 + (B - 1) \frac{K m - x_i^2}{K - 1}\big)$.
# A set of points with mean square $m'$ then has the expected loss
# $\tfrac12 m' \,\mathbb{E}(w_t - w^*)^2 + \tfrac12 \sigma^2 - c_t$. Here $c_t = 0$ on test points and
# $c_t = \sigma^2 (1 - p^t) / n$ on a set of $n$ training points that holds the kept ones, whose noise SGD has seen.
#
# </details>
#
# The paper does not say what $w^*$ is; here it is 1. By the closed form the excess loss is $(w^*)^2$ times a part that SGD forgets, plus $\sigma^2$
# times a part that it gathers. A steeper line makes the first part larger for *both* methods by the same factor. Where this part dominates, the
# ratio of the two methods does not depend on $w^*$; near the floor it does. The table has the ratio of the expected excess losses, LiPrune over random
# pruning, a tenth kept, batch size 10, rate 0.01.

# %%
closed_form = closed_form_table(runs)
worst = closed_form.z.abs().max()
assert worst < 5, f"a mean is {worst:.1f} standard errors from the closed form"
print(f"{len(closed_form):,} means; the farthest is {worst:.1f} standard errors away")

slopes = slope_table([0.1, 0.5, 1.0, 2.0, 10.0], steps=(5, 10, 20, NUM_STEPS))
wide = slopes.pivot(index="slope", columns="step", values="ratio")
wide = wide.add_prefix("step ").rename_axis("true slope").reset_index()
wide.style.hide().format("{:.3g}")

# %% [markdown]
# ## The verdict
#
# What the paper says, and what was measured. Every difference is paired.

# %% tags=["hide-input"]
outcomes = decide_claims(runs, cost=time.perf_counter() - began)
register.write_claims(folder, outcomes)
tables = {"curves": curves, "curves_100_runs": shown, "closed_form": closed_form}
for name, rows in (tables | {"slopes": slopes, "your_setting": your_curves}).items():
    files.write_table(folder, name, rows)
HTML(formats.claims_html(register.claims_table(outcomes)))

# %% [markdown]
# ## Exercises
#
# 1. **The other end.** Keep the tenth of the points with the *smallest* $|x|$. Derive the mean of $w$ after ten steps at the rate 0.01, over the draws of the batches, for any set of
#    kept points. Compare it with simulated runs, for this choice and for LiPrune's, on the data set drawn above (`x`, `y`, `kept`).
# 2. **Up to which rate does LiPrune lead?** Let the line be so steep that label noise does not matter. Then the mean squared error is multiplied by $q$ at each
#    step, as [the closed form](eq-square) says. Find the learning rate below which $q$ is smaller for LiPrune than for random pruning, for a tenth kept and
#    batches of ten. Check it with `population_excess`.
#
# <details><summary>Solution of exercise 1, in words</summary>
#
# A batch of distinct kept points has the mean gradient $m\,(w - w_K)$, with $m$ the mean of $x^2$ over the kept points and $w_K$ their least-squares
# slope. The batch is drawn independently of $w_t$. So
#
# $$
# \mathbb{E}\, w_t = w_K \big(1 - (1 - \eta m)^t\big).
# $$
#
# At a given learning rate the mean path depends on the choice of points through $m$ and $w_K$ alone. LiPrune takes the largest possible $m$.
#
# </details>

# %% tags=["hide-cell"] mystnb={"code_prompt_show": "Solution of exercise 1, in code", "code_prompt_hide": "Solution of exercise 1, in code"}
picks = np.random.default_rng([seed, 101])
for name, points in {"largest": kept, "smallest": np.argsort(x**2)[:100]}.items():
    mean_square = np.mean(x[points] ** 2)
    own_slope = np.mean(x[points] * y[points]) / mean_square
    expected_end = own_slope * (1 - (1 - 0.01 * mean_square) ** 10)
    ends = np.zeros(2000)  # of as many runs
    for _ in range(10):
        chosen = points[picks.random((2000, 100)).argpartition(10)[:, :10]]
        residuals = ends[:, None] * x[chosen] - y[chosen]
        ends = ends - 0.01 * np.mean(residuals * x[chosen], axis=1)
    error = ends.std() / np.sqrt(len(ends))
    assert abs(ends.mean() - expected_end) < 5 * error, "the mean is not as derived"
    print(f"{name} |x|: mean of w {ends.mean():.4f}, expected {expected_end:.4f}")

# %% [markdown]
# <details><summary>Solution of exercise 2, in words</summary>
#
# With $m = \mathbb{E}\, a_S$ the factor is $q = 1 - 2 \eta m + \eta^2\, \mathbb{E}\, a_S^2$. LiPrune's is smaller if and only if
#
# $$
# \eta < \frac{2\, (m_L - m_R)}{\mathbb{E}_L\, a_S^2 - \mathbb{E}_R\, a_S^2},
# $$
#
# with $L$ for LiPrune and $R$ for random pruning. The means over the kept points are known, since $|x|/5$ is uniform on $[1 - r, 1]$ with LiPrune and on $[0, 1]$ with
# random pruning.
#
# "LiPrune accelerates" therefore holds up to a learning rate, even on the straight line and without noise. Above it LiPrune's steps are too long.
#
# </details>


# %% tags=["hide-cell"] mystnb={"code_prompt_show": "Solution of exercise 2, in code", "code_prompt_hide": "Solution of exercise 2, in code"}
def batch_means(low):
    """The means of a_S and a_S² if |x| / 5 is uniform on [low, 1]; 100 points kept."""
    mean_square = 25 * (1 - low**3) / (1 - low) / 3
    fourth = 625 * (1 - low**5) / (1 - low) / 5
    return mean_square, mean_square**2 + (fourth - mean_square**2) / 10 * 90 / 99


(mean_l, square_l), (mean_r, square_r) = batch_means(0.9), batch_means(0.0)
crossing = 2 * (mean_l - mean_r) / (square_l - square_r)
for rate in (0.5 * crossing, 0.99 * crossing, 1.01 * crossing, 1.2 * crossing):
    steep = {"batch_size": 10, "learning_rate": rate, "slope": 1e6}
    ours, theirs = (population_excess(0.1, m, **steep) for m in ("liprune", "random"))
    assert (ours[10] < theirs[10]) == (rate < crossing), "the crossing lies elsewhere"
    print(f"rate {rate:.4f}: after ten steps LiPrune's excess loss is", end=" ")
    print(f"{ours[10] / theirs[10]:.3g} times that of random pruning")

# %% [markdown]
# ## What differs from the paper
#
# The paper shows 100 runs; the verdicts rest on many more. The paper does not say whether a run draws new data,
# how a batch is drawn, or what $w^*$ is. Here each run draws new data, each step draws distinct points afresh, and $w^* = 1$. The text's remark on the
# initial loss fits the loss on the kept points only, not the test loss that the caption of Figure 1 names.
#
# **Tables.** [All curves](../results/04_linear_model/curves.csv), [the curves of 100 runs](../results/04_linear_model/curves_100_runs.csv),
# [your setting](../results/04_linear_model/your_setting.csv), [the closed form beside the simulation](../results/04_linear_model/closed_form.csv),
# [the slopes](../results/04_linear_model/slopes.csv).
#
# **Next.** [Is the gain due to the choice of points, or to a larger step?](05_what_accelerates.ipynb)

# %% tags=["remove-input"]
holds = outcomes[0].verdict == "holds"
ahead, later = loss_ratio(runs, 1, 0.1, 10), loss_ratio(runs, 6, 0.1, NUM_STEPS)
first_screen.fill(
    f"""**{"Yes" if holds else "Not everywhere"}, in the paper's setting.** With a tenth
of the points kept, LiPrune's mean test loss after ten steps is
{formats.relative(ahead)} than that of random pruning. At five times this learning
rate, after {NUM_STEPS} steps, it is {formats.relative(later)}: there both have reached
the floor that label noise sets. Each number comes from {num_runs:,} pairs of runs,
each pair on its own data.""",
    style.loss_figure(shown[shown.figure == 1]),
)
