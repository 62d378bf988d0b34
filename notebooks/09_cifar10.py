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

# %% tags=["remove-input"] mystnb={"figure": {"name": "fig-cifar-summary", "caption": "LiPrune against random pruning in recorded runs on CIFAR-10: the mean test error after the pruning (left) and the epochs that LiPrune needs to the same test errors, over those of random pruning (right; in some settings there are too few epochs, or the errors fall too little, to compare). Left of the black lines LiPrune is ahead. Bars: 90% intervals; n counts pairs of runs with the same seed. Shaded: differences that count as none."}, "image": {"alt": "Two panels with a row for all images, for each learning rate and each epoch of pruning with all images, for a tenth of the images and for the paper's scale: a dot with a horizontal bar, a black line where the two methods are equal, and a shaded margin on both sides of the line."}}
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

from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import torch
from IPython.display import HTML, Markdown, display
from torch.nn.functional import cross_entropy

import liprune_utils as lp
from experiments.cifar10 import claims, figures, kept_batches, tables
from experiments.cifar10.runs import train_all
from liprune_utils import data, files
from liprune_utils.book import formats, frames, register, style
from liprune_utils.grid import read_scores, read_tables
from liprune_utils.images import fixed_batches, generator, make_images
from liprune_utils.settings import TrainingRun
from liprune_utils.training import initial_network
from liprune_utils.training_run import Workspace, final_state

style.use_style()
folder = parameters.results_folder()
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
# the two have made the same number of updates, and fewer than without pruning. Before the pruning the two runs of a pair are the same run.
# The comparison therefore starts with the pruning. It has two measures, both fixed before the runs:
#
# - *mean test error*: LiPrune's less that of random pruning, mean over the epochs. A gain of less than one point counts as none.
# - *speed*: how many epochs random pruning needs for one of LiPrune's. Both curves, means over the seeds, are made non-increasing and compared at twenty test errors that both
#   reach before the rate is divided for the first time. Less than 10% faster counts as no faster. A setting counts if it has eight such epochs, over which the errors fall by three points.
#
# The main runs train on all of CIFAR-10, in a fifth of the paper's epochs. Their seeds share the images, all but 80, and the test images: the intervals cover other batches,
# initialisations and orders, but no other data. The sixteen settings of the paper's figures have a tenth of the images. There each seed draws images and test images of its own.

# %%
recorded = files.PROJECT / "book/results/09_cifar10"
whole, whole_runs, (whole_grid,) = read_tables(recorded, ["whole"])
reduced, runs, (grid, _) = read_tables(recorded, ["reduced14", "reduced20"])
late, late_runs, (late_grid,) = read_tables(recorded, ["prune15"])
long, long_runs, (long_grid,) = read_tables(recorded, ["paper_cell"])
all_curves = {
    "all images": (whole, whole_grid), "a tenth of the images": (reduced, grid),
    "a tenth, pruned at epoch 15": (late, late_grid),
    "all, 164 epochs": (long, long_grid),
}  # fmt: skip
scales = [
    claims.Scale(name, rows, facts["decay_epochs"][0])
    for name, (rows, facts) in all_curves.items()
]
assert not any(tables.faults(scale.curves) for scale in scales)
decided = {"whole": scales[0], "reduced": scales[1]}  # by the register's rules
comparison = claims.compare(decided["whole"])
keys = ["learning_rate", "prune_epoch", "seed", "epoch"]
few = whole[(whole.keep_fraction == 0.2) & (whole.epoch >= whole.prune_epoch)]
few = few.set_index(keys)
ours, random = (few.test_error[few.method == m] for m in ("liprune", "random"))
plain = (ours - random).groupby(keys[:3]).mean().mean()
assert abs(plain - comparison.error.value) < 1e-9
tables.record_table({
    "all images": (whole_runs, whole_grid), "sixteen settings": (runs, grid),
    "pruned at epoch 15": (late_runs, late_grid),
    "the paper's epochs": (long_runs, long_grid),
}).style.hide().format(precision=1, thousands=",")  # fmt: skip

