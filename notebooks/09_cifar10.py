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
# # 9. Does LiPrune accelerate a ResNet on CIFAR-10?

# %% tags=["remove-input"]
try:
    from liprune_utils.book import first_screen
except ModuleNotFoundError:
    raise SystemExit(
        "This page needs the kernel LiPrune, which `make book` installs."
    ) from None

first_screen.reserve("answer")

# %% tags=["remove-input"] mystnb={"figure": {"name": "fig-cifar-summary", "caption": "LiPrune against random pruning in recorded runs on CIFAR-10: the mean test error after the pruning (left) and the epochs to the same test error (right). Left of the black lines LiPrune is ahead. Bars: 90% intervals; n counts pairs of runs with the same seed. Shaded: differences that count as none."}, "image": {"alt": "Two panels with a row for all settings, for each learning rate, for each epoch of pruning and for the paper's scale: a dot with a horizontal bar, a black line where the two methods are equal, and a shaded margin on both sides of the line."}}
first_screen.reserve("figure")

# %% [markdown]
# ## Run it yourself
#
# The parameters set the [live run](cifar-live). It is small and shows that the method works. The answer comes from recorded runs, which take hours:
# [how to rerun a page or record its runs](../book/rerun.md) has the details.

# %% tags=["parameters", "hide-cell"] mystnb={"code_prompt_show": "Parameters", "code_prompt_hide": "Parameters"}
depths: list = [14]  # ResNet depths, 6n + 2, each from 8 to 1202; paper: 14 and 20
keep_fractions: list = [0.2, 0.5]  # fractions kept, each in (0, 1]; paper: 0.2, 0.5
prune_epochs: list = [2]  # prune at their start, from 1 to num_epochs; paper: 1 and 5
learning_rates: list = [0.01]  # step sizes of SGD, each in (0, 1]; paper: 0.01, 0.1
decay_epochs: list = []  # rate / 10 at the start of each, from 1; paper: 80 and 120
num_epochs: int = 3  # passes over the kept batches, from 1 to 10000; paper: 164
num_images: int = 1024  # training images, from 2 to 50000; the paper: 50000
num_test_images: int = 500  # test images, from 1 to 10000; the paper: 10000
batch_size: int = 128  # images in a fixed batch, from 2 to num_images; the paper: 128
momentum: float = 0.9  # momentum of SGD, in [0, 1); the paper does not say
weight_decay: float = 1e-4  # weight decay of SGD, from 0 to 1; the paper does not say
augment: bool = True  # True or False: crop and flip; the paper does not say
precision: str = "float32"  # "float32", or "bfloat16" (mixed); the paper does not say
num_seeds: int = 2  # paired repetitions, from 2 to 1000; the paper shows one curve
tolerance: float = 0.1  # relative accuracy of a batch's Hessian norm, in (0, 1)
results_dir: str = "reruns/09_cifar10"  # folder for tables; made if missing

# %% tags=["hide-cell"] mystnb={"code_prompt_show": "Check of the parameters, imports", "code_prompt_hide": "Check of the parameters, imports"}
from experiments.cifar10.runs import CifarParameters

parameters = CifarParameters.from_notebook(globals())

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import torch
from IPython.display import HTML, Markdown
from torch.nn.functional import cross_entropy

import liprune_utils as lp
from experiments.cifar10 import claims, figures, tables
from experiments.cifar10.runs import score_networks, train_all
from liprune_utils import data, files
from liprune_utils.book import formats, frames, register, style
from liprune_utils.grid import read_tables
from liprune_utils.images import fixed_batches, generator, make_images
from liprune_utils.settings import TrainingRun
from liprune_utils.training import initial_network
from liprune_utils.training_run import Workspace, final_state

style.use_style()
folder = files.results_folder(results_dir)
dataset = data.load()
facts = files.provenance(data_source=dataset.source, pixel_sha256=dataset.sha256)
files.write_json(folder / "provenance.json", facts)

