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
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Does LiPrune accelerate SGD on a linear model?
#
# ## Overview
#
# **Claim** (Section 4.1 and Figure 1 of {cite:t}`ayed2022`): "The results confirm our theoretical predictions that LiPrune
# accelerates convergence."
#
# **Answer.** {glue:text}`answer`
#
# **Cost.** {glue:text}`cost`
#
# The model is the paper's Eq. (3): $y_i = w^* x_i + 0.2\,\varepsilon_i$ with $x_i \sim U(-5, 5)$ and $N = 1000$ points.
# The functions are $f_i(w) = \tfrac12 (w x_i - y_i)^2$, whose gradients have Lipschitz constants $L_i = x_i^2$.
# LiPrune keeps the points with the largest $|x_i|$. SGD starts at $w_0 = 0$ and takes 30 steps; each step draws a batch of
# distinct points afresh from those kept.

# %% tags=["parameters"]
learning_rate: float = 0.02  # "your setting": step size of SGD, in (0, 1]
batch_size: int = 10  # "your setting": distinct points in each step, from 1 to the points kept
keep_fraction: float = 0.2  # "your setting": fraction of the points kept, in (0, 1]
slope: float = 1.0  # true slope w*, from -1000 to 1000, not 0; the paper does not state it
num_runs: int = 10_000  # runs, each on data of its own, from 100 to 1000000; the paper: 100
seed: int = 0  # root of all random streams, from 0
results_dir: str = "reruns/04_linear_model"  # folder for tables; made if missing

# %%
from experiments.linear_model.runs import LinearModelParameters

parameters = LinearModelParameters.from_notebook(globals())

# %% tags=["hide-input"]
import time

import numpy as np
import pandas as pd
from IPython.display import HTML
from myst_nb import glue

from experiments.linear_model import figures
from experiments.linear_model.claims import decide_claims
from experiments.linear_model.runs import (
    NUM_STEPS,
    PAPER_FIGURES,
    Setting,
    draw_linear,
    simulate,
    stream,
)
from experiments.linear_model.tables import closed_form_table, curve_table, population_excess
from liprune_utils import files
from liprune_utils.book import formats, frames, register, style

style.use_style()
folder = files.results_folder(results_dir)
began = time.perf_counter()

# %% [markdown]
# ## Run all figures at once
#
# LiPrune, random pruning and no pruning see the same data and noise. LiPrune and random pruning also draw the same
# positions in their lists of kept points, so that their difference is due to the choice of points alone. All figures use
# the same data sets and draws: a batch of ten is the front of a draw of a hundred.

# %%
runs = simulate(PAPER_FIGURES, num_runs=num_runs, seed=seed, slope=slope)
curves = curve_table(runs)
files.write_table(folder, "curves", curves)
outcomes = decide_claims(runs, cost=time.perf_counter() - began)
register.write_claims(folder, outcomes)

# %% tags=["hide-input"]
table = pd.DataFrame(outcomes).merge(
    register.verdict_table(folder.parent)[["id", "quote", "place", "page"]]
)
HTML(formats.claims_html(table))

# %% tags=["hide-input"]
verdicts = {outcome.id: outcome for outcome in outcomes}
first, rates = verdicts["figure-1-acceleration"], verdicts["learning-rates"]
glue(
    "answer",
    f"In the paper's setting the claim {formats.words(first.verdict)}: {first.note} At the rates of Figures 5 and 6 it "
    f"{formats.words(rates.verdict)}: {rates.note} There, LiPrune's test loss less that of random pruning is "
    f"{formats.number(rates.estimate)}, 99% interval {formats.number(rates.low)} to {formats.number(rates.high)}, "
    f"n = {rates.num_runs:,} paired runs.",
    display=False,
)
glue(
    "cost",
    f"{time.perf_counter() - began:.0f} seconds of computing for {num_runs:,} runs of every figure.",
    display=False,
)

# %% [markdown]
# ## Check: the same numbers without simulation
#
# Given the inputs of a run, the expected squared error over label noise and batches has a closed form. Write
# $w_t - w^* = -w^* P_t + \sum_i g_{t,i} \nu_i$, where $\nu_i$ is the noise of label $i$, $K$ points are kept, a batch $S$ has $B$
# points and $a_S$ is its mean of $x^2$. One step gives
#
# $$
# P_{t+1} = (1 - \eta a_S) P_t, \qquad g_{t+1,i} = (1 - \eta a_S)\, g_{t,i} + \frac{\eta}{B}\, x_i\, 1[i \in S].
# $$ (eq-step)
#
# The noise has mean zero and does not influence the batches, hence
#
# $$
# \mathbb{E}(w_t - w^*)^2 = (w^*)^2 q^t + \sigma^2 G_t, \qquad
# G_{t+1} = q\, G_t + 2\eta\, \frac{1 - p^t}{K^2 m} \sum_i x_i^2 (1 - \eta \alpha_i) + \frac{\eta^2 m}{B},
# $$ (eq-square)
#
# with $m$ the mean of $x^2$ over the kept points, $p = 1 - \eta m$,
# $q = p^2 + \eta^2\, \mathrm{Var}(a_S)$, the finite-population variance
# $\mathrm{Var}(a_S) = \frac{\overline{x^4} - m^2}{B} \cdot \frac{K - B}{K - 1}$, and
# $\alpha_i = \mathbb{E}[a_S \mid i \in S] = \frac1B \big(x_i^2 + (B - 1) \frac{K m - x_i^2}{K - 1}\big)$.
# A set of points with mean square $m'$ then has the expected loss
# $\tfrac12 m' \,\mathbb{E}(w_t - w^*)^2 + \tfrac12 \sigma^2 - c_t$, where $c_t = 0$ on test points and
# $c_t = \sigma^2 (1 - p^t) / n$ on a set of $n$ training points that holds the kept ones: SGD has seen their noise.
# Averaged over the same data sets, {eq}`eq-square` must agree with the simulation for every figure, method, keep fraction, step and
# loss.

