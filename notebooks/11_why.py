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
# # 11. Why does LiPrune not accelerate ResNets?

# %% tags=["remove-input"]
try:
    from liprune_utils.book import first_screen
except ModuleNotFoundError:
    raise SystemExit(
        "This page needs the kernel LiPrune, which `make book` installs."
    ) from None

first_screen.reserve("answer")

# %% tags=["remove-input"] mystnb={"figure": {"name": "fig-predicted-observed", "caption": "Change against random pruning when a fifth is kept. Left: excess loss of the paper's convex model after ten steps, with constants as spread (standard deviation over mean) as the Hessian norms of CIFAR-10; 99% intervals, hidden by the markers. Right: test error of a ResNet-14, averaged over the epochs after the pruning; 90% intervals over paired seeds."}, "image": {"alt": "Two panels with the same two rows, LiPrune's batches and the images with the largest norms. On the left both markers lie on the better side of zero, that of the images farther away. On the right the interval of the batches holds zero, and that of the images lies on the worse side."}}
first_screen.reserve("figure")

# %% [markdown]
# ## Run it yourself
#
# Change a value and run all cells: the linear model and the small live network change with it. The recorded runs stay as they are.
# [How to rerun a page](../book/rerun.md) has the details.

# %% tags=["parameters", "hide-cell"] mystnb={"code_prompt_show": "Parameters", "code_prompt_hide": "Parameters"}
slope: float = 1.0  # true slope w*, from -1000 to 1000, not 0; not in the paper
num_runs: int = 1000  # data sets of the linear model, from 100 to 100000
depth: int = 8  # depth of the live ResNet, 6n + 2 from 8 to 1202; paper: 14, 20
num_images: int = 640  # its training images, from two kept batches to 50000
num_test_images: int = 200  # its test images, from 1 to 10000
batch_size: int = 64  # images in each batch, from 2 to num_images; the paper: 128
num_epochs: int = 4  # its epochs, from 2 to 10000
prune_epoch: int = 3  # prune as this epoch starts, from 2 to num_epochs; paper: 1, 5
keep_fraction: float = 0.4  # fraction of batches kept, in (0, 1]; paper: 0.2, 0.5
learning_rate: float = 0.05  # step size of its SGD, in (0, 1]; the paper: 0.01, 0.1
seed: int = 0  # root of all random streams, from 0 to 2^63 - 1
results_dir: str = "reruns/11_why"  # folder for tables; made if missing

# %% tags=["hide-cell"] mystnb={"code_prompt_show": "Check of the parameters, imports", "code_prompt_hide": "Check of the parameters, imports"}
from experiments.why.runs import WhyParameters

parameters = WhyParameters.from_notebook(globals())

import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import torch
from IPython.display import HTML, Markdown
from torch.nn import functional

from experiments.cifar10.tables import control_difference
from experiments.why import figures, linear_noise, matched_spread, record, tables
from experiments.why.claims import asymptotic_claim, noise_claim, points_claim
from experiments.why.runs import live_dynamics
from liprune_utils import data, files
from liprune_utils.book import formats, register, style
from liprune_utils.grid import read_tables
from liprune_utils.images import fixed_batches
from liprune_utils.intervals import Estimate
from liprune_utils.training_run import Workspace, before_pruning

style.use_style()
folder, began = files.results_folder(results_dir), time.perf_counter()

# %% tags=["hide-input"]
recorded = files.PROJECT / "book" / "results"
long_curves, long_runs, _ = read_tables(recorded / "11_why", ["long"])
examples_folder = recorded / "10_other_scores"
example_curves, _, (sweep,) = read_tables(examples_folder, ["examples"])
followed, kept_facts, curves = (
    pd.read_csv(recorded / "11_why" / f"{name}.csv")
    for name in ("dynamics", "dynamics_kept", "dynamics_curves")
)
batch_norms = pd.read_csv(recorded / "08_hessian_norm" / "batch_norms.csv")
study = files.read_json(recorded / "11_why" / "dynamics_provenance.json")
dataset = data.load()
facts = {"data_source": dataset.source, "pixel_sha256": dataset.sha256}
files.write_json(folder / "provenance.json", files.provenance(**facts))