# %% [markdown]
# The checks say: test errors are possible, the runs of a pair have equal numbers of updates, all runs of a seed agree to the last bit before they prune, and
# a plain mean over the pairs is the library's estimate.
#
# ## Test error by epoch
#
# [This figure](fig-whole) has the four settings with all of CIFAR-10: a fifth of the batches kept, both learning rates, and both epochs of pruning.
# LiPrune and random pruning are close. At rate 0.1, where there are runs without pruning, both are far behind them at the same epoch.
#
# The slider below it has the paper's Figures 13 (half of its Figure 2) to 16, with a tenth of the images and 20 epochs, and three more pictures: a pruning at epoch 15, of which
# Appendix B.5 says that the plots are "very similar" and shows none; one setting with all images and the paper's 164 epochs; and LiPrune's difference from random pruning in each
# of the sixteen settings.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-whole", "caption": "All of CIFAR-10, recorded: test error after each epoch, a fifth of the batches kept. The rate is divided by ten at epochs 16 and 24. Vertical line: the pruning. Lines are means over the paired seeds; bands go from the lowest to the highest seed. There are runs without pruning at rate 0.1 only."}, "image": {"alt": "Four panels, for two learning rates and two epochs of pruning: test error in per cent against epoch. LiPrune and random pruning are close together; no pruning is far below."}}
figure = figures.cells_figure(whole[whole.keep_fraction != 0.5])

# %% tags=["hide-input"]
effects = tables.effect_table(reduced)
paper = {"13": (0.01, 1), "14": (0.01, 5), "15": (0.1, 1), "16": (0.1, 5)}
shown = {
    number: tables.select(reduced, learning_rate=rate, prune_epoch=epoch)
    for number, (rate, epoch) in paper.items()
}
shown |= {"epoch 15": late, "164 epochs": long}
pictures = {name: partial(figures.cells_figure, rows) for name, rows in shown.items()}
each = effects[effects.scope == "cell"]
pictures["each setting"] = lambda: figures.effects_figure(each)
show = frames.frame_browser(
    lambda name: pictures[name](),
    list(pictures),
    describe=lambda name: (
        "Test error in per cent against epoch for each way of pruning, means over the "
        f"seeds in bands from the lowest to the highest seed; figure: {name}."
        if name in shown
        else "LiPrune's test error less that of random pruning in each setting."
    ),
    name="figure",
)
display(show)
gpu, scores = files.read_json(recorded / "gpu.json"), read_scores(recorded, "whole")
machines = whole_runs, scores, tables.differences(whole), gpu["commit"]
Markdown(f"""{claims.grid_in_words(scales[1], effects)}

**Machines.** {tables.machines_in_words(*machines)}
{tables.trial_in_words(pd.read_csv(recorded / "gpu_agreement.csv"))}""")

# %% [markdown]
# ## Which batches does LiPrune keep?
#
# The kept batches have larger Hessian norms than the others. If that made each step longer by the same factor, as in the
# [linear model](05_what_accelerates.ipynb), training would be faster by it. What else tells the kept batches from the others? [This figure](fig-kept) compares their means with those of
# all batches, in standard deviations between batches. The difficulty of a batch is its mean loss with the network that was trained without pruning.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-kept", "caption": "The batches that LiPrune keeps of all of CIFAR-10, compared with all batches: the mean over the kept less the mean over all, in standard deviations between batches. Means over both learning rates and the seeds, with 90% intervals over the seeds. Random pruning would give zero on average."}, "image": {"alt": "A row for each of five properties: brightness, differences in brightness, contrast, uneven classes, difficulty. Two dots with bars in each row, for a pruning before training and at epoch 5, beside a vertical line at zero."}}
properties = pd.read_csv(recorded / "whole_batches.csv")
shifts = kept_batches.shift_table(kept_batches.kept_shifts(scores, properties))
figure = figures.kept_figure(shifts)