# %%
closed_form = closed_form_table(runs)
files.write_table(folder, "closed_form", closed_form)
worst = closed_form.z.abs().max()
assert worst < 5, f"a simulated mean is {worst:.1f} standard errors from the closed form"
print(
    f"{len(closed_form):,} means; the farthest is {worst:.1f} standard errors from its expectation"
)

# %% [markdown]
# ## The data
#
# One data set of Eq. (3), as in the paper's Figure 4.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-data", "caption": "A data set of the linear model (the paper's Figure 4). LiPrune keeps the points with the largest |x|; here, a tenth of them. Both ends of the line are kept, the middle goes."}, "image": {"alt": "Scatter plot of y against x along a straight line. The points kept by LiPrune are the two ends, where x is below minus 4.5 or above 4.5."}}
figure = figures.data_figure(
    draw_linear(stream(seed, "data"), 1, 1000, slope=slope), keep_fraction=0.1
)

# %% [markdown]
# ## Figure 1: the paper's setting
#
# The figures are drawn as in the paper, from 100 runs with 95% intervals of the mean. The verdicts above and the tables rest
# on all runs. The scale of the loss is logarithmic, so that an equal factor looks equal at any level.

# %%
shown = curve_table(simulate(PAPER_FIGURES, num_runs=100, seed=seed, slope=slope))
files.write_table(folder, "curves_100_runs", shown)

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-1", "caption": "Test loss during SGD with batch size 10 and learning rate 0.01 (the paper's Figure 1), for four fractions kept. Bands: 95% intervals of the mean over 100 runs. No pruning lies on random pruning. The gain of LiPrune is largest when little is kept."}, "image": {"alt": "Four panels of test loss against SGD step on a logarithmic scale. In each, LiPrune falls fastest; random pruning and no pruning coincide. The gap narrows as more is kept."}}
figure = style.loss_figure(shown[shown.figure == 1])

# %% [markdown]
# "The initial loss value is large with LiPrune since we fix the initial point of SGD to $w_0 = 0$", says the paper; its caption
# names the *test* loss. But at step 0 all methods stand at the same point and are measured on the same test points: their test
# losses are equal. What is larger is the loss on the *kept training points*, which LiPrune chose to be large
# ({numref}`fig-losses`).

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-losses", "caption": "Three losses of the same 100 runs, batch size 10, learning rate 0.01, a tenth kept: on 400 test points, on the kept training points, on all training points. Only on the kept points does LiPrune start higher. Bands: 95% intervals of the mean."}, "image": {"alt": "Three panels of loss against step. In the test and full-training panels both methods start at the same loss; in the kept-points panel LiPrune starts far higher, and falls below random pruning within five steps."}}
figure = figures.losses_figure(shown[shown.figure == 1], keep_fraction=0.1)

# %% [markdown]
# ## Figures 5 and 6: other learning rates
#
# Appendix B.2 reports "consistent training acceleration with LiPrune" and for Figure 6 "a small advantage for LiPrune". At the
# rate 0.05 both methods are at their noise floor within ten steps. There LiPrune is not ahead, and
# the many runs can tell that it is *behind*: its larger curvature at the same rate means more gradient noise in the same units.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-5", "caption": "Test loss with learning rate 0.005, batch size 10 (the paper's Figure 5). Bands: 95% intervals of the mean over 100 runs."}, "image": {"alt": "Four panels of test loss against step at learning rate 0.005. LiPrune falls faster in all; no method reaches its floor within 30 steps but LiPrune at keep 0.1 comes near."}}
figure = style.loss_figure(shown[shown.figure == 5])

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-6", "caption": "Test loss with learning rate 0.05, batch size 10 (the paper's Figure 6). Bands: 95% intervals of the mean over 100 runs. After ten steps all curves lie on the floor that the label noise sets."}, "image": {"alt": "Four panels of test loss against step at learning rate 0.05. All methods fall to one low level within ten steps, LiPrune within two or three, and stay there."}}
figure = style.loss_figure(shown[shown.figure == 6])

# %% [markdown]
# ## Figures 7, 8 and 9: other batch sizes

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-7", "caption": "Test loss with batch size 1, learning rate 0.01 (the paper's Figure 7). Bands: 95% intervals of the mean over 100 runs."}, "image": {"alt": "Four panels of test loss against step with batch size 1. LiPrune falls faster; the bands of random pruning and no pruning are wider than with larger batches."}}
figure = style.loss_figure(shown[shown.figure == 7])

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-8", "caption": "Test loss with batch size 20, learning rate 0.01 (the paper's Figure 8). Bands: 95% intervals of the mean over 100 runs."}, "image": {"alt": "Four panels of test loss against step with batch size 20. The curves are those of batch size 10 with narrower bands."}}
figure = style.loss_figure(shown[shown.figure == 8])

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-9", "caption": "Test loss with batch size 100, learning rate 0.01 (the paper's Figure 9). Bands: 95% intervals of the mean over 100 runs. LiPrune's lead is the same as with batch size 10."}, "image": {"alt": "Four panels of test loss against step with batch size 100. LiPrune leads by as much as with smaller batches."}}
figure = style.loss_figure(shown[shown.figure == 9])

# %% [markdown]
# {download}`All curves <../results/04_linear_model/curves.csv>`,
# {download}`the curves of 100 runs <../results/04_linear_model/curves_100_runs.csv>`,
# {download}`the closed form beside the simulation <../results/04_linear_model/closed_form.csv>`.
#
# ## The rate decides
#
# The closed form needs no runs, so it can be asked about any rate. Move the slider: at small rates LiPrune is ahead all the way, at
# large ones it reaches a higher floor, and at the largest it diverges while random pruning still converges.

# %% tags=["hide-input"]
frames.frame_browser(
    lambda rate: figures.excess_figure(
        {
            m: population_excess(0.1, m, batch_size=10, learning_rate=rate, slope=slope)
            for m in ("liprune", "random")
        }
    ),
    [0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1],
    describe=lambda rate: (
        f"Expected excess test loss against step for LiPrune and random pruning, a tenth kept, learning rate {rate}."
    ),
    name="learning rate",
)

# %% [markdown]
# ## The slope scales one half of the error
#
# The paper does not say what $w^*$ is; here it is 1. By {eq}`eq-square` the excess loss is $(w^*)^2$ times a part that SGD forgets,
# plus $\sigma^2$ times a part that it gathers. A steeper line makes the first part larger for *both* methods by the same factor:
# where it dominates, the ratio of the two methods does not depend on $w^*$; near the floor it does.

# %% tags=["hide-input"]
slopes = pd.DataFrame(
    [
        {
            "slope": s,
            "step": step,
            "ratio": np.divide(
                *(
                    population_excess(0.1, m, batch_size=10, learning_rate=0.01, slope=s)[step]
                    for m in ("liprune", "random")
                )
            ),
        }
        for s in (0.1, 0.5, 1.0, 2.0, 10.0)
        for step in (5, 10, 20, NUM_STEPS)
    ]
)
files.write_table(folder, "slopes", slopes)
wide = slopes.pivot(index="slope", columns="step", values="ratio")
wide.add_prefix("step ").rename_axis("true slope").reset_index().style.hide().format("{:.3g}")

# %% [markdown]
# Ratio of expected excess losses, LiPrune over random pruning, a tenth kept, batch size 10, rate 0.01
# ({download}`table <../results/04_linear_model/slopes.csv>`).
#
# ## Your setting
#
# The parameters `learning_rate`, `batch_size` and `keep_fraction` at the top of this page describe one more panel. The paper's figures
# do not move with them. [How to rerun this page](../book/rerun.md);
# {download}`the panel's curves <../results/04_linear_model/your_setting.csv>`.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-yours", "caption": "Test loss in the setting of this page's parameters cell. Bands: 95% intervals of the mean over 100 runs."}, "image": {"alt": "Test loss against step for LiPrune, random pruning and no pruning in the setting of the parameters cell."}}
yours = {0: Setting(batch_size, learning_rate, (keep_fraction,))}
your_curves = curve_table(simulate(yours, num_runs=100, seed=seed, slope=slope))
files.write_table(folder, "your_setting", your_curves)
figure = style.loss_figure(your_curves)

# %% [markdown]
# ## What differs from the paper
#
# - The paper shows 100 runs; the verdicts here rest on many more, paired, with 99% intervals.
# - The paper does not say whether a run draws new data, how a batch is drawn, or what $w^*$ is. Here: new data in each run, distinct
#   points afresh in each step, $w^* = 1$.
# - Figure 1's caption says test loss, and the text's remark on the initial loss fits the loss on the kept points only.
#
# ## Next
#
# [Is the gain due to the choice of points, or to a larger step?](05_what_accelerates.ipynb) [The verdict](14_verdict.ipynb) keeps the account of all claims.