random_run, liprune_run = parameters.runs()
temporary = TemporaryDirectory()
workspace = Workspace(dataset, Path(temporary.name))
state = before_pruning(liprune_run, workspace)  # trains the network
random_kept, _ = record.kept_and_scores(random_run, state, workspace)
_, norms = record.kept_and_scores(liprune_run, state, workspace)
images, model = workspace.images(liprune_run), state.model.train()
Markdown(f"""**Where the numbers come from.** The recorded runs train a
ResNet-{study["depth"]} on {study["num_images"]:,} images of {study["data_source"]} and
prune at the start of epoch {study["prune_epoch"]}. Where nothing else is said they keep
{study["keep_fraction"]:.0%}. The ResNet-{depth} of the next cells is trained live, on
{num_images:,} images of {dataset.source}. The linear model is simulated.""")

# %% [markdown]
# ## What the paper claims
#
# Section 3 of [Ayed and Hayou (2022)](cite:ayed2022) says of the missing acceleration: "We conjecture that this is due to the non-convex nature of the loss
# landscape". Section 5 names two effects. Pruning changes the distribution of the data: "This typically results in a modification of the loss landscape." And it
# changes the dynamics: "In the convex setting, it is sufficient to reduce the stochastic gradient variance to converge faster", but in networks "the noise of the gradient
# plays a pivotal role".
#
# The strongest fair version: LiPrune speeds up each step, but in a network a worse loss at the end, or other noise, hides the gain. This page measures both effects, and
# a third one that the paper does not consider. The convex experiment pruned points, and the networks pruned batches of 128 images. A mean over 128 images
# hides most of what tells images apart. So the page also prunes single images (*examples*).
#
# ## The method in a few lines
#
# Two numbers describe what LiPrune's choice of batches changes: how much the batches' Hessian norms differ, and the variance of a batch's gradient. The
# folded cell has trained a small ResNet until the pruning, scored its batches by their Hessian norms, and drawn random batches. The variances of the two
# kept sets are measured at the same weights. Then the recorded study runs on this network, once with each kept set. It must find the same numbers, and start both
# times from the same weights.

# %%
batches = fixed_batches(num_images, batch_size, seed)
count = max(1, int(keep_fraction * len(batches) + 0.5))
largest = np.argsort(-norms, kind="stable")[:count]  # LiPrune: the largest norms
kept = {"random": random_kept, "liprune": [batches[k] for k in largest]}


def gradient(batch):
    loss = functional.cross_entropy(model(images.inputs[batch]), images.labels[batch])
    parts = torch.autograd.grad(loss, list(model.parameters()))
    return torch.cat([part.flatten() for part in parts]).double()


variance = {}
for method, chosen in kept.items():
    gradients = [gradient(batch) for batch in chosen if len(batch) == batch_size]
    variance[method] = torch.stack(gradients).var(dim=0).sum().item()

