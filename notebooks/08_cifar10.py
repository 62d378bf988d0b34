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
# # Does LiPrune accelerate a ResNet on CIFAR-10?
#
# ## Overview
#
# **Claim** (Section 4.2 of {cite:t}`ayed2022`): "there is no (training acceleration) advantage of using LiPrune (in the current form of batch
# pruning) instead of random pruning."
#
# **Answer, from this small run.** {glue:text}`answer`
#
# **Cost.** {glue:text}`cost`
#
# The functions are now the mean losses of fixed batches of 128 images. LiPrune estimates the Lipschitz constant of each by the norm of its
# Hessian at the current weights, $\|\nabla^2 f_i(w)\|$, and keeps the batches with the largest. This page runs the whole
# experiment, small: it shows that the machinery works on real images, not what happens at the paper's scale.
# The paper's own setting is in `notebooks/params/08_cifar10.paper.yml`.

# %% tags=["parameters"]
depths: list = [14]  # ResNet depths, 6n + 2; the paper: 14 and 20
keep_fractions: list = [0.2, 0.5]  # fractions of the batches kept, in (0, 1]
prune_epochs: list = [1]  # prune at the start of this epoch, 1 before training; the paper: 1 and 5
learning_rates: list = [0.01]  # step sizes of SGD; the paper: 0.01 and 0.1
decay_epochs: list = []  # the rate is divided by 10 at these; the paper: 80 and 120
num_epochs: int = 3  # passes over the kept batches; the paper: 164
num_images: int = 1280  # training images; the paper: 50,000
num_test_images: int = 500  # test images; the paper: 10,000
batch_size: int = 128  # images in each fixed batch
momentum: float = 0.9  # of SGD; the paper does not say
weight_decay: float = 1e-4  # of SGD; the paper does not say
augment: bool = True  # crop and flip in training; the paper does not say
precision: str = "float32"  # or "bfloat16", automatic mixed precision
num_seeds: int = 2  # paired repetitions; the paper shows one curve
tolerance: float = 0.1  # relative accuracy of a batch's Hessian norm
results_dir: str = "reruns/08_cifar10"  # folder for the tables

# %%
from liprune_utils.cifar import CifarParameters

parameters = CifarParameters.from_notebook(globals())

# %% tags=["hide-input"]
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import torch
from IPython.display import HTML
from myst_nb import glue
from scipy.sparse.linalg import eigsh
from torch.nn import functional

from liprune_utils import cifar_results, data, figures, records, tables
from liprune_utils.cifar import run_points, score_tables
from liprune_utils.curvature import forward_over_reverse, hessian_norm
from liprune_utils.experiment import Laboratory
from liprune_utils.images import fixed_batches
from liprune_utils.training import initial_network

figures.use_style()
folder = records.results_folder(results_dir)
dataset = data.load()
records.write_json(
    folder / "provenance.json",
    records.provenance(data_source=dataset.source, pixel_sha256=dataset.sha256),
)
began = time.perf_counter()
HTML(data.banner(dataset))

# %% [markdown]
# ## Score, prune, train
#
# LiPrune and random pruning share images, batches, initialisation, augmentation and the order in which positions of the
# kept list are visited. They differ in which batches stand there. After pruning, an epoch is one pass over the kept batches.

# %%
points = parameters.points()
with TemporaryDirectory() as runs:  # a page starts afresh; a sweep would not
    laboratory = Laboratory(dataset, Path(runs))
    curves = run_points(points, laboratory)
    scores = score_tables(points, laboratory)
records.write_table(folder, "curves", curves)
records.write_table(folder, "scores", scores)
outcome = cifar_results.acceleration_claim(
    curves, is_cifar10=dataset.is_cifar10, cost=time.perf_counter() - began
)
records.write_claims(folder, [outcome])

# %% tags=["hide-input"]
gap, control = cifar_results.method_difference(curves), cifar_results.control_difference(curves)
glue(
    "answer",
    f"{tables.words(outcome.verdict).capitalize()}. Averaged over epochs and fractions kept, LiPrune's test error less that of random pruning is "
    f"{tables.number(gap.value)} points, 90% interval {tables.number(gap.low)} to {tables.number(gap.high)}, {gap.num_runs} paired seeds, "
    f"on {dataset.source}. The positive control, random pruning with {max(keep_fractions):g} kept against {min(keep_fractions):g}, gives "
    f"{tables.number(control.value)} points, {tables.number(control.low)} to {tables.number(control.high)}.",
    display=False,
)
glue(
    "cost",
    f"{outcome.cost:.0f} seconds of computing on {torch.get_num_threads()} cores.",
    display=False,
)

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-cifar", "caption": "Test error by epoch for ResNets trained on the kept batches; thin lines are seeds, thick lines their mean. At the same epoch, keeping more batches means more updates, and no pruning has most."}, "image": {"alt": "A panel for each fraction kept, with test error in per cent against epoch for LiPrune, random pruning and no pruning. The seeds of LiPrune and random pruning overlap; no pruning falls faster."}}
figure = figures.error_figure(curves)

