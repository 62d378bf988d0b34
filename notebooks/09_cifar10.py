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
# # Does LiPrune accelerate a ResNet on CIFAR-10?
#
# ## Overview
#
# **Claim** (Section 4.2 of {cite:t}`ayed2022`): "there is no (training acceleration) advantage of using LiPrune (in the current form of batch
# pruning) instead of random pruning."
#
# **Answer.** {glue:text}`answer`
#
# **How far it goes.** {glue:text}`answer-more`
#
# **Cost.** {glue:text}`cost`
#
# The functions are now the mean losses of fixed batches of 128 images. LiPrune estimates the Lipschitz constant of each by the norm of its
# Hessian at the current weights, $\|\nabla^2 f_i(w)\|$, and keeps the batches with the largest. The paper trains ResNets of two depths at two rates, keeps two
# fractions, prunes at two epochs, and shows one curve each. This page decides the claim from a recorded grid with all these cells, reduced in images and
# epochs, and repeated with paired seeds. Then it runs a much smaller grid live, to show that the machinery works.

# %% tags=["parameters"]
depths: list = [14]  # ResNet depths, each 6n + 2, from 8 to 1202; the paper: 14 and 20
keep_fractions: list = [0.2, 0.5]  # fractions kept, each in (0, 1]; the paper: 0.2 and 0.5
prune_epochs: list = [2]  # prune at the start of these, from 1 to num_epochs; the paper: 1 and 5
learning_rates: list = [0.01]  # step sizes of SGD, each in (0, 1]; the paper: 0.01 and 0.1
decay_epochs: list = []  # the rate falls tenfold at these, each from 1; the paper: 80 and 120
num_epochs: int = 3  # passes over the kept batches, from 1 to 10000; the paper: 164
num_images: int = 1024  # training images, from 2 to 50000; the paper: 50000
num_test_images: int = 500  # test images, from 1 to 10000; the paper: 10000
batch_size: int = 128  # images in each fixed batch, from 2 to num_images; the paper: 128
momentum: float = 0.9  # momentum of SGD, in [0, 1); the paper does not say
weight_decay: float = 1e-4  # weight decay of SGD, from 0 to 1; the paper does not say
augment: bool = True  # True or False: crop and flip in training; the paper does not say
precision: str = "float32"  # "float32", or "bfloat16" (mixed); the paper does not say
num_seeds: int = 2  # paired repetitions, from 2 to 1000; the paper shows one curve
tolerance: float = 0.1  # relative accuracy of a batch's Hessian norm, in (0, 1)
results_dir: str = "reruns/09_cifar10"  # folder for tables; made if missing

# %%
from experiments.cifar10.runs import CifarParameters

parameters = CifarParameters.from_notebook(globals())

# %% tags=["hide-input"]
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import torch
from IPython.display import HTML, display
from myst_nb import glue
from scipy.sparse.linalg import eigsh
from torch.nn import functional

from experiments.cifar10 import claims, figures, tables
from experiments.cifar10.runs import score_networks, train_all
from liprune_utils import data, files
from liprune_utils.book import formats, frames, register, style
from liprune_utils.curvature import hessian_norm, hessian_operator
from liprune_utils.grid import read_tables
from liprune_utils.images import fixed_batches
from liprune_utils.intervals import components
from liprune_utils.training import initial_network
from liprune_utils.training_run import Workspace

style.use_style()
folder = files.results_folder(results_dir)
recorded = files.PROJECT / "book" / "results" / "09_cifar10"
dataset = data.load()
facts = files.provenance(data_source=dataset.source, pixel_sha256=dataset.sha256)
files.write_json(folder / "provenance.json", facts)
HTML(data.banner(dataset))