# %% [markdown]
# ## What the paper claims
#
# Section 4.2 trains ResNets and concludes: "there is no (training acceleration) advantage of using LiPrune (in the current form of batch
# pruning) instead of random pruning." Its functions $f_i$ are the mean losses of fixed batches of 128 images. LiPrune estimates the
# Lipschitz constant of each by the norm of its Hessian at the current weights, $\|\nabla^2 f_i(w)\|$, and keeps the batches with the largest.
# The paper has two depths, two learning rates, two fractions kept and two epochs of pruning. That makes sixteen settings, with one curve for each.
#
# ## The method in a few lines
#
# Train a small ResNet for an epoch, score the batches, keep a quarter of them, and train on:

# %%
run = TrainingRun(
    method="liprune", keep_fraction=0.25, prune_epoch=2, num_epochs=2, depth=8,
    num_images=256, num_test_images=100, batch_size=32, learning_rate=0.05,
    decay_epochs=(), augment=False, tolerance=1e-3,
)  # fmt: skip
network = initial_network(run)
sgd = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4)
images = make_images(dataset, 256, 100, seed=0)
batches = fixed_batches(256, 32, seed=0)


def train(batches: list, epoch: int) -> None:
    for k in generator(0, "order", epoch).permutation(len(batches)):
        inputs, labels = images.inputs[batches[k]], images.labels[batches[k]]
        sgd.zero_grad()
        cross_entropy(network(inputs), labels).backward()
        sgd.step()


train(batches, epoch=1)
scores = lp.batch_hessian_norms(
    network, images.inputs, images.labels, batches, tolerance=run.tolerance
)
norms = scores.norm
kept = [batches[k] for k in lp.keep_highest(norms, keep_fraction=0.25)]
train(kept, epoch=2)

# %% [markdown]
# The library does the same run in a folder of its own, so that it can be stopped and resumed. It keeps the same images and ends at the same weights:

# %%
with TemporaryDirectory() as runs_dir:
    workspace = Workspace(dataset, Path(runs_dir))
    state = final_state(run, workspace)
    chosen = pd.read_csv(workspace.folder(run) / "kept.csv").image
assert set(chosen) == set(np.concatenate(kept))
for ours, plain in zip(state.model.parameters(), network.parameters(), strict=True):
    torch.testing.assert_close(ours, plain)
print(f"kept {len(kept)} of {len(batches)} batches; Hessian norms:", *norms.round(1))

# %% [markdown]
# ## The recorded runs
#
# LiPrune and random pruning share images, batches, initialisation, augmentation and the order in which positions of the kept list
# are visited. They differ in which batches stand there. After the pruning an epoch is one pass over the kept batches. So at each epoch
# the two have made the same number of updates, and fewer than without pruning.
#
# Before the pruning the two runs of a pair are the same run. The comparison therefore starts with the pruning, and has two measures: the *mean test error over
# the epochs*, and the *epochs to the same error*, which is the lowest test error that both runs of a pair reach. The intervals treat the settings and the
# seeds as random effects, since all settings of a seed share their batches and their initialisation. Differences of less than one point, or of less than a
# tenth of the epochs, count as none. These margins were fixed before the runs.

# %%
recorded = files.PROJECT / "book/results/09_cifar10"
reduced, runs, (grid, _) = read_tables(recorded, ["reduced14", "reduced20"])
late, late_runs, (late_grid,) = read_tables(recorded, ["prune15"])
whole, whole_runs, (whole_grid,) = read_tables(recorded, ["paper_cell"])
groups = claims.compare_groups(reduced, late, whole)
comparison = groups["all settings"]
assert [*map(tables.faults, (reduced, late, whole))] == [[], [], []]
keys = ["depth", "learning_rate", "prune_epoch", "keep_fraction", "seed", "epoch"]
after = reduced[reduced.epoch >= reduced.prune_epoch].set_index(keys)
ours, random = (after.test_error[after.method == m] for m in ("liprune", "random"))
plain = (ours - random).groupby(keys[:-1]).mean().mean()
assert abs(plain - comparison.error.value) < 1e-9
tables.record_table({
    "sixteen settings": (runs, grid), "pruned at epoch 15": (late_runs, late_grid),
    "the paper's scale, one setting": (whole_runs, whole_grid),
}).style.hide().format(precision=1, thousands=",")  # fmt: skip