# %% [markdown]
# ## The scores
#
# LiPrune can only act on differences between batches. {numref}`fig-scores` shows how much their Hessian norms differ before
# training, and their signs: the dominant eigenvalue may be negative, so that the norm is not the largest eigenvalue.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-scores", "caption": "Dominant Hessian eigenvalue of each batch's loss when the batches are scored, sorted, for each seed. LiPrune keeps the batches with the largest absolute value."}, "image": {"alt": "Sorted dominant eigenvalues of the batches' Hessians, one curve a seed."}}
figure = figures.scores_figure(scores)

# %%
spread = scores.groupby(["depth", "prune_epoch", "seed"]).agg(
    batches=("norm", "size"),
    mean_norm=("norm", "mean"),
    relative_sd=("norm", lambda norms: norms.std() / norms.mean()),
    negative=("eigenvalue", lambda values: (values < 0).sum()),
    products=("num_products", "mean"),
)
spread.reset_index().style.hide().format("{:.3g}")

# %% [markdown]
# ## Check: another derivative, another eigensolver
#
# The scores come from Lanczos' method on products by double backward passes. For the first batch of the first seed, on 16 of its images and in
# double precision, the dominant eigenvalue must agree with ARPACK's, fed with products by forward-over-reverse differentiation.

# %%
task = laboratory.task(points[0])
batch = torch.from_numpy(fixed_batches(len(task.labels), batch_size, seed=0)[0][:16])
images, labels = task.images[batch].double(), task.labels[batch]
model = initial_network(points[0]).double()
ours = hessian_norm(model, functional.cross_entropy, images, labels, tolerance=1e-3)
hessian = forward_over_reverse(model, functional.cross_entropy, images, labels)
theirs = eigsh(hessian, k=1, tol=1e-3, return_eigenvectors=False)
error = abs(ours.eigenvalue - theirs[0]) / ours.norm
assert error < 0.01, f"ARPACK finds {theirs[0]:.4g}, not {ours.eigenvalue:.4g}"
print(
    f"eigenvalue {ours.eigenvalue:.4g} after {ours.num_products} products; ARPACK agrees to {error:.0e}"
)

# %% [markdown]
# ## The machinery
#
# A training run is one point of a grid, in a folder of its own, resumed wherever it was left ({doc}`how <../book/rerun>`). Mixed precision, bfloat16, makes it faster. Does
# it change the outcome? Pairs of runs that differ in nothing else, recorded: mean difference, bfloat16 less float32, at the last epoch, with its 99% interval, beside the
# standard deviation that seeds have in float32. Test error is in per cent.

# %%
recorded = records.PROJECT / "book" / "results" / "08_cifar10"
precision_gaps = cifar_results.precision_difference(pd.read_csv(recorded / "precision_runs.csv"))
records.write_table(folder, "precision", precision_gaps)
precision_gaps.style.hide().format("{:.3g}", subset=precision_gaps.columns[1:])

# %%
speed = cifar_results.throughput(pd.read_csv(recorded / "benchmark.csv"))
records.write_table(folder, "throughput", speed)
looks = dict.fromkeys(speed.columns[3:], "{:.2f}") | {"images_per_second": "{:.0f}"}
speed.style.hide().format(looks)

# %% [markdown]
# The second table is a recorded benchmark on two cores: training images a second, augmentation and the test error of each epoch included (median), and how many times those of
# common public code (`DataLoader`, torchvision's transforms, float32), turn by turn in one process (median, lowest and highest).
#
# {download}`Test errors <../results/08_cifar10/curves.csv>`, {download}`scores of all batches <../results/08_cifar10/scores.csv>`,
# {download}`precision <../results/08_cifar10/precision.csv>`, {download}`throughput <../results/08_cifar10/throughput.csv>`. Recorded: {download}`runs in two precisions
# <../book/results/08_cifar10/precision_runs.csv>`, {download}`their curves <../book/results/08_cifar10/precision_curves.csv>` and {download}`provenance
# <../book/results/08_cifar10/precision_provenance.json>`; {download}`the benchmark <../book/results/08_cifar10/benchmark.csv>` and its {download}`provenance
# <../book/results/08_cifar10/benchmark.json>`.
#
# ## What the paper leaves open, and what differs
#
# | choice | paper | here |
# |---|---|---|
# | momentum, weight decay | not stated | 0.9 and 0.0001, parameters |
# | augmentation | not stated | pad 4, random crop, random flip; none when scoring |
# | initialisation | not stated | Kaiming normal {cite:p}`he2015` |
# | batch norm in the Hessian | not stated | as in training: the batch's own statistics, differentiated through |
# | precision | not stated | float32; recorded runs may have bfloat16, and say so |
# | an epoch after pruning | not stated | one pass over the kept batches |
# | repetitions | one curve a panel | paired seeds, a parameter |
# | images, epochs | all, 164 | a small share, a few; the paper's in the profile `paper` |
#
# ## Next
#
# A few epochs on a small share of the images cannot decide the claim; the register asks for an interval inside a margin, and for a positive control
# that is seen. [The verdict](11_verdict.ipynb) keeps the account.