# %% [markdown]
# ## The recorded grid
#
# {glue:text}`grid-words`
#
# LiPrune and random pruning share images, batches, initialisation, augmentation and the order in which positions of the
# kept list are visited. They differ in which batches stand there. After pruning, an epoch is one pass over the kept batches, so that at each epoch the
# two have made the same number of updates, and fewer than without pruning.
#
# Before the pruning the two runs of a pair are one and the same. Their difference is therefore taken from the pruning on: the epochs before would only dilute
# it. It is measured in two ways, as the register asks: the *mean test error over the epochs*, and the *epochs to a threshold*, which for each pair is the best test
# error that both runs reach.
#
# The last batch is smaller than the others where the images do not fill it. It is scored and ranked like them. A mean over fewer images
# varies more, so that LiPrune may keep this batch more often than chance would, and then trains on fewer images. The reduced grid therefore takes as many images as fill
# its batches; the overview counts the pairs, if any, that kept different numbers of images.

# %%
reduced, runs, grids = read_tables(recorded, ["reduced14", "reduced20"])
late, late_runs, late_grids = read_tables(recorded, ["prune15"])
grid, late_grid = grids[0], late_grids[0]
whole, whole_runs, (whole_grid,) = read_tables(recorded, ["paper_cell"])
cost, late_cost, whole_cost = (table.seconds.sum() for table in (runs, late_runs, whole_runs))
outcomes = claims.recorded_claims(reduced, cost=cost)
outcomes.append(claims.late_claim(reduced, late, cost=cost + late_cost))
register.write_claims(folder, outcomes)
effects = tables.effect_table(reduced)
files.write_table(folder, "effects", effects)

# %% tags=["hide-input"]
table = register.verdict_table(folder.parent)
table = table[table.id.isin([claim.id for claim in outcomes])]
glue(
    "grid-words",
    f"{len(runs)} runs with {reduced.seed.nunique()} paired seeds, of ResNets of depth {' and '.join(map(str, runs.depth.unique()))}, on {grid['num_images']:,} training and "
    f"{grid['num_test_images']:,} test images of {grid['data_source']}, {grid['num_epochs']} epochs, the rate divided by ten at epochs {' and '.join(map(str, grid['decay_epochs']))}, "
    f"{grid['precision']}; then {len(late_runs)} runs of {late_grid['num_epochs']} epochs that prune at epoch {late.prune_epoch.max()}, a fifth kept; and {len(whole_runs)} at the paper's scale, "
    f"{whole_grid['num_images']:,} images and {whole_grid['num_epochs']} epochs. Computed on {grid['device']}, {grid['threads']} thread a run, {(cost + late_cost + whole_cost) / 3600:.1f} hours in all; "
    f"code at {', '.join(sorted({g['commit'] for g in [*grids, late_grid, whole_grid]}))}.",
    display=False,
)
HTML(formats.claims_html(table))