# %% [markdown]
# The checks say: test errors are possible, the runs of a pair have equal numbers of updates, all runs of a seed agree to the last bit before they prune, and
# a plain mean over the pairs is the library's estimate.
#
# ## The paper's figures
#
# [This figure](fig-paper-13) is the paper's Figure 13, which is half of its Figure 2, with fewer images and epochs. LiPrune and random pruning are close, and both are
# far behind no pruning. The slider has Figures 14 to 16, and two more: a pruning at epoch 15, of which Appendix B.5 says that the plots are "very similar" and shows none;
# and one setting at the paper's scale, with all images and 164 epochs.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-paper-13", "caption": "The paper's Figure 13, with fewer images and epochs, recorded on CIFAR-10: learning rate 0.01, pruned before training (vertical line). Test error after each epoch. Lines are means over the paired seeds; bands go from the lowest to the highest seed."}, "image": {"alt": "A panel for each depth and fraction kept, of test error in per cent against epoch for LiPrune, random pruning and no pruning, with a vertical line at the pruning, before training, rate 0.01."}}
figure = figures.cells_figure(tables.select(reduced, learning_rate=0.01, prune_epoch=1))

# %% tags=["hide-input"]
settings = {
    "14": {"learning_rate": 0.01, "prune_epoch": 5},
    "15": {"learning_rate": 0.1, "prune_epoch": 1},
    "16": {"learning_rate": 0.1, "prune_epoch": 5},
}
shown = {number: tables.select(reduced, **of) for number, of in settings.items()}
shown |= {"epoch 15": late, "paper's scale": whole}
frames.frame_browser(
    lambda name: figures.cells_figure(shown[name]),
    list(shown),
    describe=lambda name: (
        "Test error in per cent against epoch for each way of pruning, means over the "
        f"seeds in bands from the lowest to the highest seed; figure: {name}."
    ),
    name="figure",
)

# %% [markdown]
# ## Setting by setting
#
# [These intervals](fig-effects) are what [the first figure](fig-cifar-summary) pools. At a level of 90% one or two of sixteen intervals miss zero by chance.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-effects", "caption": "Test error of LiPrune less that of random pruning in each recorded setting, from pairs of runs with the same seed: mean over the epochs from the pruning on (left) and at the last epoch (right). Left of zero LiPrune is ahead. Bars: 90% intervals over the seeds. Shaded: the margin of one point."}, "image": {"alt": "Two panels with a row for each of sixteen settings: a dot with a horizontal bar, a vertical line at zero and a shaded margin on both sides of it."}}
effects = tables.effect_table(reduced)
figure = figures.effects_figure(effects[effects.scope == "cell"])

# %% [markdown]
# ## At the same number of updates
#
# At the same epoch pruned runs are behind no pruning. They have made fewer updates. Is that all? [This figure](fig-updates) has the number of updates on
# its axis. The learning rate falls at the same epochs, so after fewer updates for pruned runs. A fair comparison ends at the last epoch with the initial rate.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-updates", "caption": "Test error against the number of updates in the recorded runs that prune before training: means over the seeds. Circles, squares and crosses mark the last epochs before the rate is divided by ten; up to the first of them all runs have the same rate."}, "image": {"alt": "A panel for each depth and rate, of test error in per cent against the number of updates on a logarithmic axis, a line for each method and fraction kept."}}
decays = grid["decay_epochs"]
figure = figures.updates_figure(tables.select(reduced, prune_epoch=1), decays)

