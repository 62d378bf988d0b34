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
# # Is the Hessian norm the Lipschitz constant, and what does it cost?
#
# ## Overview
#
# **Claims** (Section 3 of {cite:t}`ayed2022`): "locally, we have that $\|\nabla_w f_i(w') - \nabla_w f_i(w)\|$ $\leq \|\nabla^2 f_i(w)\| \|w' - w\|$, and the constant
# $\|\nabla^2 f_i(w)\|$ is tight"; and of the norm, "This cannot be performed for each example $(x_i, y_i)$ in the dataset."
#
# **Answer.** {glue:text}`answer`
#
# **Cost.** {glue:text}`cost`
#
# On networks, LiPrune stands on one number for each batch: the largest $|\lambda|$ of the Hessian of its mean loss. This page asks whether that number is
# what LiPrune takes it for, how much it differs between batches, how stable their ranking is, and what it costs. The secants and the cost of single
# examples are measured live; the norms of all batches of CIFAR-10 were recorded.

# %% tags=["parameters"]
depth: int = 8  # depth of the ResNets whose secants are measured, 6n + 2 from 8 to 1202
num_images: int = 1280  # training images, from 128 to 50000; no last batch of one
num_epochs: int = 4  # epochs of their training, from 1 to 10000
learning_rate: float = 0.1  # step size of their training, in (0, 1]
probe_size: int = 32  # images in the batch whose gradients are compared, from 2 to 128
num_random: int = 2  # random directions, from 1 to 1000
num_checked: int = 2  # recorded batches that are scored again, from 1 to 391
num_chunks: int = 5  # samples of examples, scored at each stage of training, from 2 to 1000
chunk_size: int = 32  # examples in each sample, from 1 to 1000
tolerance: float = 0.01  # relative accuracy of an example's norm, in (0, 1)
seed: int = 0  # seed of networks and directions, from 0 to 2^63 - 1
results_dir: str = "reruns/08_hessian_norm"  # folder for tables; made if missing

# %%
from experiments.hessian_norm.runs import HessianParameters

parameters = HessianParameters.from_notebook(globals())

# %% tags=["hide-input"]
import time

import pandas as pd
import torch
from IPython.display import HTML
from myst_nb import glue

from experiments.hessian_norm import claims, figures, runs, tables
from experiments.hessian_norm.record import RECIPE, RECORDED, recorded_network
from liprune_utils import data, files
from liprune_utils.book import formats, frames, register, style
from liprune_utils.images import make_images

style.use_style()
folder = files.results_folder(results_dir)
dataset = data.load()
files.write_json(
    folder / "provenance.json",
    files.provenance(data_source=dataset.source, pixel_sha256=dataset.sha256),
)
HTML(data.banner(dataset))

# %% [markdown]
# ## Is the constant tight?
#
# Where $f$ is smooth, the gradient's change over a short distance $\epsilon$ along a unit vector $v$ is $\epsilon \|\nabla^2 f(w)\, v\|$ and a little more. So
#
# $$\frac{\|\nabla f(w + \epsilon v) - \nabla f(w)\|}{\epsilon\, \|\nabla^2 f(w)\|} \tag{secant}$$
#
# should stay below 1 for every direction, and reach it along the top eigenvector. We measure it in double precision on one batch, for a network with the
# ReLU of the paper's ResNets and for the same architecture with a smooth activation, softplus.

# %%
began = time.perf_counter()
images = make_images(dataset, RECIPE.num_images, RECIPE.num_test_images)
secants = runs.probe_networks(images, parameters)
files.write_table(folder, "secants", secants)
tight = claims.tight_claim(secants, cost=time.perf_counter() - began)

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-secants", "caption": "Change of the gradient over a distance, in units of distance times Hessian norm, for a ResNet with ReLU (above) and with softplus (below). With softplus the top eigenvector reaches 1 and nothing exceeds it by more than rounding or curvature of higher order. With ReLU the ratio grows as the distance shrinks, roughly as its inverse square root, until no unit switches any more."}, "image": {"alt": "Four panels of secant over Hessian norm against distance, both logarithmic. In the two softplus panels all lines are flat at short distances, the eigenvector's at one. In the two ReLU panels the lines rise towards shorter distances, far above one, and fall back at the shortest."}}
figure = figures.secants_figure(secants)

# %% [markdown]
# ReLU's gradient is not Lipschitz at all. Each unit that switches on or off between $w$ and $w'$ makes the gradient jump by an amount that does not shrink
# with the distance. The number of switching units is proportional to the distance, their jumps have no common direction and add up as a random walk does,
# so the gradient's change falls only as $\sqrt{\epsilon}$, and the secant grows as $1/\sqrt{\epsilon}$. Once no unit switches, the secant drops to the
# Hessian's value. The Hessian at a point sees the smooth part alone.