# %% [markdown]
# "Measured" is LiPrune minus random pruning in points of test error, with a 90% interval. Pairs are not independent: all cells of a seed share their batches and
# their initialisation, and all seeds of a cell its setting. So cells and seeds are both random effects, and the interval (`liprune_utils.intervals.crossed_mean`) counts the
# variance between cells, between seeds, and the rest. The margin is one point of test error, and a tenth of the epochs.
#
# ## The paper's figures
#
# A panel for each depth and fraction, as in the paper's Figures 13 to 16 (Figure 2 has those of 13 and 14). The caption of Figure 15 names
# other fractions than its panels; see the [errata](../book/errata.md).
#
# Of a later pruning the paper says: "We also performed the same experiments when pruning at iteration 15 and obtained very similar plots" (Appendix B.5). It shows
# none; {numref}`fig-late` does.
#
# {numref}`fig-whole` is one panel of Figure 2 at the paper's scale, with all images and epochs. {glue:text}`whole-words`
#
# The slider below it goes through all cells of the reduced grid on one scale, named by depth, rate, prune epoch and fraction kept.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-paper-13", "caption": "The paper's Figure 13, reduced: rate 0.01, pruned before training (vertical line). Test error after each epoch; lines are means over the three paired seeds, bands go from the lowest to the highest seed."}, "image": {"alt": "A panel for each depth and fraction kept, of test error in per cent against epoch for LiPrune, random pruning and no pruning, with a vertical line at the pruning, before training, rate 0.01."}}
figure = figures.cells_figure(tables.select(reduced, learning_rate=0.01, prune_epoch=1))

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-paper-14", "caption": "The paper's Figure 14, reduced: rate 0.01, pruned at the start of epoch 5 (vertical line). Test error after each epoch; lines are means over the three paired seeds, bands go from the lowest to the highest seed."}, "image": {"alt": "A panel for each depth and fraction kept, of test error in per cent against epoch for LiPrune, random pruning and no pruning, with a vertical line at the pruning, at the start of epoch 5, rate 0.01."}}
figure = figures.cells_figure(tables.select(reduced, learning_rate=0.01, prune_epoch=5))

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-paper-15", "caption": "The paper's Figure 15, reduced: rate 0.1, pruned before training (vertical line). Test error after each epoch; lines are means over the three paired seeds, bands go from the lowest to the highest seed."}, "image": {"alt": "A panel for each depth and fraction kept, of test error in per cent against epoch for LiPrune, random pruning and no pruning, with a vertical line at the pruning, before training, rate 0.1."}}
figure = figures.cells_figure(tables.select(reduced, learning_rate=0.1, prune_epoch=1))

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-paper-16", "caption": "The paper's Figure 16, reduced: rate 0.1, pruned at the start of epoch 5 (vertical line). Test error after each epoch; lines are means over the three paired seeds, bands go from the lowest to the highest seed."}, "image": {"alt": "A panel for each depth and fraction kept, of test error in per cent against epoch for LiPrune, random pruning and no pruning, with a vertical line at the pruning, at the start of epoch 5, rate 0.1."}}
figure = figures.cells_figure(tables.select(reduced, learning_rate=0.1, prune_epoch=5))

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-late", "caption": "Pruned at the start of epoch 15 (vertical line), a fifth of the batches kept, both rates. Test error after each epoch; lines are means over the three paired seeds, bands go from the lowest to the highest seed."}, "image": {"alt": "Two panels, one a rate, of test error in per cent against epoch for LiPrune and random pruning, which are the same up to the vertical line at the pruning."}}
figure = figures.cells_figure(late)

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-whole", "caption": "The paper's scale: ResNet-14, rate 0.01, a fifth of the batches kept, pruned before training, all images, 164 epochs with the rate divided by ten at epochs 80 and 120. Test error after each epoch; lines are means over the paired seeds, bands go from the lowest to the highest seed."}, "image": {"alt": "Test error in per cent against epoch for LiPrune and random pruning over a whole training, close together all the way, with a sudden fall where the rate first falls."}}
figure = figures.cells_figure(whole)

# %% tags=["hide-input"]
cells = tables.cells(reduced)
frames.frame_browser(
    lambda name: figures.cell_frame(reduced, cells[name]),
    list(cells),
    describe=lambda name: (
        f"Test error in per cent against epoch for LiPrune, random pruning and no pruning; depth, rate, prune epoch and fraction kept: {name}."
    ),
    name="cell",
)

# %%
final = tables.final_table(reduced)
files.write_table(folder, "final_errors", final)
shown = final.assign(error=[f"{row['mean']:.1f} ± {row.sd:.1f}" for _, row in final.iterrows()])
shown = shown.replace({name: look["label"] for name, look in style.METHODS.items()})
shown = shown.pivot(index=tables.CELL, columns="method", values="error")
shown.reset_index().style.hide().format("{:g}", subset=tables.CELL)

