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
# # Why does LiPrune not accelerate ResNets?
#
# ## Overview
#
# **Claims** (Section 5 of {cite:t}`ayed2022`). Any pruning transforms the data distribution: "This typically results in a modification of the loss landscape."
# And of the dynamics: "In the convex setting, it is sufficient to reduce the stochastic gradient variance to converge faster". Section 3 had said of the
# missing acceleration: "We conjecture that this is due to the non-convex nature of the loss landscape".
#
# **Answer.** {glue:text}`answer`
#
# **Cost.** {glue:text}`cost`
#
# The paper names two effects that could hide an acceleration. This page measures both: where long training ends, and what the gradient's noise does. It adds a third,
# which the paper does not consider: its convex experiment pruned points, its networks pruned batches of 128 images, and an average over 128 images hides most of what
# tells images apart.

# %% tags=["parameters"]
slope: float = 1.0  # true slope w*, from -1000 to 1000, not 0; the paper does not state it
num_runs: int = 1000  # data sets of the linear model, from 100 to 100000
depth: int = 8  # depth of the live ResNet, 6n + 2 from 8 to 1202; the paper: 14 and 20
num_images: int = 640  # its training images, from two kept batches to 50000
num_test_images: int = 200  # its test images, from 1 to 10000
batch_size: int = 64  # images in each of its batches, from 2 to num_images; the paper: 128
num_epochs: int = 4  # its epochs, from 2 to 10000
prune_epoch: int = 3  # prune at the start of this epoch, from 2 to num_epochs; the paper: 1 and 5
keep_fraction: float = 0.4  # fraction of the batches kept, in (0, 1]; the paper: 0.2 and 0.5
learning_rate: float = 0.05  # step size of its SGD, in (0, 1]; the paper: 0.01 and 0.1
seed: int = 0  # root of all random streams, from 0 to 2^63 - 1
results_dir: str = "reruns/11_why"  # folder for tables; made if missing

# %%
from experiments.why.runs import WhyParameters

parameters = WhyParameters.from_notebook(globals())

# %% tags=["hide-input"]
import json
import time

import pandas as pd
from IPython.display import HTML
from myst_nb import glue

from experiments.why import claims, figures, linear_noise, matched_spread, record, runs, tables
from liprune_utils import data, files
from liprune_utils.book import formats, register, style
from liprune_utils.book.formats import in_brackets, number
from liprune_utils.grid import read_tables

style.use_style()
folder = files.results_folder(results_dir)
dataset = data.load()
files.write_json(
    folder / "provenance.json",
    files.provenance(data_source=dataset.source, pixel_sha256=dataset.sha256),
)
began = time.perf_counter()
HTML(data.banner(dataset))

# %% tags=["hide-input"]
recorded = files.PROJECT / "book" / "results"
long_curves, long_runs, _ = read_tables(recorded / "11_why", ["long"])
example_curves, _, (sweep,) = read_tables(recorded / "10_other_scores", ["examples"])
followed, kept, curves = (
    pd.read_csv(recorded / "11_why" / f"{name}.csv")
    for name in ("dynamics", "dynamics_kept", "dynamics_curves")
)
batch_norms = pd.read_csv(recorded / "08_hessian_norm" / "batch_norms.csv")
study = json.loads((recorded / "11_why" / "dynamics_provenance.json").read_text())
losses = tables.loss_table(long_runs)
shifts = tables.shift_table(kept)
matched = tables.matched_noise(followed)
remedy = tables.remedy_table(curves, study["prune_epoch"])
examples = tables.example_table(example_curves)
spreads = tables.cifar_spreads(batch_norms, shifts)
spreads["batch_size"] = spreads.spread.map(matched_spread.matching_size)
written = {"losses": losses, "shifts": shifts, "matched": matched}
written |= {"remedy": remedy, "examples": examples, "spreads": spreads}
for name, table in written.items():
    files.write_table(folder, name, table)
margin = register.margin("points-to-batches", "test_error")