# %%
switches = secants[(secants.activation == "relu") & (secants.direction == "eigenvector")]
switches = switches[["epochs", "distance", "num_switched", "secant", "tangent", "ratio"]]
exponent = tables.switching_exponent(secants)
glue("exponent", formats.estimated(exponent, "lines"), display=False)
switches.style.hide().format("{:.3g}")

# %% [markdown]
# Where at least ten units switch, the ReLU secants go as the distance to the power {glue:text}`exponent` (99% interval over the lines of two networks); a
# random walk of jumps gives minus one half. For LiPrune this means: on a ReLU network no constant bounds the gradient's change, the theory of Section 2 does
# not apply, and the Hessian norm is the curvature of the smooth part, blind to the kinks that a step of SGD crosses.
#
# ## How much do batches differ?
#
# LiPrune can act only on differences. The recorded study scores all batches of CIFAR-10 with a ResNet-14 before training and at the start of the fifth epoch.

# %%
recorded = pd.read_csv(files.PROJECT / RECORDED / "batch_norms.csv")
whole = recorded[recorded.batch_size == RECIPE.batch_size]
everything = whole[(whole.seed == 0) & (whole.batch_norm == "train")]
by_epoch = tables.spreads(everything, ["epoch"])
files.write_table(folder, "spread_by_epoch", by_epoch)
by_epoch.drop(columns="gain").style.hide().format("{:.3g}")

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-all-norms", "caption": "Dominant Hessian eigenvalue of each of the 391 batches of CIFAR-10, sorted, before training (left) and at the start of the fifth epoch (right), recorded. The scales differ: training shrinks the norm, and turns the dominant eigenvalue from negative to positive."}, "image": {"alt": "Two panels with the sorted dominant eigenvalues of all batches. Before training they are negative; at the start of epoch five they are positive and much smaller."}}
figure = figures.eigenvalues_figure(everything[everything.epoch.isin([1, 5])])

# %% [markdown]
# Averaging over a batch takes differences away. If the norm were a mean over independent images, its spread would fall as $1/\sqrt{B}$.

# %%
sizes = recorded[
    (recorded.seed == 0) & (recorded.batch_norm == "train") & recorded.epoch.isin([1, 5])
]
by_size = tables.spreads(sizes, ["epoch", "batch_size"])
files.write_table(folder, "spread_by_size", by_size)
exponents = {epoch: tables.spread_exponent(rows) for epoch, rows in sizes.groupby("epoch")}
before, after = by_epoch[by_epoch.epoch.isin([1, 5])].itertuples()
assert all(exponent.high < 0 for exponent in exponents.values()), "larger batches differ more"
assert max(before.gain, after.gain) < 1.5, "the kept fifth's norms are far above the mean"
for stage, row in {"before": before, "after": after}.items():
    glue(f"exponent-{stage}", formats.estimated(exponents[row.epoch], "batches"), display=False)
    glue(f"sd-{stage}", f"{row.relative_sd:.1%}", display=False)
    glue(f"gain-{stage}", formats.number(row.gain), display=False)

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-norm-spread", "caption": "Standard deviation of the batches' Hessian norms in units of their mean, against batch size, recorded; bars are 99% bootstrap intervals. The dotted lines fall as one over the square root of the batch size from the leftmost point."}, "image": {"alt": "Relative spread of Hessian norms against batch size on logarithmic axes, a line for each of two stages of training, both falling, with dotted reference lines."}}
figure = figures.spread_figure(by_size)

# %% [markdown]
# The exponent is {glue:text}`exponent-before` before training and {glue:text}`exponent-after` at the start of epoch 5. At the paper's 128 images per batch the
# norms still differ, by {glue:text}`sd-before` and {glue:text}`sd-after` in standard deviation; but the mean norm of the fifth that LiPrune would keep is only
# {glue:text}`gain-before` and {glue:text}`gain-after` times that of all.
#
# ## How stable is the ranking?
#
# LiPrune prunes once, at a chosen epoch, with one network. If another initialisation, another epoch or another mode of batch norm ranks the batches otherwise,
# the score says little about the batch itself. The slider moves through one training; its horizontal axis keeps the order that the batches had before.

# %%
compared = whole[whole.batch < 32]
agreements = tables.agreements(compared, (1, 5))
files.write_table(folder, "agreements", agreements)

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-agreement", "caption": "Rank correlation between two rankings of the same thirty-two batches by their Hessian norm: with networks of other seeds, at earlier epochs of one training, and between the two modes of batch norm; recorded, bars are 99% bootstrap intervals."}, "image": {"alt": "Rank correlations with intervals, one row a comparison, in three groups: seeds, training, batch norm."}}
figure = figures.agreement_figure(agreements)