# %% [markdown]
# Test error at the last epoch in per cent, mean ± standard deviation over {glue:text}`num-seeds` seeds.
#
# ## Pair by pair
#
# {numref}`fig-effects` shows what is pooled. {glue:text}`effect-words`

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-effects", "caption": "Test error of LiPrune less that of random pruning, from paired seeds: mean over the epochs from the pruning on (left) and at the last epoch (right). Above a row for each cell, three pairs each; below, cells pooled by rate, by prune epoch, and all. Bars are 90% intervals; the margin of one point is shaded. Left of zero LiPrune is ahead."}, "image": {"alt": "Two panels with a row for each cell and for each pooled group: a marker with a horizontal bar, a vertical line at zero and a shaded margin on both sides of it."}}
figure = figures.effects_figure(effects, claims.ERROR_MARGIN)

# %% [markdown]
# ## At the same number of updates
#
# At the same epoch pruned runs are behind no pruning because they have made fewer updates. Is that all? {numref}`fig-updates` has the number of updates on its axis.
# The rate falls at the same epochs, so at fewer updates for pruned runs. A fair comparison ends before: at the last epoch with the initial rate,
# {glue:text}`update-words`

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-updates", "caption": "Test error against the number of updates, pruned before training: means over the three seeds. Circles, squares and crosses mark the last epochs before the rate is divided by ten; up to the first of them all runs have the same rate."}, "image": {"alt": "A panel for each depth and rate, of test error in per cent against the number of updates on a logarithmic axis, a line for each method and fraction kept."}}
figure = figures.updates_figure(tables.select(reduced, prune_epoch=1), grid["decay_epochs"])

# %% tags=["hide-input"]
pairs = tables.differences(reduced)
files.write_table(folder, "pairs", pairs)
values = pairs.pivot(index=tables.CELL, columns="seed", values="mean_error").to_numpy()
spread = components(values) ** 0.5
alone = effects[(effects.scope == "cell") & (effects.statistic == "mean_error")]
glue(
    "effect-words",
    f"In {(alone.high < 0).sum()} of {len(alone)} cells the 90% interval of the mean error lies below zero, where LiPrune is ahead, in {(alone.low > 0).sum()} above; by chance alone one would expect "
    f"{0.05 * len(alone):.1f} each. Apart from noise, the difference varies between cells with a standard deviation of {formats.number(spread[0], 2)} points and between seeds with "
    f"{formats.number(spread[1], 2)}; the rest is {formats.number(spread[2], 2)} (n = {len(pairs)} pairs).",
    display=False,
)
glue("num-seeds", str(pairs.seed.nunique()), display=False)
updates = tables.equal_updates(reduced)
files.write_table(folder, "equal_updates", updates)
fair = updates[updates.epoch == grid["decay_epochs"][0] - 1]
gaps = {name: tables.pooled(rows, "difference") for name, rows in fair.groupby("method")}
glue(
    "update-words",
    f"the test error less that of no pruning after as many updates is, in points, {formats.estimated(gaps['random'], 'runs')} for random pruning "
    f"and {formats.estimated(gaps['liprune'], 'runs')} for LiPrune (90% intervals, all cells).",
    display=False,
)

# %% [markdown]
# ## Check: the records are what they say
#
# Test errors lie between 0 and 100; the two runs of a pair have the same number of updates at each epoch; and before they prune, all runs of a seed agree to the last bit.
# A plain mean over the pairs, without the library, gives the pooled estimate.

# %%
assert [*map(tables.faults, (reduced, late, whole))] == [[], [], []]
keys = ["depth", "learning_rate", "prune_epoch", "keep_fraction", "seed", "epoch"]
after = reduced[(reduced.epoch >= reduced.prune_epoch)].set_index(keys)
gap = after.test_error[after.method == "liprune"] - after.test_error[after.method == "random"]
plain = gap.groupby(keys[:-1]).mean().mean()
assert abs(plain - outcomes[0].estimate) < 1e-9, f"{plain} is not {outcomes[0].estimate}"
print(f"{len(reduced) + len(late) + len(whole):,} rows without fault; {gap.size:,} paired epochs")