# %% [markdown]
# (where-training-ends)=
# ## Does pruning change where training ends?
#
# "In essence, any pruning algorithm aims to find a better subset than random pruning; therefore, it transforms the data distribution". The paper shows it on the
# sine model ([page 07](07_sine_model.ipynb)); for networks it is a belief. The recorded runs train five times as long as the other small runs of this book, so that the loss
# of the kept images is near its bottom, and then ask for the loss of *all* training images: random batches, LiPrune's batches, and the single examples with the
# largest Hessian norms, a fifth of the images each, from the same network at the start of epoch 5.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-long", "caption": "Long training on a fifth of the images, recorded; ResNet-14, three paired seeds. Left: test error by epoch, thin lines are seeds, thick lines their mean. Right: mean cross-entropy after the last epoch, on the kept images and on all training images, without augmentation; each line is a run."}, "image": {"alt": "Two panels. On the left, test error in per cent against epoch for random pruning, LiPrune's batches and the examples with the largest norms, falling where the learning rate falls. On the right, a line for each run joins its loss on the kept images to its much larger loss on all."}}
figure = figures.long_figure(long_curves, long_runs)

# %%
shown = losses[["measure", "arm", "difference", "low", "high", "num_seeds", "random"]]
shown.style.hide().format("{:.3g}", subset=["difference", "low", "high", "random"])

# %%
shifts.pivot(index="arm", columns="statistic", values="mean").style.format("{:.3g}", na_rep="–")

# %% tags=["hide-input"]
arms = ("random", "liprune", "hessian")
by_measure = losses.set_index(["measure", "arm"])
means = shifts.pivot(index="arm", columns="statistic", values="mean")
assert (by_measure.loc["full_set_loss", "low"] < 0).all(), "a loss is larger than random's"
assert (by_measure.loc["full_set_loss", "high"] > 0).all(), "a loss is smaller than random's"
assert means.class_shift["hessian"] > means.class_shift["random"], "classes shift by chance"
for measure in ("kept_set_loss", "full_set_loss"):
    glue(measure, number(by_measure.random[measure, "liprune"]), display=False)
for arm in arms[1:]:
    for name, measure in {"loss": "full_set_loss", "error": "test_error"}.items():
        row = by_measure.loc[measure, arm]
        glue(f"{name}-{arm}", in_brackets(tables.seed_estimate(row)), display=False)
for arm in arms:
    glue(f"loss-ratio-{arm}", number(means.loss_ratio[arm]), display=False)
    glue(f"class-shift-{arm}", number(means.class_shift[arm]), display=False)

# %% [markdown]
# Random pruning ends with a loss of {glue:text}`kept_set_loss` on its kept images and of {glue:text}`full_set_loss` on all. Less random pruning's, the loss of all
# images is {glue:text}`loss-liprune` for LiPrune's batches (test error {glue:text}`error-liprune` points) and {glue:text}`loss-hessian` for examples (test error
# {glue:text}`error-hessian` points); 99% intervals, three paired seeds. Neither interval of the loss excludes zero.
#
# At the pruning, the mean loss of the kept images is {glue:text}`loss-ratio-random` (random batches), {glue:text}`loss-ratio-liprune` (LiPrune's batches) and
# {glue:text}`loss-ratio-hessian` (examples) times that of all. The class shares are off by {glue:text}`class-shift-random`, {glue:text}`class-shift-liprune` and
# {glue:text}`class-shift-hessian` in total variation distance; what random batches show is chance.
#
# In the second table `loss_ratio` and `el2n_ratio` are the kept images' mean loss and error length over those of all; `score_sd` is the relative standard deviation of the
# Hessian norms, `score_gain` the mean norm of the kept over that of all, and `importance_gain` is explained below. All are means over seeds, at the moment of pruning.
#
# (noise-and-speed)=
# ## Is less noise what makes the convex case faster?
#
# Near the weights $w$ of one step, let the gradient of a batch have mean $G$ and variance $V$. In the linear model, with $e = w - w^*$, a step leaves
#
# $$
# \mathbb{E}\,(e^+)^2 = (e - \eta G)^2 + \eta^2 V .
# $$ (eq-step-noise)
#
# Importance sampling with the weights $1/(n p_i)$ keeps $G$ and lowers $V$. LiPrune drops the weights, and changes both. {numref}`fig-linear-noise` compares LiPrune with random
# pruning *at the same weights*, at distances that the runs of the paper's setting pass within its 30 steps. {eq}`eq-step-noise` splits LiPrune's lead in one step into the part of the mean
# and the part of the noise.