# %% tags=["hide-input"]
one = compared[(compared.seed == 0) & (compared.batch_norm == "train")]
frames.frame_browser(
    lambda epoch: figures.training_frame(one, epoch),
    sorted(one.epoch.unique()),
    describe=lambda epoch: (
        f"Hessian norm over the mean norm of each batch at the start of epoch {epoch}, in the order before training; those that LiPrune would keep stand out."
    ),
    name="start of epoch",
)

# %% tags=["hide-input"]
columns = ["comparison", "num_batches", "correlation", "low", "high", "overlap", "chance"]
agreements[columns].style.hide().format("{:.2f}", subset=columns[2:])

# %%
trained_mode = compared[(compared.batch_norm == "train") & compared.epoch.isin([1, 5])]
by_seed = tables.spreads(trained_mode, ["epoch", "seed"])
files.write_table(folder, "spread_by_seed", by_seed)
by_seed.drop(columns="gain").style.hide().format("{:.3g}")

# %% tags=["hide-input"]
fold = by_seed.groupby("epoch").mean_norm.agg(lambda means: means.max() / means.min())
signs = by_seed.groupby("epoch")[["num_negative", "num_batches"]].sum()
negative = signs.num_negative / signs.num_batches
assert fold[1] > fold[5], "initialisations differ less than trained networks"
assert negative[1] > 0.9, "before training many dominant eigenvalues are positive"
for stage, epoch in {"before": 1, "after": 5}.items():
    glue(f"fold-{stage}", formats.number(fold[epoch], 2), display=False)
    counts = f"{signs.num_negative[epoch]} of {signs.num_batches[epoch]}"
    glue(f"negative-{stage}", counts, display=False)

# %% [markdown]
# The mean norm itself differs {glue:text}`fold-before`-fold between three initialisations, and {glue:text}`fold-after`-fold at the start of epoch 5. Before training
# {glue:text}`negative-before` dominant eigenvalues are negative, then {glue:text}`negative-after`.
#
# ## What does it cost?
#
# ### A batch
#
# This book's engine takes few products, and each costs little more than two gradients (`benchmarks/hessian_product.py`): batch norm's second derivative is written
# out, each search starts from what was found for the batch before, and it stops when the estimated error is small enough. In the record, over all seeds, without the first batch of each search, which starts cold:

# %%
products = whole[(whole.batch > 0) & whole.epoch.isin([1, 5])].groupby(["epoch", "batch_norm"])
products = products.num_products.agg(["count", "mean", "max"]).reset_index()
products.style.hide().format({"mean": "{:.2f}"})

# %% [markdown]
# How does that compare with other libraries? One process scored the same batches of CIFAR-10 with each in turn, with a ResNet-20 in train mode, before training and after
# two epochs (recorded). *Accurate* and *ranking* are this library, which stops at an estimated error of a thousandth and of three hundredths. The reference is a
# cold search in double precision. Both cores did other work during part of the second stage; the ratios are taken batch by batch, which spreads it over all methods,
# and their ranges show it. *Overlap* is the share of rightly kept batches
# where all thirty were scored, averaged over the fractions kept from a tenth to nine tenths. It is what ranking mode is for: its single errors may exceed the three hundredths,
# since an estimated error is no bound.

# %%
benchmark = pd.read_csv(files.PROJECT / RECORDED / "benchmark.csv")
summary = tables.summarise_benchmark(benchmark)
files.write_table(folder, "benchmark_summary", summary)
summary.style.hide().format("{:.3g}", subset=summary.columns[2:], na_rep="")

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-peers", "caption": "Worst relative error against median time for the Hessian norm of a batch of 128 images, ResNet-20, recorded on two cores: this library in its two modes, three other libraries, and plain power iteration; before training (left) and after two epochs (right)."}, "image": {"alt": "Two panels of worst relative error against seconds a batch, both logarithmic, a marker for each method. This library's two modes are the fastest."}}
figure = figures.peers_figure(summary[summary.method != "reference"])

# %%
modes = ("accurate", "ranking")
faster = [tables.times_faster(benchmark, mode).assign(mode=mode) for mode in modes]
faster = pd.concat(faster, ignore_index=True)
files.write_table(folder, "benchmark_ratios", faster)
faster.style.hide().format("{:.1f}", subset=["median", "min", "max"])

# %% [markdown]
# ### Every example
#
# The paper restricts itself to batches because of the cost. Here each example has weights and a vector of its own in one vectorised product. We score random samples
# with the recorded ResNet-14 and time them against gradients of a training batch, in turns. One gradient of every example is an epoch of training, so the ratio is the cost in epochs.

# %%
stages = {0: recorded_network(1), 4: recorded_network(5)}
costs = [
    runs.example_costs(model, images, parameters).assign(epochs=epochs)
    for epochs, model in stages.items()
]
costs = pd.concat(costs, ignore_index=True)
files.write_table(folder, "example_costs", costs)
costs.style.hide().format("{:.3g}")