# %% [markdown]
# ## Live: score, prune, train
#
# The same code, now, on a small share of the images: a few epochs, in which both methods prune at the start of the second. It decides nothing. {glue:text}`live-words`

# %%
began = time.perf_counter()
live_runs = parameters.runs()
with TemporaryDirectory() as runs_dir:  # a page starts afresh; a sweep would not
    workspace = Workspace(dataset, Path(runs_dir))
    curves = train_all(live_runs, workspace)
    scores = score_networks(live_runs, workspace)
files.write_table(folder, "curves", curves)
files.write_table(folder, "scores", scores)
assert tables.faults(curves) == []
live, control = (
    tables.pooled(tables.differences(curves), "mean_error"),
    tables.control_difference(curves),
)

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-cifar", "caption": "The live run: test error by epoch for small ResNets trained on the kept batches; thin lines are seeds, thick lines their mean. At the same epoch, keeping more batches means more updates, and no pruning has most."}, "image": {"alt": "A panel for each fraction kept, with test error in per cent against epoch for LiPrune, random pruning and no pruning, thin lines for seeds and thick lines for their means."}}
figure = figures.error_figure(curves)

# %% [markdown]
# ## The scores
#
# LiPrune can only act on differences between batches. {numref}`fig-scores` shows how much their Hessian norms differ in the live run, and their signs: the dominant
# eigenvalue may be negative, so that the norm is not the largest eigenvalue. [Page 08](08_hessian_norm.ipynb) has all batches.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-scores", "caption": "Dominant Hessian eigenvalue of each batch's loss when the batches are scored, sorted, for each seed. LiPrune keeps the batches with the largest absolute value."}, "image": {"alt": "Sorted dominant eigenvalues of the batches' Hessians, one curve a seed."}}
figure = figures.scores_figure(scores)

# %%
batches = scores.groupby(["depth", "prune_epoch", "seed"]).agg(
    batches=("norm", "size"),
    mean_norm=("norm", "mean"),
    relative_sd=("norm", lambda norms: norms.std() / norms.mean()),
    negative=("eigenvalue", lambda values: (values < 0).sum()),
    products=("num_products", "mean"),
)
batches.reset_index().style.hide().format("{:.3g}")

# %% [markdown]
# ## Check: another derivative, another eigensolver
#
# The scores come from Lanczos' method on products by double backward passes. For the first batch of the first seed, on 16 of its images and in
# double precision, the dominant eigenvalue must agree with ARPACK's, fed with products by forward-over-reverse differentiation.

# %%
images = workspace.images(live_runs[0])
batch = torch.from_numpy(fixed_batches(len(images.labels), batch_size, seed=0)[0][:16])
inputs, labels = images.inputs[batch].double(), images.labels[batch]
model = initial_network(live_runs[0]).double()
ours = hessian_norm(model, functional.cross_entropy, inputs, labels, tolerance=1e-3)
hessian = hessian_operator(model, functional.cross_entropy, inputs, labels)
theirs = eigsh(hessian, k=1, tol=1e-3, return_eigenvectors=False)
error = abs(ours.eigenvalue - theirs[0]) / ours.norm
assert error < 0.01, f"ARPACK finds {theirs[0]:.4g}, not {ours.eigenvalue:.4g}"
print(
    f"eigenvalue {ours.eigenvalue:.4g} after {ours.num_products} products; ARPACK agrees to {error:.0e}"
)

# %% [markdown]
# ## The machinery
#
# A training run is one entry of a grid, in a folder of its own, resumed wherever it was left ({doc}`how <../book/rerun>`). Mixed precision, bfloat16, makes it faster. Does
# it change the outcome? Pairs of runs that differ in nothing else, recorded: mean difference, bfloat16 less float32, at the last epoch, with its 99% interval, beside the
# standard deviation that seeds have in float32. Test error is in per cent.