# %%
linear = linear_noise.noise_table(num_runs, seed, slope)
files.write_table(folder, "linear", linear)
first = linear[linear.error == linear.error.max()]
liprune, unbiased = (first[first.method == method] for method in ("liprune", "unbiased"))
faster = linear[(linear.method == "liprune") & (linear.left_high < 1)]
noisier = faster[faster.noise_low > 1]
for name, text in {
    "least-noise": number(liprune.noise.min()),
    "most-noise": number(liprune.noise.max()),
    "noise-share": f"{liprune.share.max():.1%}",
    "noisier": f"{len(noisier)} of the {len(faster)}",
    "noisiest": number(noisier.noise.max()),
    "unbiased-noise": number(unbiased.noise.max()),
    "unbiased-left": number(unbiased.left.min(), 4),
}.items():
    glue(name, text, display=False)

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-linear-noise", "caption": "The paper's linear model, batch size 10, rate 0.01: LiPrune over random pruning at the same weights, against the distance to the true slope; training goes from left to right. Left: variance of the batch's gradient. Right: mean squared error after one step, below 1 where LiPrune's step is the better one. Bars, mostly hidden by the markers: 99% intervals over data sets."}, "image": {"alt": "Two panels, a line for each fraction kept. On the left the ratio of variances starts below one, crosses one at a tenth of the first distance and ends above one. On the right the ratio of errors is flat and below one, and rises towards one only at the end."}}
figure = figures.linear_noise_figure(linear)

# %% [markdown]
# At the start LiPrune's gradient has {glue:text}`least-noise` to {glue:text}`most-noise` times the variance of random pruning's, but the variance accounts for at most
# {glue:text}`noise-share` of its lead in a step. In {glue:text}`noisier` cases in which its step is the better one its variance is the larger one, by up to
# {glue:text}`noisiest` times. Importance sampling with its weights, which changes nothing but the variance, brings it down to {glue:text}`unbiased-noise` or less at
# the start, and leaves at least {glue:text}`unbiased-left` times what random pruning's step leaves.
#
# So the words are true of importance sampling, at a size that does not matter at the paper's rate, and they do not explain LiPrune. [Page 05](05_what_accelerates.ipynb)
# found the same from the other side: the longer mean step explains the gain. The paper is right that the base ingredient of *accelerated SGD with importance sampling* is a
# smaller variance; LiPrune is no such sampling.
#
# ### On CIFAR-10
#
# The recorded study goes on from one network, at the start of epoch 5, with each kept set, and measures on the way: the trace of the covariance of the batch's gradient
# over the kept batches and over all batches, the largest Hessian norm of three fixed batches ("sharpness"), and the loss of all images.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-dynamics", "caption": "After the pruning at the start of epoch 5, recorded: ResNet-14, a fifth kept, three paired seeds (thin) and their mean (thick). Noise is the trace of the covariance of a batch's gradient, train-mode batch norm, no augmentation, over the kept batches (at the weights of each arm) and over all batches. Sharpness is the largest Hessian norm of three fixed batches."}, "image": {"alt": "Four panels on logarithmic scales against epochs done, five arms each: noise over the kept batches, noise over all batches, sharpness, and loss of all images. All arms start from the same weights, so that all panels but the first begin in one point for each seed."}}
figure = figures.dynamics_figure(followed)

# %% tags=["hide-input"]
noise = matched[matched.measure == "kept_noise"].set_index("method")
assert (noise.high > 1).all(), "pruning makes the gradient less noisy"
for arm in arms[1:]:
    glue(f"noise-{arm}", in_brackets(tables.seed_estimate(noise.loc[arm], "ratio")), display=False)
    glue(f"importance-{arm}", number(means.importance_gain[arm]), display=False)