# %%
spent = time.perf_counter() - began
costly = claims.cost_claim(costs, is_cifar10=dataset.is_cifar10, cost=spent)
register.write_claims(folder, [tight, costly])
table = register.verdict_table(folder.parent)
table = table[table.id.isin([tight.id, costly.id])]
HTML(formats.claims_html(table))

# %% [markdown]
# ## Check: the recorded norms, again
#
# The first batches of the record are scored once more, with the recorded network, from a random start instead of a warm one and a hundred times as exactly.
# Where the data are those of the record, the two must agree within the recorded error or a thousandth. (Page 09 checks the engine against ARPACK on
# products by another route of differentiation.)

# %%
again = runs.recheck(images, everything, num_checked)
source = files.read_provenance(files.PROJECT / "book" / "results", "08_hessian_norm")
assert dataset.sha256 != source["pixel_sha256"] or again.agrees.all(), again
again.style.hide().format(precision=4)

# %% tags=["hide-input"]
worst = tables.worst_ratios(secants).set_index("activation").highest
seeds = agreements[agreements.kind == "seeds"].correlation
smooth, near = worst["softplus"].max(), register.margin("hessian-tight", "distance")
lowest, highest = map(formats.number, (worst["relu"].min(), worst["relu"].max()))
ranks = [formats.number(value, 2) for value in (seeds.min(), seeds.max())]
glue(
    "answer",
    f"The constant is tight for a smooth activation and not for ReLU "
    f"({formats.words(tight.verdict)}): up to a distance of {near:g} the gradient of a softplus "
    f"network changes at most {smooth:.3f} times as fast as the Hessian norm says, that of a ReLU "
    f"network {lowest} to {highest} times. Batches of {RECIPE.batch_size} differ by "
    f"{before.relative_sd:.1%} before training and {after.relative_sd:.1%} at epoch 5 (standard "
    f"deviation, n = {before.num_batches} each), and networks of different seeds rank them with "
    f"a correlation of {ranks[0]} to {ranks[1]} (n = {agreements.num_batches.iloc[0]} batches "
    f"each). Scoring every single example costs {formats.number(costly.estimate)} epochs of "
    f"training [{formats.number(costly.low)}, {formats.number(costly.high)}], n = "
    f"{costly.num_runs} samples of {chunk_size}: the second claim {formats.words(costly.verdict)}.",
    display=False,
)
glue(
    "cost",
    f"{time.perf_counter() - began:.0f} seconds live on {torch.get_num_threads()} cores.",
    display=False,
)

# %% [markdown]
# {download}`Secants <../results/08_hessian_norm/secants.csv>`, {download}`spread by epoch <../results/08_hessian_norm/spread_by_epoch.csv>` and
# {download}`by batch size <../results/08_hessian_norm/spread_by_size.csv>`, {download}`by seed
# <../results/08_hessian_norm/spread_by_seed.csv>`, {download}`agreement of rankings <../results/08_hessian_norm/agreements.csv>`,
# {download}`cost of single examples <../results/08_hessian_norm/example_costs.csv>`, comparison with other libraries
# ({download}`summary <../results/08_hessian_norm/benchmark_summary.csv>`, {download}`times faster <../results/08_hessian_norm/benchmark_ratios.csv>`). Recorded:
# {download}`every batch of the comparison <../book/results/08_hessian_norm/benchmark.csv>` with its {download}`provenance
# <../book/results/08_hessian_norm/benchmark.json>`, {download}`all norms <../book/results/08_hessian_norm/batch_norms.csv>`
# with their {download}`provenance <../book/results/08_hessian_norm/provenance.json>`, {download}`the network at epoch 5 <../book/results/08_hessian_norm/resnet14_seed0_epoch5.pt>`.
#
# ## What differs from the paper
#
# - The paper states the inequality for $w'$ near $w$ and a loss with a second derivative. Its ResNets have ReLU, and their loss has none where a unit switches.
# - It scores batches and does not say in which mode of batch norm; here it is train mode, as in training, and {numref}`fig-agreement` says what eval mode would change.
# - It gives no spread, no sign and no cost. Before training, in train mode, the dominant eigenvalue is negative for nearly all batches ({numref}`fig-all-norms`): LiPrune then
#   ranks by the most negative curvature.
# - The live networks are small and trained briefly; the recorded one is a ResNet-14 trained for four epochs of all images. Longer training, ResNet-20 and other
#   rates are not covered.
# - Recorded norms rest on the source of data that their provenance names.
#
# ## Next
#
# [CIFAR-10](09_cifar10.ipynb) uses these norms to prune. The scripts behind the records are `python -m experiments.hessian_norm.record` and `benchmarks/hessian_norm.py`.