# %%
precision_gaps = tables.precision_difference(pd.read_csv(recorded / "precision_runs.csv"))
files.write_table(folder, "precision", precision_gaps)
display(precision_gaps.style.hide().format("{:.3g}", subset=precision_gaps.columns[1:]))
speed = tables.throughput(pd.read_csv(recorded / "benchmark.csv"))
files.write_table(folder, "throughput", speed)
looks = dict.fromkeys(speed.columns[3:], "{:.2f}") | {"images_per_second": "{:.0f}"}
speed.style.hide().format(looks)

# %% tags=["hide-input"]
verdicts = {claim.id: formats.words(claim.verdict) for claim in outcomes}
final_claim = outcomes[1]
comparison = claims.compare(reduced, tables.control_difference(reduced))
scale = claims.compare(whole, comparison.control, claims.PAPER_SCALE_MARGIN)
last = tables.pooled(tables.differences(whole), "final_error")
said = {
    "whole-words": f"LiPrune less random pruning, in points of test error, from {last.num_runs} pairs: {formats.in_brackets(scale.error)} on average, {formats.in_brackets(last)} at the last epoch; "
    f"{formats.in_brackets(scale.epochs)} times random's epochs to the same error (90% intervals over the seeds). By the same rule, with the register's margin at this scale, {scale.margin:g} points, and the reduced grid's control: "
    f"{formats.words(scale.verdict)}. {claims.format_reason(scale)} {claims.format_image_counts(whole, whole_runs)}",
    "answer": f"{verdicts['cifar-no-acceleration'].capitalize()}, at this scale. Mean test error from the pruning on, LiPrune less random pruning, in points: {formats.estimated(comparison.error, 'pairs')}; "
    f"90% interval over cells and seeds, margin {claims.ERROR_MARGIN:g}. {claims.format_evidence(comparison)}",
    "answer-more": f"At the last epoch LiPrune less random pruning is {formats.number(final_claim.estimate)} [{formats.number(final_claim.low)}, {formats.number(final_claim.high)}] points; that the loss in performance is "
    f"minimal, against random pruning: {verdicts['cifar-performance']}. That the conclusion is the same for both rates: {verdicts['cifar-learning-rate']}; for both prune epochs: "
    f"{verdicts['cifar-prune-epoch']}; and for epoch {late.prune_epoch.max()}: {verdicts['cifar-iteration-15']}. {claims.format_image_counts(reduced, runs)} With {grid['num_images']:,} images and "
    f"{grid['num_epochs']} epochs the grid cannot show what needs all images or long training. One cell at the paper's scale, {last.num_runs} pairs: {formats.in_brackets(scale.error)} points, {formats.words(scale.verdict)}.",
    "live-words": f"On {dataset.source}, mean test error from the pruning on, LiPrune less random pruning, in points: {formats.estimated(live, 'pairs')}. The positive control, "
    f"{formats.estimated(control, 'pairs')}, is {'seen' if control.below(0.0) else 'not resolved'} at this size.",
    "cost": f"{(cost + late_cost + whole_cost) / 3600:.1f} hours of recorded runs on {grid['device']} ({len(runs) + len(late_runs) + len(whole_runs)} runs); {time.perf_counter() - began:.0f} seconds live on {torch.get_num_threads()} threads.",
}
for name, text in said.items():
    glue(name, text, display=False)