# %% [markdown]
# At the same weights, the variance of the kept batches' gradient over that of random batches is {glue:text}`noise-liprune` for LiPrune's batches and
# {glue:text}`noise-hessian` for examples (99%): neither is resolved to be smaller. Sampling all by their norms, with the weights of Section 2, would change the second
# moment by the factors {glue:text}`importance-liprune` for LiPrune's batches and {glue:text}`importance-hessian` for examples.
#
# ### The remedy that the paper points to
#
# "In Johnson and Guestrin [2018], for example, a key component of the method is to adapt the learning rate by rescaling it by the inverse of the estimated gradient noise
# reduction." {cite:t}`johnson2018` multiply the rate by $\mathbb{E}\|g_{\text{random}}\|^2 / \mathbb{E}\|g\|^2$. Two arms of the study do so from the pruning on,
# with the ratio measured at that moment.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-remedy", "caption": "Differences of test error, averaged over the epochs after the pruning; recorded, ResNet-14, a fifth kept, three paired seeds, 90% intervals. Left of zero the first of the two is better. Shaded: the register's margin of one point."}, "image": {"alt": "Six rows of differences with intervals: LiPrune and the largest norms, each with its own and with the rescaled learning rate, against random pruning, and rescaled against not rescaled."}}
figure = figures.remedy_figure(remedy, margin)

# %% tags=["hide-input"]
gaps = remedy.set_index(["arm", "against"])
factors = kept.groupby("arm").rate_factor.agg(["min", "max"])
for arm in arms[1:]:
    rescaled = gaps.loc[f"{arm} rescaled"]
    assert rescaled.high["random"] > -margin, "a rescaled rate makes pruning faster"
    low, high = factors.loc[arm].map(number)
    glue(f"factors-{arm}", f"{low} to {high}", display=False)
    for name, against in {"change": arm, "rescaled": "random"}.items():
        found = tables.seed_estimate(rescaled.loc[against])
        glue(f"{name}-{arm}", in_brackets(found), display=False)

# %% [markdown]
# For LiPrune's batches the rate is multiplied by {glue:text}`factors-liprune`; the mean test error then changes by {glue:text}`change-liprune` points, and less random
# pruning's it is {glue:text}`rescaled-liprune`. For examples the rate is multiplied by {glue:text}`factors-hessian`; the mean test error then changes by
# {glue:text}`change-hessian` points, and less random pruning's it is {glue:text}`rescaled-hessian`.
#
# (points-and-batches)=
# ## From points to batches
#
# The convex experiment pruned points; on CIFAR-10 the functions are batches, whose norms differ less than those of images. In the linear model a batch's constant is its
# mean of $x^2$, with the relative standard deviation $\sqrt{4/5}/\sqrt{B}$. So each spread has a batch size, and we can ask what LiPrune gains there: 40 fixed batches, a
# fifth kept, ten steps at the paper's rate, the excess loss of LiPrune over that of random pruning.

# %%
from liprune_utils.intervals import Estimate

sizes = sorted({*matched_spread.SIZES, *spreads.batch_size})
races = matched_spread.spread_table(sizes, num_runs, seed, slope)
files.write_table(folder, "races", races)
assert races.z.max() < 5, "a simulated loss is far from its closed form"
by_size = races.set_index("batch_size")
terms = ["ratio", "ratio_low", "ratio_high", "num_runs"]
convex = [Estimate(*by_size.loc[size, terms]) for size in spreads.batch_size]

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-spread-worth", "caption": "What a spread of the constants is worth in the paper's linear model: excess loss of LiPrune over that of random pruning after ten steps with fixed batches, against the relative standard deviation of the batches' constants. Markers: simulated, with 99% intervals; line: exact given the inputs. Vertical lines: spread of the Hessian norms of CIFAR-10. A spread right of the last marker is wider than any that uniform inputs have."}, "image": {"alt": "A curve that falls from near one at small spreads to near zero at the largest, with vertical lines at the spreads of CIFAR-10's batches, between a tenth and a fifth, and of its examples, far to the right."}}
figure = figures.spread_figure(races, spreads)

# %% tags=["hide-input"]
from experiments.cifar10.tables import control_difference

start, last = study["prune_epoch"] - 1, study["decay_epochs"][0] - 1
factor = by_size.steps[spreads.batch_size[2]]
stretched = tables.stretched_difference(curves, factor, start=start, last=last)
control = control_difference(example_curves)
glue("stretched", in_brackets(stretched), display=False)
worth = spreads.join(by_size[["ratio", "ratio_low", "ratio_high", "steps"]], on="batch_size")
worth.style.hide().format("{:.3g}", subset=worth.columns[1:])