# %% tags=["hide-input"]
updates = tables.equal_updates(reduced)
fair = updates[updates.epoch == decays[0] - 1]
gaps = {
    name: formats.difference(tables.pooled(rows, "difference"), "points", level=0.9)
    for name, rows in fair.groupby("method")
}
Markdown(
    "After as many updates, the test error compared with that of no pruning, mean over "
    f"all settings, is {gaps['random']} with random pruning and {gaps['liprune']} with "
    "LiPrune."
)

# %% [markdown]
# <a id="cifar-live"></a>
# ## Live: score, prune, train
#
# The same code with this page's parameters: by default few images, few epochs, and a pruning after the first. It shows that the method works and is too small to decide anything.

# %%
live_runs = parameters.runs()
with TemporaryDirectory() as runs_dir:  # a page starts afresh; a sweep would not
    workspace = Workspace(dataset, Path(runs_dir))
    curves = train_all(live_runs, workspace)
    scores = score_networks(live_runs, workspace)
assert tables.faults(curves) == []
live = tables.pooled(tables.differences(curves), "mean_error")
more = tables.control_difference(curves).below(0.0) is True
Markdown(
    f"Images of {dataset.source}. LiPrune's mean test error is "
    f"{formats.difference(live, 'points', level=0.9)} than that of random pruning, in "
    f"{live.num_runs} pairs of runs. That random pruning does better with more batches "
    f"(the positive control) is {'seen' if more else 'not seen'} here."
)

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-cifar", "caption": "The live run: test error by epoch of small ResNets trained on the kept batches. Thin lines are seeds, thick lines their means. At the same epoch, keeping more batches means more updates, and no pruning has most."}, "image": {"alt": "A panel for each fraction kept, with test error in per cent against epoch for LiPrune, random pruning and no pruning, thin lines for seeds and thick lines for their means."}}
figure = figures.error_figure(curves)

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-scores", "caption": "What LiPrune sees in the live run: the dominant eigenvalue of the Hessian of each batch's loss when the batches are scored, sorted, for each seed. LiPrune keeps the batches with the largest absolute value, and can act on their differences alone."}, "image": {"alt": "Sorted dominant eigenvalues of the batches' Hessians, one curve for each seed."}}
figure = figures.scores_figure(scores)

# %% [markdown]
# ## How runs are made
#
# <details><summary>What the paper does not say, and our choices</summary>
#
# | choice | paper | here |
# |---|---|---|
# | momentum, weight decay | not stated | 0.9 and 0.0001, parameters |
# | augmentation | not stated | pad 4, random crop, random flip, as in [He et al. (2016)](cite:he2016); none when scoring |
# | initialisation | not stated | Kaiming normal, [He et al. (2015)](cite:he2015) |
# | batch norm in the Hessian | not stated | as in training: the batch's own statistics, differentiated through |
# | precision | not stated | bfloat16 in the recorded runs, float32 live |
# | an epoch after pruning | not stated | one pass over the kept batches |
# | the last, smaller batch | not stated | scored, ranked and kept like the others; of 50,000 images it has 80; there is none in the sixteen settings |
# | repetitions | one curve for each setting | paired seeds, with intervals |
# | images, epochs | all, 164 | the table of recorded runs has them; the profile `paper` has the paper's |
# | when the rate falls | epochs 80 and 120 | at the same shares of the training |
# | pruning at epoch 5 | after a fortieth of the training | after a fifth |
#
# In these recorded runs all seeds share one set of images. Today the seed draws the images, too, and the commands record new tables beside the old ones.
#
# | recorded | command | what it ran on |
# |---|---|---|
# | ResNet-14, eight settings | `python -m liprune_utils.sweep experiments/grids/reduced14.yml` | [provenance](../book/results/09_cifar10/reduced14_provenance.json) |
# | ResNet-20, eight settings | `python -m liprune_utils.sweep experiments/grids/reduced20.yml` | [provenance](../book/results/09_cifar10/reduced20_provenance.json) |
# | pruned at epoch 15 | `python -m liprune_utils.sweep experiments/grids/prune15.yml` | [provenance](../book/results/09_cifar10/prune15_provenance.json) |
# | the paper's scale | `python -m liprune_utils.sweep experiments/grids/paper_cell.yml` | [provenance](../book/results/09_cifar10/paper_cell_provenance.json) |
# | two precisions | `python -m liprune_utils.sweep experiments/grids/precision.yml` | [provenance](../book/results/09_cifar10/precision_provenance.json) |
# | speed of training | `python benchmarks/training.py` | [provenance](../book/results/09_cifar10/benchmark.json) |
#
# </details>
#
# ## The verdict
#
# What the paper says, and what was measured. Every difference is between LiPrune and random pruning, paired by seed. The five claims read the same recorded
# runs in different ways, and so do parts of [page 10](10_other_scores.ipynb) and [page 11](11_why.ipynb): they are not independent evidence.