same_size = norms[: num_images // batch_size]
spread = same_size.std(ddof=1) / same_size.mean()

# %%
live = live_dynamics(dataset, parameters, Path(temporary.name))
temporary.cleanup()
start = live["dynamics"].groupby("arm").first()
for method, found in variance.items():
    np.testing.assert_allclose(found, start.kept_noise[method], rtol=1e-3)
described = live["dynamics_kept"].set_index("arm")
np.testing.assert_allclose(spread, described.score_sd["liprune"])
for name in ("all_noise", "sharpness", "full_set_loss", "test_error"):
    assert start[name].nunique() == 1, f"the two do not start alike: {name}"
print(f"spread of the norms (standard deviation over mean): {spread:.3f}")
print(f"variance, LiPrune over random: {variance['liprune'] / variance['random']:.3f}")

# %% [markdown]
# (points-and-batches)=
# ## Are batches too alike?
#
# In the paper's linear model the constant of a batch is its mean of $x^2$. Over batches of $B$ points it has the relative standard deviation
# $\sqrt{4/5}/\sqrt{B}$. So each spread has a batch size, and the linear model tells what LiPrune gains there. It keeps a fifth of 40 fixed batches and
# takes ten steps at the paper's rate, at [the spreads of CIFAR-10](fig-spread-worth) among others.
#
# What is this gain worth on CIFAR-10? In the linear model one step of LiPrune is worth a number of steps of random pruning, the `factor`. Random pruning's own
# curve of test errors, run faster by this factor, is a prediction for the network. It covers the epochs between the pruning and the first decay of the learning rate.

# %%
shifts = tables.shift_table(kept_facts)
spreads = tables.cifar_spreads(batch_norms, shifts)
spreads["batch_size"] = spreads.spread.map(matched_spread.matching_size)
sizes = sorted({*matched_spread.SIZES, *spreads.batch_size})
races = matched_spread.spread_table(sizes, num_runs, seed, slope)
assert races.z.max() < 5, "a simulated loss is far from its closed form"

columns = ["ratio", "ratio_low", "ratio_high", "steps", "num_runs"]
worth = spreads.join(races.set_index("batch_size")[columns], on="batch_size")
factors = dict(zip(("liprune", "hessian"), worth.steps[2:], strict=True))
epochs = {"start": study["prune_epoch"] - 1, "last": study["decay_epochs"][0] - 1}
prediction = tables.prediction_table(curves, factors, **epochs)

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-spread-worth", "caption": "What a spread of the constants is worth in the paper's linear model: excess loss of LiPrune over that of random pruning after ten steps with fixed batches, against the relative standard deviation of the batches' constants. Markers: simulated, with 99% intervals; line: exact given the inputs. Vertical lines: spread of the Hessian norms of CIFAR-10."}, "image": {"alt": "A curve that falls from near one at small spreads to near zero at the largest, with vertical lines at the spreads of CIFAR-10's batches, between a tenth and a fifth, and of its examples, far to the right."}}
figure = figures.spread_figure(races, spreads)

# %% tags=["hide-input"]
margin = register.margin("points-to-batches", "test_error")
examples = tables.example_table(example_curves)
own = examples[examples.arm == "hessian"]
gaps = [tables.seed_estimate(row) for _, row in own.iterrows()]
control = control_difference(example_curves)
predicted, observed, shortfall = (
    tables.seed_estimate(row) for _, row in prediction[:3].iterrows()
)
too_alike = False if predicted.high < 0 < shortfall.low else None
points, level = "points", tables.LEVEL
predicted, observed, shown, *by_fraction = (
    formats.difference(gap, points, level=level)
    for gap in (predicted, observed, control, *gaps)
)
spread_words = """Random pruning's error goes up and down too much in these epochs to
decide by it whether the batches are too alike."""
if too_alike is False:
    spread_words = "The network gains less: its batches are not too alike."
gain_words = f"a gain of more than {margin:g} point is not excluded."
if min(gap.low for gap in gaps) > -margin:
    gain_words = f"the intervals exclude a gain of more than {margin:g} point."
Markdown(f"""For LiPrune's batches the prediction is a test error {predicted} than that
of random pruning. What was observed in the same epochs is {observed}. Both are from
{prediction.num_seeds[0]} paired seeds. {spread_words}

Single images differ more than batches. With the images of largest norm kept, the mean
test error after the pruning is {by_fraction[0]} than with random images where
{own.keep_fraction.iloc[0]:.0%} are kept, and {by_fraction[1]} where
{own.keep_fraction.iloc[1]:.0%} are kept ({gaps[0].num_runs} paired seeds): {gain_words}
The same runs do see a difference between random sets: with more kept it is {shown}.""")

# %% [markdown]
# (noise-and-speed)=
# ## Is it the noise?
#
# Near the weights $w$ of one step, let the gradient of a batch have mean $G$ and variance $V$. In the linear model, with $e = w - w^*$, a step leaves
#
# $$
# \mathbb{E}\,(e^+)^2 = (e - \eta G)^2 + \eta^2 V .
# $$ (eq-step-noise)
#
# Importance sampling with the weights $1/(n p_i)$ keeps $G$ and lowers $V$. LiPrune drops the weights and changes both.
# Equation [above](eq-step-noise) splits LiPrune's lead over random pruning in one step, from the same weights, into the part of the mean step and the part of the noise.
# The weights are at distances from $w^*$ that the runs of the paper's setting pass within their 30 steps.
#
# The paper points to a remedy: "In Johnson and Guestrin [2018], for example, a key component of the method is to adapt the learning rate by rescaling it by the
# inverse of the estimated gradient noise reduction." [They](cite:johnson2018) multiply the rate by
# $\mathbb{E}\|g_{\text{random}}\|^2 / \mathbb{E}\|g\|^2$. The recorded study also trains with this rate from the pruning on, with the ratio measured at that moment.

# %%
linear = linear_noise.noise_table(num_runs, seed, slope)
steps = linear[linear.method == "liprune"]
typical = [
    linear_noise.typical_noise(row.error, row.keep_fraction, "liprune", slope)
    / linear_noise.typical_noise(row.error, row.keep_fraction, "random", slope)
    for row in steps.itertuples()
]
worst = np.abs(steps.noise / typical - 1).max()
assert worst < 0.1, "a variance is far from its closed form"
print(f"{len(steps)} ratios; the farthest is {worst:.1%} from its closed form")

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-linear-noise", "caption": "The paper's linear model, batch size 10, rate 0.01: LiPrune over random pruning at the same weights, against the distance to the true slope; training goes from left to right. Left: variance of the batch's gradient. Right: mean squared error after one step, below 1 where LiPrune's step is the better one. Bars, mostly hidden by the markers: 99% intervals over data sets."}, "image": {"alt": "Two panels, a line for each fraction kept. On the left the ratio of variances starts below one, crosses one at a tenth of the first distance and ends above one. On the right the ratio of errors is flat and below one, and rises towards one only at the end."}}
figure = figures.linear_noise_figure(linear)

# %% tags=["hide-input"]
first = linear[linear.error == linear.error.max()].set_index("method")
faster = steps[steps.left_high < 1]
noisier = faster[faster.noise_low > 1]
liprune = first.loc["liprune"]
least, most, largest_ratio, share = (
    formats.number(value, 2)
    for value in (
        liprune.noise.min(),
        liprune.noise.max(),
        noisier.noise.max(),
        100 * liprune.share.max(),
    )
)
left = formats.number(first.left["unbiased"].min(), 4)
matched = tables.matched_noise(followed)
ratios = matched[matched.measure == "kept_noise"].set_index("method")
noise = {arm: tables.seed_estimate(ratios.loc[arm], "ratio") for arm in ratios.index}
Markdown(f"""At the first distance LiPrune's gradient has {least} to {most} times the
variance of random pruning's. At most {share}% of LiPrune's lead in that step is due to
the variance; the rest is the longer mean step. In {len(noisier)} of the {len(faster)}
cases in which LiPrune's step is better its variance is larger, by up to {largest_ratio}
times. Importance sampling changes nothing but the variance, and leaves at least {left}
times the error that random pruning leaves.

**On CIFAR-10**, at the weights of the pruning, the variance over LiPrune's batches is
{formats.relative(noise["liprune"])} than over random batches. Over batches of the
images with the largest norms it is {formats.relative(noise["hessian"])}. Each is from
{noise["liprune"].num_runs} paired seeds.""")

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-dynamics", "caption": "After the pruning at the start of epoch 5, recorded: ResNet-14, a fifth kept, paired seeds (thin) and their mean (thick). Noise is the trace of the covariance of a batch's gradient, train-mode batch norm, no augmentation, over the kept batches (at the weights of each method) and over all batches. Sharpness is the largest Hessian norm of three fixed batches. Rescaled: the learning rate is multiplied by the inverse growth of the gradient's second moment."}, "image": {"alt": "Four panels on logarithmic scales against epochs done, five methods each: noise over the kept batches, noise over all batches, sharpness, and loss of all images. All methods start from the same weights, so that all panels but the first begin in one point for each seed."}}
figure = figures.dynamics_figure(followed)

# %% tags=["hide-input"]
remedy = tables.remedy_table(curves, study["prune_epoch"])
changes = remedy.set_index(["arm", "against"])
scales = kept_facts.groupby("arm").rate_factor.agg(["min", "max"])
names = {"liprune": "LiPrune's batches", "hessian": "the images of largest norm"}
sentences = []
for arm, name in names.items():
    low, high = (formats.number(scale, 2) for scale in scales.loc[arm])
    rows = changes.loc[f"{arm} rescaled"].loc[[arm, "random"]].iterrows()
    against_own, against_random = (
        formats.difference(tables.seed_estimate(row), points, level=level)
        for _, row in rows
    )
    sentences.append(f"""For {name} the remedy multiplies the rate by {low} to {high}.
The mean test error after the pruning is then {against_own} than at the unchanged rate,
and {against_random} than that of random pruning.""")
sentences.append(f"Each difference is from {remedy.num_seeds.min()} paired seeds.")
Markdown("\n\n".join(sentences))

# %% [markdown]
# (where-training-ends)=
# ## Does pruning change where training ends?
#
# "In essence, any pruning algorithm aims to find a better subset than random pruning; therefore, it transforms the data distribution". The paper shows it on the
# [sine model](07_sine_model.ipynb). Here networks are trained five times as long as in the other small runs of this book, until the loss of the kept images is near its
# bottom. Then the loss of *all* training images is measured.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-long", "caption": "Long training on a fifth of the images, recorded; ResNet-14, paired seeds. Left: test error by epoch, thin lines are seeds, thick lines their mean. Right: mean cross-entropy after the last epoch, on the kept images and on all training images, without augmentation; each line is a run."}, "image": {"alt": "Two panels. On the left, test error in per cent against epoch for random pruning, LiPrune's batches and the examples with the largest norms, falling where the learning rate falls. On the right, a line for each run joins its loss on the kept images to its much larger loss on all."}}
figure = figures.long_figure(long_curves, long_runs)

# %% tags=["hide-input"]
losses = tables.loss_table(long_runs)
by_measure = losses.set_index(["measure", "arm"])
means = shifts.pivot(index="arm", columns="statistic", values="mean")
full, error = (
    {
        arm: formats.difference(tables.seed_estimate(by_measure.loc[name, arm]), unit)
        for arm in names
    }
    for name, unit in {"full_set_loss": "nats", "test_error": points}.items()
)
Markdown(f"""The loss of all images at the end, against that of random pruning, is
{full["liprune"]} for LiPrune's batches and {full["hessian"]} for the images of largest
norm; {losses.num_seeds.min()} paired seeds. The test error is {error["liprune"]} and
{error["hessian"]}.

At the pruning, the mean loss of the kept images is
{means.loss_ratio["random"]:.2f} (random batches), {means.loss_ratio["liprune"]:.2f}
(LiPrune's batches) and {means.loss_ratio["hessian"]:.2f} (images of largest norm) times
that of all images. The shares of the classes are off by
{means.class_shift["random"]:.2f}, {means.class_shift["liprune"]:.2f} and
{means.class_shift["hessian"]:.2f} (total variation distance; the first is chance).""")

# %% [markdown]
# ## The verdict
#
# The answers for the linear model are exact up to simulation and hold for that model. Those for networks rest on few seeds that share their images, one depth, one rate and a
# tenth of CIFAR-10. An effect smaller than such an interval would not be seen, and other images are not covered. The noise is that of fixed batches without
# augmentation, which training has. None of these tests shows that non-convexity is the cause, and none excludes it. Two reasons do not need it: on
# [some convex problems](06_convex_is_not_enough.ipynb) LiPrune does not accelerate either, and on a ReLU network the [Hessian norm is no Lipschitz
# constant](08_hessian_norm.ipynb).

# %% tags=["hide-input"]
convex = [Estimate.of(row, "ratio") for row in worth.itertuples()]
cost = time.perf_counter() - began
outcomes = [
    asymptotic_claim(losses, cost=float(long_runs.seconds.sum())),
    noise_claim(linear, matched, examples, cost=cost),
    points_claim(examples, control, convex, cost=sweep["seconds"]),
]
register.write_claims(folder, outcomes)
written = {"losses": losses, "shifts": shifts, "matched": matched, "remedy": remedy}
written |= {"examples": examples, "spreads": spreads, "races": races, "linear": linear}
for name, table in (
    written | {"prediction": prediction, "live": live["dynamics"]}
).items():
    files.write_table(folder, name, table)
HTML(formats.claims_html(register.claims_table(outcomes)))

# %% [markdown]
# **What differs from the paper.** The paper offers its explanations without a measurement on networks. It scores batches; the scores of single images have eval-mode batch norm,
# since in train mode an image has no loss of its own. It does not say at which point of training it would rescale the rate, nor by which estimate. Johnson and Guestrin go
# on measuring; here the rate is rescaled once.
#
# **Tables.** [Losses after long training](../results/11_why/losses.csv), [how the kept images differ](../results/11_why/shifts.csv),
# [noise in the linear model](../results/11_why/linear.csv) and [at the pruning](../results/11_why/matched.csv), [the rescaled rates](../results/11_why/remedy.csv),
# [spreads of CIFAR-10](../results/11_why/spreads.csv), [what they are worth](../results/11_why/races.csv), [predicted and observed](../results/11_why/prediction.csv),
# [batches and single images](../results/11_why/examples.csv), [the live study](../results/11_why/live.csv).
# Recorded: long training ([curves](../book/results/11_why/long_curves.csv), [runs](../book/results/11_why/long_runs.csv),
# [provenance](../book/results/11_why/long_provenance.json)), the dynamics ([measured](../book/results/11_why/dynamics.csv),
# [the kept](../book/results/11_why/dynamics_kept.csv), [curves](../book/results/11_why/dynamics_curves.csv),
# [provenance](../book/results/11_why/dynamics_provenance.json)), [pruning by examples](../book/results/10_other_scores/examples_curves.csv),
# [norms of batches](../book/results/08_hessian_norm/batch_norms.csv).
#
# **Next.** [The library on your own data](13_your_problem.ipynb)

# %% tags=["remove-input"]
seen = {
    "batches are too alike": too_alike,
    "pruning makes the gradient noisier": noise["liprune"].low > 1 or None,
    "pruning changes the loss at the end": outcomes[0].verdict == "holds" or None,
}
shown = [what for what, answer in seen.items() if answer]
undecided = [what for what, answer in seen.items() if answer is None]
lead = f"In part because {' and '.join(shown)}." if shown else "The cause is not found."
closing = (
    f"The runs do not tell whether {', or '.join(undecided)}." if undecided else ""
)
first_screen.fill(
    f"""**{lead}** In the convex model, with constants as different as the Hessian norms
of CIFAR-10's batches, LiPrune's excess loss after ten steps is
{formats.relative(convex[2])} than that of random pruning, over {num_runs:,} simulated
data sets. Single images differ more than batches. With those of the largest norms kept,
the test error of a ResNet on CIFAR-10 is {by_fraction[0]} than with random images, from
{gaps[0].num_runs} paired seeds. {closing}""",
    figures.answer_figure(
        tables.predicted_changes(worth),
        examples[examples.keep_fraction == study["keep_fraction"]],
    ),
)