# %% [markdown]
# In this table `ratio` is the excess loss of the convex model over that of random pruning at the spread, and `steps` how many of random pruning's steps one step is worth.
# On CIFAR-10, random pruning's own curve, run faster by the factor of the batches at the pruning, would change the test error by {glue:text}`stretched` points before
# the rate falls (90%).
#
# And the other way round: prune CIFAR-10 by examples, whose norms differ widely.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-examples", "caption": "Pruning batches and pruning examples of CIFAR-10 by their Hessian norm, each against random pruning: difference of test error, averaged over the epochs after the pruning; recorded, ResNet-14, three paired seeds, 90% intervals. Shaded: the register's margin of one point. Left of zero is faster."}, "image": {"alt": "Four rows of differences with intervals: LiPrune's batches and the examples with the largest norms, for two fractions kept, against random pruning."}}
figure = figures.examples_figure(examples, margin)

# %% tags=["hide-input"]
gaps = examples[examples.arm == "hessian"].set_index("keep_fraction")
assert (gaps.low > -margin).all(), "pruning by examples may be faster beyond the margin"
assert control.below(0), "the positive control is not resolved"
glue("control", in_brackets(control), display=False)
for name, fraction in {"fifth": 0.2, "half": 0.5}.items():
    gap = tables.seed_estimate(gaps.loc[fraction])
    glue(f"examples-{name}", in_brackets(gap), display=False)

# %% [markdown]
# Mean test error after the pruning, examples of large norm less random pruning: {glue:text}`examples-fifth` points with a fifth kept and {glue:text}`examples-half` points
# with half kept (90%, three paired seeds). It accelerates nothing beyond the margin of one point. The positive control, random pruning with more kept against less, is
# {glue:text}`control`.
#
# ## Check: the machinery, live
#
# The study once more, small, on this machine: a network is trained for a few epochs, pruned, and followed with random batches and with LiPrune's. At the pruning
# both arms must have the same network. The variance is then computed by another route, a plain loop of training steps without the optimiser, and that of the linear model
# is held against its closed form, $e^2 (\overline{x^4} - \overline{x^2}^2) + \sigma^2\, \overline{x^2}$ for one point.

# %%
from pathlib import Path
from tempfile import TemporaryDirectory

from liprune_utils.training_run import Workspace, before_pruning

with TemporaryDirectory() as work:  # a page starts afresh; a sweep would not
    live = runs.live_dynamics(dataset, parameters, Path(work))
    run, workspace = parameters.runs()[0], Workspace(dataset, Path(work))
    state, images = before_pruning(run, workspace), workspace.images(run)
    batches, _ = record.choose(run, state, workspace)
files.write_table(folder, "live", live["dynamics"])
start = live["dynamics"].groupby("arm").first()
for name in ("all_noise", "sharpness", "full_set_loss", "test_error"):
    assert start[name].nunique() == 1, f"the arms do not start alike: {name}"

# %%
import numpy as np
import torch
from torch.nn import functional

gradients, model = [], state.model.train()
for batch in map(torch.from_numpy, batches):
    model.zero_grad()
    functional.cross_entropy(model(images.inputs[batch]), images.labels[batch]).backward()
    gradients.append(torch.cat([p.grad.flatten() for p in model.parameters()]).double())
by_loop = torch.stack(gradients).var(dim=0).sum().item()
assert np.isclose(by_loop, start.kept_noise["random"], rtol=1e-3)
typical = [
    linear_noise.typical_noise(row.error, row.keep_fraction, "liprune", slope)
    / linear_noise.typical_noise(row.error, row.keep_fraction, "random", slope)
    for row in linear[linear.method == "liprune"].itertuples()
]
found = linear[linear.method == "liprune"].noise
worst = np.abs(found / typical - 1).max()
assert worst < 0.1, "variances of the linear model are far from their closed form"
print(f"network: {by_loop:.4g} by a loop, {start.kept_noise['random']:.4g} by the study")
print(f"linear model: {len(found)} ratios of variances, {worst:.1%} off at most")