# %% [markdown]
# The second table is a recorded benchmark on two cores: training images a second, augmentation and the test error of each epoch included (median), and how many times those of
# common public code (`DataLoader`, torchvision's transforms, float32), turn by turn in one process (median, lowest and highest).
#
# From the records: {download}`differences by cell and pooled <../results/09_cifar10/effects.csv>`, {download}`pair by pair <../results/09_cifar10/pairs.csv>`,
# {download}`last errors <../results/09_cifar10/final_errors.csv>`, {download}`at equal updates <../results/09_cifar10/equal_updates.csv>`,
# {download}`precision <../results/09_cifar10/precision.csv>`, {download}`throughput <../results/09_cifar10/throughput.csv>`. Live:
# {download}`test errors <../results/09_cifar10/curves.csv>`, {download}`scores of all batches <../results/09_cifar10/scores.csv>`.
#
# The records, each with its grid. They come from an engine in which all seeds shared one set of images; today's draws the images by the seed, and the same commands record new
# tables beside these: `python -m liprune_utils.sweep experiments/grids/reduced14.yml` ({download}`curves <../book/results/09_cifar10/reduced14_curves.csv>`,
# {download}`runs <../book/results/09_cifar10/reduced14_runs.csv>`, {download}`provenance <../book/results/09_cifar10/reduced14_provenance.json>`);
# `python -m liprune_utils.sweep experiments/grids/reduced20.yml` ({download}`curves <../book/results/09_cifar10/reduced20_curves.csv>`,
# {download}`runs <../book/results/09_cifar10/reduced20_runs.csv>`, {download}`provenance <../book/results/09_cifar10/reduced20_provenance.json>`);
# `python -m liprune_utils.sweep experiments/grids/prune15.yml` ({download}`curves <../book/results/09_cifar10/prune15_curves.csv>`,
# {download}`runs <../book/results/09_cifar10/prune15_runs.csv>`, {download}`provenance <../book/results/09_cifar10/prune15_provenance.json>`);
# `python -m liprune_utils.sweep experiments/grids/paper_cell.yml` ({download}`curves <../book/results/09_cifar10/paper_cell_curves.csv>`,
# {download}`runs <../book/results/09_cifar10/paper_cell_runs.csv>`, {download}`provenance <../book/results/09_cifar10/paper_cell_provenance.json>`);
# `python -m liprune_utils.sweep experiments/grids/precision.yml` ({download}`curves <../book/results/09_cifar10/precision_curves.csv>`,
# {download}`runs <../book/results/09_cifar10/precision_runs.csv>`, {download}`provenance <../book/results/09_cifar10/precision_provenance.json>`);
# `benchmarks/training.py` ({download}`turns <../book/results/09_cifar10/benchmark.csv>`, {download}`provenance <../book/results/09_cifar10/benchmark.json>`).
#
# ## What the paper leaves open, and what differs
#
# | choice | paper | here |
# |---|---|---|
# | momentum, weight decay | not stated | 0.9 and 0.0001, parameters |
# | augmentation | not stated | pad 4, random crop, random flip {cite:p}`he2016`; none when scoring |
# | initialisation | not stated | Kaiming normal {cite:p}`he2015` |
# | batch norm in the Hessian | not stated | as in training: the batch's own statistics, differentiated through |
# | precision | not stated | bfloat16 in the recorded grid, float32 live |
# | an epoch after pruning | not stated | one pass over the kept batches |
# | the last, smaller batch | not stated | scored, ranked and kept like the others; of 50,000 images it has 80; none in the reduced grid |
# | repetitions | one curve a panel | paired seeds, with intervals |
# | images, epochs | all, 164 | a tenth, 20 (40 where pruned at epoch 15); all, 164 in one cell; live fewer; the paper's in the profile `paper` |
# | when the rate falls | epochs 80 and 120 | at the same shares of the training |
# | pruning at epoch 5 | after a fortieth of the training | after a fifth |
#
# What the reduced grid cannot show: effects that need all images, where a fifth of the batches is still many; long training at the smallest rate, where
# the runs would agree or part; and differences below about the width of its intervals. A test error also mixes speed with generalisation, as in the paper.
#
# ## Next
#
# Would [another score](10_other_scores.ipynb) do better? And [why](11_why.ipynb) does this one not? [The verdict](14_verdict.ipynb) keeps the account.