# %% tags=["hide-input"]
gains = kept_batches.mean_gains(scores)
speed = comparison.speed_up
counted = pd.DataFrame(list(speed.counted), columns=tables.CELL)
found = formats.relative(speed.estimate, level=0.9, words=("slower", "faster"))
gain = gains.merge(counted[["learning_rate", "prune_epoch"]]).gain
Markdown(f"""{kept_batches.shifts_in_words(shifts)} There are
{whole.seed.nunique()} seeds. Before training both rates keep the same batches.

In the {len(counted)} settings whose speed counts, the mean Hessian norm of the kept
batches is {gain.min():.2f} to {gain.max():.2f} times that of all. By the linear model
LiPrune should train faster by about so much. It trains {found}.""")

# %% [markdown]
# ## At the same number of updates
#
# At the same epoch pruned runs are behind no pruning. They have made fewer updates. Is that all? [This figure](fig-updates) has the number of updates on
# its axis. The learning rate falls at the same epochs, so after fewer updates for pruned runs. A fair comparison ends at the last epoch with the initial rate.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-updates", "caption": "Test error against the number of updates in the recorded runs that prune before training, a tenth of the images: means over the seeds. Circles, squares and crosses mark the last epochs before the rate is divided by ten; up to the first of them all runs have the same rate."}, "image": {"alt": "A panel for each depth and rate, of test error in per cent against the number of updates on a logarithmic axis, a line for each method and fraction kept."}}
decays = grid["decay_epochs"]
figure = figures.updates_figure(tables.select(reduced, prune_epoch=1), decays)

# %% tags=["hide-input"]
updates = tables.equal_updates(reduced)
fair = updates[(updates.epoch == decays[0] - 1) & (updates.prune_epoch == 1)]
gaps = {
    name: formats.difference(tables.pooled(rows, "difference"), "points", level=0.9)
    for name, rows in fair.groupby("method")
}
Markdown(f"""With a tenth of the images, pruned before training, mean over eight
settings; {reduced.seed.nunique()} seeds, each with images of its own: after as many
updates, the test error compared with that of no pruning is {gaps["random"]} with
random pruning and {gaps["liprune"]} with LiPrune.""")

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
# | the last, smaller batch | not stated | of 50,000 images it has 80; scored, ranked and kept like the others, but only the runs of 164 epochs have one |
# | repetitions | one curve for each setting | paired seeds, with intervals |
# | images, epochs | all, 164 | the table of recorded runs has them; the grid `paper` has the paper's |
# | when the rate falls | epochs 80 and 120 | at the same shares of the training |
# | pruning at epoch 5 | after a fortieth of the training | after an eighth (all images) or a fifth |
#
# The runs of 164 epochs and those of two precisions are older: their seeds share one set of images. Today the seed draws the images, too, and their commands record new tables beside the old ones.
#
# | recorded | command | what it ran on |
# |---|---|---|
# | all images | `python -m liprune_utils.sweep experiments/grids/whole.yml` or, on a GPU, `python benchmarks/gpu.py --grids experiments/grids/whole.yml`; the next three likewise | [provenance](../book/results/09_cifar10/whole_provenance.json) |
# | ResNet-14, eight settings | `python -m liprune_utils.sweep experiments/grids/reduced14.yml` | [provenance](../book/results/09_cifar10/reduced14_provenance.json) |
# | ResNet-20, eight settings | `python -m liprune_utils.sweep experiments/grids/reduced20.yml` | [provenance](../book/results/09_cifar10/reduced20_provenance.json) |
# | pruned at epoch 15 | `python -m liprune_utils.sweep experiments/grids/prune15.yml` | [provenance](../book/results/09_cifar10/prune15_provenance.json) |
# | what the batches are like | `python -m experiments.cifar10.record` | [provenance](../book/results/09_cifar10/whole_batches_provenance.json) |
# | the paper's scale | `python -m liprune_utils.sweep experiments/grids/paper_cell.yml` | [provenance](../book/results/09_cifar10/paper_cell_provenance.json) |
# | two precisions | `python -m liprune_utils.sweep experiments/grids/precision.yml` | [provenance](../book/results/09_cifar10/precision_provenance.json) |
# | speed of training | `python benchmarks/training.py` | [provenance](../book/results/09_cifar10/benchmark.json) |
# | a GPU and CPUs compared | `python benchmarks/gpu.py` | [provenance](../book/results/09_cifar10/gpu.json) |
#
# </details>
#
# ## The verdict
#
# What the paper says, and what was measured. Every difference is between LiPrune and random pruning, paired by seed. The claims read the same recorded
# runs in different ways, and so do parts of [page 11](11_why.ipynb): they are not independent evidence. The [verdict](14_verdict.ipynb) has the first rules, too, which these replace.