# %% tags=["hide-input"]
cost = time.perf_counter() - began
ends = claims.asymptotic_claim(losses, cost=float(long_runs.seconds.sum()))
less_noise = claims.noise_claim(linear, matched, examples, cost=cost)
points = claims.points_claim(examples, control, convex, cost=sweep["seconds"])
decided = [ends, less_noise, points]
register.write_claims(folder, decided)
(end, end_verdict), (noise, noise_verdict), (gap, gap_verdict) = (
    (in_brackets(Estimate(found.estimate, found.low, found.high, found.num_runs)),
     formats.words(found.verdict))
    for found in decided
)  # fmt: skip
answer = (
    f"(i) That pruning changes the loss at the end: {end_verdict}. The loss of all images with "
    f"LiPrune's batches less that with random ones is {end}. (ii) That less gradient noise makes "
    f"the convex case faster, as an explanation of LiPrune: {noise_verdict}. Where LiPrune is "
    f"faster, its gradient has up to {noise} times the variance. (iii) That examples fail as "
    f"batches do: {gap_verdict}. Their test error less random pruning's is {gap} points."
)
glue("answer", answer, display=False)
glue("convex-worst", number(max(ratio.value for ratio in convex)), display=False)
hours = (long_runs.seconds.sum() + study["seconds"] + sweep["seconds"]) / 3600
spent = f"{cost:.0f} seconds live; {number(hours, 2)} hours of one core for what is recorded."
glue("cost", spent, display=False)
table = pd.DataFrame(decided).merge(
    register.verdict_table(folder.parent)[["id", "quote", "place", "page"]]
)
HTML(formats.claims_html(table))

# %% [markdown]
# {download}`Losses after long training <../results/11_why/losses.csv>`, {download}`how the kept differ <../results/11_why/shifts.csv>`,
# {download}`noise in the linear model <../results/11_why/linear.csv>` and {download}`at the pruning <../results/11_why/matched.csv>`,
# {download}`the remedy <../results/11_why/remedy.csv>`, {download}`spreads of CIFAR-10 <../results/11_why/spreads.csv>` and
# {download}`what they are worth <../results/11_why/races.csv>`, {download}`batches and examples <../results/11_why/examples.csv>`,
# {download}`the live study <../results/11_why/live.csv>`. Recorded: long training
# ({download}`curves <../book/results/11_why/long_curves.csv>`, {download}`runs <../book/results/11_why/long_runs.csv>`,
# {download}`provenance <../book/results/11_why/long_provenance.json>`), the dynamics ({download}`measured <../book/results/11_why/dynamics.csv>`,
# {download}`the kept <../book/results/11_why/dynamics_kept.csv>`, {download}`curves <../book/results/11_why/dynamics_curves.csv>`,
# {download}`provenance <../book/results/11_why/dynamics_provenance.json>`), {download}`pruning by examples <../book/results/10_other_scores/examples_curves.csv>`,
# {download}`norms of batches <../book/results/08_hessian_norm/batch_norms.csv>`.
#
# ## What the evidence supports
#
# Too small a spread of the constants is not the reason: at those of CIFAR-10 the convex model's excess loss is at most {glue:text}`convex-worst` times random pruning's.
# Nor is it batches in place of examples: examples accelerate no more. The rescaled rate makes neither faster than random pruning by more than the margin.
#
# **How strongly.** The linear model's answers are exact up to simulation, and hold for that model. Those for networks rest on three paired seeds, one depth, one rate, a
# tenth of the images and, but for the long runs, 20 epochs; an interval over three seeds is wide, and an effect below it would not be seen. The noise is that of fixed batches
# without augmentation, which training has. The rescaling is done once, at the pruning; Johnson and Guestrin go on measuring.
#
# **What non-convexity has to do with it.** None of these tests shows that it is the cause, nor can they exclude it. [Page 06](06_convex_is_not_enough.ipynb) finds convex problems where
# LiPrune does not accelerate either; [page 08](08_hessian_norm.ipynb) finds that the norm is no Lipschitz constant on a ReLU network. Both are reasons that do not need it.
#
# **What would change the verdict.** On the loss: more seeds, or training at the paper's scale. On the noise: a setting in which LiPrune's lead is mostly that of the second term of
# {eq}`eq-step-noise`, such as a rate near the largest stable one. On batches: examples with large norms that are faster than random ones by more than the margin, at any
# rate that was also tuned for random pruning.
#
# ## What differs from the paper
#
# - The paper offers its explanations without a measurement on networks. Here each has a number, at reduced scale.
# - It scores batches. The example scores have eval-mode batch norm, since in train mode an image has no loss of its own.
# - It does not say at which point of training it would rescale the rate, nor by which estimate.
#
# ## Next
#
# [The verdict](14_verdict.ipynb) keeps the account of all claims.