# %% tags=["hide-input"]
cost = runs.seconds.sum()
outcomes = claims.recorded_claims(reduced, cost=cost)
outcomes.append(claims.late_claim(reduced, late, cost=cost + late_runs.seconds.sum()))
register.write_claims(folder, outcomes)
written = {
    "effects": effects, "pairs": tables.differences(reduced), "equal_updates": updates,
    "final_errors": tables.final_table(reduced), "curves": curves, "scores": scores,
    "precision": tables.precision_difference(
        pd.read_csv(recorded / "precision_runs.csv")
    ),
    "throughput": tables.throughput(pd.read_csv(recorded / "benchmark.csv")),
}  # fmt: skip
for name, rows in written.items():
    files.write_table(folder, name, rows)
HTML(formats.claims_html(register.claims_table(outcomes)))

# %% [markdown]
# **What differs from the paper.** The sixteen settings have fewer images and epochs than the paper's. They cannot show effects that need all images, where a fifth of
# the batches is still many, or long training at the smallest rate. A test error mixes speed with generalisation, here as in the paper. The caption of Figure 15 names other
# fractions than its panels ([errata](../book/errata.md)). At the paper's scale the last batch is smaller than the others and varies more, so LiPrune may keep it more often.
#
# **Tables.** Recorded: [differences by setting and pooled](../results/09_cifar10/effects.csv), [pair by pair](../results/09_cifar10/pairs.csv), [last test errors](../results/09_cifar10/final_errors.csv),
# [at equal updates](../results/09_cifar10/equal_updates.csv), [bfloat16 less float32](../results/09_cifar10/precision.csv), [speed of training](../results/09_cifar10/throughput.csv).
# Live: [test errors](../results/09_cifar10/curves.csv), [scores of all batches](../results/09_cifar10/scores.csv). The curves of the recorded runs are in the [list of all tables](../book/tables.md).
#
# **Next.** [Would another score do better?](10_other_scores.ipynb)

# %% tags=["remove-input"]
opening = {
    "holds": "No.",
    "holds-in-part": "No, as far as the runs decide.",
    "does-not-hold": "Yes.",
    "inconclusive": "Not decided.",
}[outcomes[0].verdict]
excluded = {
    (False, False): "exclude a gain of one point and a speed-up of a tenth",
    (False, True): "exclude a gain of one point, but not a speed-up of a tenth",
    (True, False): "exclude a speed-up of a tenth, but not a gain of one point",
    (True, True): "exclude neither a gain of one point nor a speed-up of a tenth",
}[claims.possible_gains(comparison)]
error, epochs = comparison.error, comparison.epochs
first_screen.fill(
    f"""**{opening}** After the pruning, LiPrune's mean test error is
{formats.difference(error, "points", level=0.9)} than that of random pruning. The number
of epochs to the same test error is {formats.relative(epochs, level=0.9)}. These
intervals {excluded}. Measured on {grid["num_images"]:,} images of
{grid["data_source"]}, with {error.num_runs} pairs of recorded runs:
{len(tables.cells(reduced))} settings, {reduced.seed.nunique()} seeds.""",
    figures.summary_figure(groups),
)