# %% tags=["hide-input"]
cost = whole_runs.seconds.sum() + runs.seconds.sum()
outcomes = [
    claims.acceleration_claim(decided, cost=cost),
    claims.performance_claim(decided, cost=cost),
    claims.contrast_claim("cifar-learning-rate-b", decided, cost=cost),
    claims.contrast_claim("cifar-prune-epoch-b", decided, cost=cost),
    claims.late_claim(scales[2], cost=late_runs.seconds.sum()),
]
register.write_claims(folder, outcomes)
written = {
    "effects": effects, "pairs": tables.differences(reduced), "equal_updates": updates,
    "whole_effects": tables.effect_table(whole),
    "whole_pairs": tables.differences(whole), "curves": curves,
    "final_errors": tables.final_table(reduced), "kept": shifts, "gains": gains,
    "precision": tables.precision_difference(
        pd.read_csv(recorded / "precision_runs.csv")
    ),
    "throughput": tables.throughput(pd.read_csv(recorded / "benchmark.csv")),
}  # fmt: skip
for name, rows in written.items():
    files.write_table(folder, name, rows)
HTML(formats.claims_html(register.claims_table(outcomes)))

# %% [markdown]
# **What differs from the paper.** With all images the training has a fifth of the paper's epochs, one depth and one fraction kept. The sixteen settings have a tenth of the images, too.
# They cannot show effects that need long training at the smallest rate. A test error mixes speed with generalisation, here as in the paper. The caption of Figure 15 names other
# fractions than its panels ([errata](../book/errata.md)). Of all 50,000 images the last batch is smaller than the others and varies more, so LiPrune may keep it more often; the main runs leave 80 images out.
#
# **Tables.** All images: [differences by setting and pooled](../results/09_cifar10/whole_effects.csv), [pair by pair](../results/09_cifar10/whole_pairs.csv), [what LiPrune keeps](../results/09_cifar10/kept.csv),
# [its mean norms](../results/09_cifar10/gains.csv). A tenth: [by setting and pooled](../results/09_cifar10/effects.csv), [pair by pair](../results/09_cifar10/pairs.csv), [last test errors](../results/09_cifar10/final_errors.csv),
# [at equal updates](../results/09_cifar10/equal_updates.csv), [bfloat16 less float32](../results/09_cifar10/precision.csv), [speed of training](../results/09_cifar10/throughput.csv)
# and [on a GPU](../book/results/09_cifar10/gpu_throughput.csv), [GPU and CPU compared](../book/results/09_cifar10/gpu_agreement.csv).
# Live: [test errors](../results/09_cifar10/curves.csv). The curves of the recorded runs are in the [list of all tables](../book/tables.md).
#
# **Next.** [Would another score do better?](10_other_scores.ipynb)

# %% tags=["remove-input"]
opening = {
    "holds": "No.", "holds-in-part": "No gain is seen.", "does-not-hold": "Yes.",
    "inconclusive": "Not decided.",
}[outcomes[0].verdict]  # fmt: skip
gap, tenth_gap = (
    formats.difference(error, "points", level=0.9)
    for error in (comparison.error, claims.compare(scales[1]).error)
)
first_screen.fill(
    f"""**{opening}** With all of CIFAR-10 and a fifth of the batches kept, LiPrune's
mean test error after the pruning is {gap} than that of random pruning, in
{comparison.error.num_runs} pairs of runs. In {len(counted)} of {len(speed.spans)}
settings speeds can be compared: it trains {found}. There are {whole.seed.nunique()}
seeds, which share the images of {whole_grid["data_source"]}. With a tenth of the
images, drawn anew for each of {reduced.seed.nunique()} seeds, the test error is
{tenth_gap}.""",
    figures.summary_figure(
        claims.compare_groups(scales[0])
        | {scale.words: claims.compare(scale) for scale in scales[1:]}
    ),
)
