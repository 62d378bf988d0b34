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
# # 8. Is the Hessian norm the local Lipschitz constant?

# %% tags=["remove-input"]
try:
    from liprune_utils.book import first_screen
except ModuleNotFoundError:
    raise SystemExit(
        "This page needs the kernel LiPrune, which `make book` installs."
    ) from None

first_screen.reserve("answer")

# %% tags=["remove-input"] mystnb={"figure": {"name": "fig-secants", "caption": "How fast the gradient changes over a distance, in units of the Hessian norm, in three kinds of direction. The paper's inequality allows at most 1. Networks: a ResNet with ReLU (top) and with softplus (bottom), before and after a short training, one batch each. With softplus the top eigenvector reaches 1, and no direction exceeds it at short distances. With ReLU the ratio grows as the distance shrinks, until no unit switches any more."}, "image": {"alt": "Four panels of rate of change over Hessian norm against distance, both logarithmic. In the two softplus panels all lines are flat at short distances, the eigenvector's at one. In the two ReLU panels the lines rise towards shorter distances, far above one, and fall back where no unit switches."}}
first_screen.reserve("figure")

# %% [markdown]
# ## Run it yourself
#
# Change a value, run all cells, and the answer changes with it. The recorded studies on this page stay as they are. [How to rerun a page](../book/rerun.md) has the details.

# %% tags=["parameters", "hide-cell"] mystnb={"code_prompt_show": "Parameters", "code_prompt_hide": "Parameters"}
depth: int = 8  # depth of the ResNets whose gradients change, 6n + 2 from 8 to 1202
num_images: int = 1280  # training images, from 128 to 50000; no last batch of one
num_epochs: int = 4  # epochs of their training, from 1 to 10000
learning_rate: float = 0.1  # step size of their training, in (0, 1]
probe_size: int = 32  # images in the batch whose gradients are compared, from 2 to 128
num_random: int = 2  # random directions, from 1 to 1000
num_checked: int = 2  # recorded batches that are scored again, from 1 to 391
num_chunks: int = 5  # samples of examples at each stage of training, from 2 to 1000
chunk_size: int = 32  # examples in each sample, from 1 to 1000
tolerance: float = 0.01  # relative accuracy of an example's norm, in (0, 1)
seed: int = 0  # seed of networks and directions, from 0 to 2^63 - 1
results_dir: str = "reruns/08_hessian_norm"  # folder for tables; made if missing

# %% tags=["hide-cell"] mystnb={"code_prompt_show": "Check of the parameters, imports", "code_prompt_hide": "Check of the parameters, imports"}
from experiments.hessian_norm.runs import HessianParameters

parameters = HessianParameters.from_notebook(globals())

import time

import numpy as np
import pandas as pd
import torch
from IPython.display import HTML, Markdown, display
from scipy.sparse.linalg import LinearOperator, eigsh
from torch.nn import functional

import liprune_utils as lp
from experiments.hessian_norm import claims, figures, runs, step_tables, tables
from experiments.hessian_norm.record import RECIPE, RECORDED, recorded_network
from liprune_utils import data, files
from liprune_utils.book import formats, frames, register, style
from liprune_utils.images import make_images
from liprune_utils.intervals import Estimate
from liprune_utils.training import initial_network

style.use_style()
folder = parameters.results_folder()
dataset = data.load()
images = make_images(dataset, RECIPE.num_images, RECIPE.num_test_images)
facts = files.provenance(data_source=dataset.source, pixel_sha256=dataset.sha256)
files.write_json(folder / "provenance.json", facts)

# %% [markdown]
# ## What the paper claims
#
# On networks, LiPrune scores each batch $i$ by one number, $\|\nabla^2 f_i(w)\|$: the largest absolute eigenvalue of the Hessian of its mean loss $f_i$.
# Section 3 of [Ayed and Hayou (2022)](cite:ayed2022) takes this number for the Lipschitz constant near $w$:
#
# > "locally, we have that $\|\nabla_w f_i(w') - \nabla_w f_i(w)\| \leq \|\nabla^2 f_i(w)\| \|w' - w\|$, and the constant $\|\nabla^2 f_i(w)\|$ is tight."
#
# At a finite distance the inequality can fail, since the Hessian changes on the way. Its strongest fair version is a limit: as $w'$ approaches $w$, no direction exceeds
# the constant, and the top eigenvector of the Hessian reaches it. This is true wherever $f_i$ has a continuous second derivative. The paper's networks have ReLU, whose
# derivative jumps. The paper also says of the norm: "This cannot be performed for each example $(x_i, y_i)$ in the dataset."
#
# ## The method in a few lines
#
# A second backward pass through the gradient multiplies the Hessian by a vector. `eigsh` finds the eigenvalue of largest absolute value from such products alone.
# The network is a small ResNet before training, with batch norm in train mode. The batch has `probe_size` images.
#
# `lp.hessian_norm` finds the same norm with fewer and cheaper products. It writes out the second derivative of batch norm, and it stops as soon as its
# estimated error is small enough. `lp.batch_hessian_norms` scores many batches. It starts each search from what it found for the batch before,
# which saves more products.

# %%
model = initial_network(parameters.recipe()).double()
inputs, labels = images.inputs[:probe_size].double(), images.labels[:probe_size]
weights, num_products = list(model.parameters()), 0
loss = functional.cross_entropy(model(inputs), labels)
gradient = torch.autograd.grad(loss, weights, create_graph=True)
gradient = torch.cat([part.reshape(-1) for part in gradient])


def hessian_times(vector):
    global num_products
    num_products += 1
    vector = torch.from_numpy(vector.ravel())
    parts = torch.autograd.grad(gradient, weights, vector, retain_graph=True)
    return torch.cat([part.reshape(-1) for part in parts]).numpy()


began = time.perf_counter()
hessian = LinearOperator((len(gradient),) * 2, hessian_times, dtype=np.float64)
start = gradient.detach().numpy()
eigenvalue = eigsh(hessian, k=1, v0=start, tol=1e-3, return_eigenvectors=False)[0]
seconds = time.perf_counter() - began
print(f"eigenvalue {eigenvalue:.4g}: {num_products} products, {seconds:.1f} seconds")

# %%
began = time.perf_counter()
batches = np.arange(4 * probe_size).reshape(4, probe_size)  # the first is that above
inputs, labels = images.inputs[: batches.size].double(), images.labels[: batches.size]
scores = lp.batch_hessian_norms(model, inputs, labels, batches, tolerance=1e-3)
np.testing.assert_allclose(scores.norm[0], abs(eigenvalue), rtol=2e-3)
print(f"{(time.perf_counter() - began) / len(batches):.1f} seconds per batch")
scores[["batch", "eigenvalue", "norm", "num_products"]].style.hide().format(precision=2)

# %% [markdown]
# ## Does the gradient change as fast as the Hessian says?
#
# Take a distance $\epsilon$ and a unit vector $v$. The secant is the change of the gradient over the distance. The ratio
#
# $$
# \frac{\|\nabla f(w + \epsilon v) - \nabla f(w)\|}{\epsilon\, \|\nabla^2 f(w)\|} \label{eq-secant}
# $$
#
# should stay below 1 in every direction, and reach 1 along the top eigenvector as $\epsilon$ shrinks. We measure it in double precision on one batch: for a ResNet
# with ReLU, and for the same architecture with softplus, a smooth activation.
#
# With softplus the Hessian norm is the local Lipschitz constant, as [the figure](fig-secants) shows. With ReLU it is not.
# Each unit that switches on or off between $w$ and $w'$ makes the gradient jump, by an amount that does not shrink with the distance. The Hessian at a point
# sees none of these jumps. The number of units that switch is about proportional to the distance. If their jumps added up like the steps of a random walk, the
# gradient's change would fall like $\sqrt{\epsilon}$, and the secant would grow like $\epsilon^{-1/2}$. An exponent is fitted to the secants at the distances at
# which at least ten units switch, and compared with this below. Once no unit switches, the secant returns to the Hessian's value. The table follows the top
# eigenvector of the ReLU network after training.
#
# So on a ReLU network the theory of Section 2 does not apply as it stands: the Hessian norm measures the curvature between the jumps, not the jumps on the way.

# %%
secants = runs.probe_networks(images, parameters)
files.write_table(folder, "secants", secants)
smooth = secants[(secants.activation == "softplus") & (secants.distance < 2e-6)]
along_top = smooth[smooth.direction == "eigenvector"]
np.testing.assert_allclose(smooth.secant, smooth.tangent, rtol=1e-2)
np.testing.assert_allclose(along_top.ratio, 1, rtol=1e-2)

exponent = tables.switching_exponent(secants)
lines = f"{exponent.num_runs} lines of two networks"
display(
    Markdown(f"""With ReLU the secant grows like the distance to the power
{tables.with_interval(exponent, lines)}. {tables.walk_comparison(exponent)}.""")
)
tables.switching_table(secants, num_epochs).style.hide().format(formats.number)

# %% [markdown]
# ## At the step that SGD takes
#
# These distances are shorter than a step of training. A recorded study takes that length. It trains ResNet-14s with ReLU, without pruning, at both of the paper's
# learning rates: 5,120 images in 40 batches of 128, drawn anew for each seed, with momentum and weight decay. The length is the median over an epoch's steps of
# $|w_{t+1} - w_t|$. From the network at the start of that epoch, each batch's gradient is followed over this length in two directions: along the top eigenvector
# of the batch's Hessian, and along the first step of the epoch. An eigenvector has no sign, so the secants of both signs are averaged. Batches are scored as
# LiPrune scores them, in train mode and without augmentation, each norm to an estimated error of 1%. As in [the reduced study of page 9](09_cifar10.ipynb), the
# learning rate is divided by ten at epoch 10, so the steps of that epoch are shorter.
#
# The last panel asks what matters to LiPrune: whether it would keep the same fifth of the batches if it scored them by this secant.

# %%
step_secants = files.read_table(files.PROJECT / RECORDED / "step_secants.csv")
by_network = step_tables.by_seed(step_secants)
over_seeds = step_tables.over_seeds(by_network, claims.step_level())
at_step = claims.step_claim(over_seeds, cost=step_secants.seconds.sum())
for name, rows in {"by_seed": by_network, "over_seeds": over_seeds}.items():
    files.write_table(folder, f"step_{name}", rows)
Markdown(step_tables.in_words(over_seeds, claims.TIGHT))

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-step-secants", "caption": "Secants over the median length of a step of SGD, in units of the batch's Hessian norm, along its top eigenvector (left) and along a step of training (middle), mean over 40 batches; and the share of LiPrune's kept batches that the secant along the top eigenvector would keep too (right). ResNet-14 with ReLU, recorded. Bars are 95% intervals over seeds. Dotted: the limits of the claim's rule."}, "image": {"alt": "Three panels against the epoch, a line for each of two learning rates: the ratio along the top eigenvector, the ratio along a step, and the overlap of the kept batches."}}
limits = {"eigenvector": claims.TIGHT, "overlap": (claims.LEAST_OVERLAP,)}
figure = figures.steps_figure(over_seeds, limits)

# %% [markdown]
# ## How much do batches differ?
#
# LiPrune can act only on differences between batches. A recorded study has the norms of batches of CIFAR-10 for a ResNet-14, at the start of its first
# five epochs (computed on CPU; the first epoch starts before training). The first few batches are scored again here, a hundred times as accurately. They must agree with the
# record where the images are the same.
#
# At the paper's 128 images per batch the norms differ, but the fifth of the batches that LiPrune would keep is not far above the mean. Before training the dominant
# eigenvalue is negative for nearly all batches, so LiPrune then ranks them by their most negative curvature.
#
# Larger batches differ less. If the norm were a mean over independent images, its relative spread would fall like $B^{-1/2}$; the fitted exponents stand above the last figure of this section.

# %%
recorded = pd.read_csv(files.PROJECT / RECORDED / "batch_norms.csv")
whole = recorded[recorded.batch_size == RECIPE.batch_size]
everything = whole[(whole.seed == 0) & (whole.batch_norm == "train")]
again = runs.recheck(images, everything, num_checked)
source = files.read_provenance(files.PROJECT / "book" / "results", "08_hessian_norm")
assert dataset.sha256 != source["pixel_sha256"] or again.agrees.all(), again

by_epoch = tables.spreads(everything, ["epoch"])
files.write_table(folder, "spread_by_epoch", by_epoch)
shares = by_epoch.gain[by_epoch.epoch.isin([1, 5])]
assert max(shares) < 1.5, "the kept fifth's norms are far above the mean"
tables.epoch_table(by_epoch).style.hide().format(formats.number)

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-all-norms", "caption": "Dominant Hessian eigenvalue of each of the 391 batches of CIFAR-10, sorted, before training (left) and at the start of the fifth epoch (right), recorded. The scales differ: training shrinks the norm, and turns the dominant eigenvalue from negative to positive."}, "image": {"alt": "Two panels with the sorted dominant eigenvalues of all batches. Before training they are negative; at the start of epoch five they are positive and much smaller."}}
figure = figures.eigenvalues_figure(everything[everything.epoch.isin([1, 5])])

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-norm-spread", "caption": "Standard deviation of the batches' Hessian norms in units of their mean, against batch size, recorded. Bars are 99% bootstrap intervals over batches. The dotted lines fall like one over the square root of the batch size from the leftmost point."}, "image": {"alt": "Relative spread of Hessian norms against batch size on logarithmic axes, a line for each of two stages of training, both falling, with dotted reference lines."}}
sizes = recorded[(recorded.seed == 0) & (recorded.batch_norm == "train")]
sizes = sizes[sizes.epoch.isin([1, 5])]
by_size = tables.spreads(sizes, ["epoch", "batch_size"])
files.write_table(folder, "spread_by_size", by_size)
for epoch, rows in sizes.groupby("epoch"):
    exponent = tables.spread_exponent(rows)
    assert exponent.high < 0, "larger batches differ more"
    counted = f"{exponent.num_runs} batches"
    print(f"epoch {epoch}: exponent {tables.with_interval(exponent, counted)}")
figure = figures.spread_figure(by_size)

# %% [markdown]
# ## How stable is the ranking?
#
# LiPrune prunes once, at a chosen epoch, with one network. If another initialisation, another epoch or the other mode of batch norm ranks the batches differently,
# the score says little about the batch itself. The slider moves through one training. Its horizontal axis keeps the order that the batches had before training.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-agreement", "caption": "Rank correlation between two rankings of the same thirty-two batches by their Hessian norm: with networks of other seeds, at earlier epochs of one training, and between the two modes of batch norm; recorded. Bars are 99% bootstrap intervals over batches."}, "image": {"alt": "Rank correlations with intervals, one row per comparison, in three groups: seeds, training, batch norm."}}
compared = whole[whole.batch < 32]
agreements = tables.agreements(compared, (1, 5))
ends = compared[(compared.batch_norm == "train") & compared.epoch.isin([1, 5])]
by_seed = tables.spreads(ends, ["epoch", "seed"])
for name, rows in {"agreements": agreements, "spread_by_seed": by_seed}.items():
    files.write_table(folder, name, rows)
for epoch, means in by_seed.groupby("epoch").mean_norm:
    fold = means.max() / means.min()
    print(
        f"epoch {epoch}: mean norms of {len(means)} seeds up to {fold:.2g}-fold apart"
    )
assert (ends.eigenvalue[ends.epoch == 1] < 0).mean() > 0.9, "many are positive"
figure = figures.agreement_figure(agreements)

# %% tags=["hide-input"]
one = compared[(compared.seed == 0) & (compared.batch_norm == "train")]
frames.frame_browser(
    lambda epoch: figures.training_frame(one, epoch),
    sorted(one.epoch.unique()),
    describe=lambda epoch: (
        f"Hessian norm over the mean norm of each batch at the start of epoch {epoch}, "
        "in the order before training; those that LiPrune would keep stand out."
    ),
    name="start of epoch",
)

# %% [markdown]
# ## What does it cost?
#
# The paper restricts itself to batches because of the cost. We score random samples of single examples with the recorded ResNet-14, before training and after four epochs.
# Each example has its own weights and vector in one vectorised product. The time is measured against gradients of a training batch, in turns.
# A gradient of every example is an epoch of training, so the ratio of the two times per example is the cost in epochs. The verdict takes the dearer of the two stages.
# A gradient passes three times through each convolution (forward, to its inputs, to its weights) and a product six times, so two epochs per product are the least.
# Here it is more: each example has weights of its own, for which convolutions are slower.
#
# A batch is far cheaper than its examples one by one. In the record this library took three or four products per batch of 128 images on average.
# On the same batches each of three other libraries took at least twice as long ([table](../results/08_hessian_norm/benchmark_ratios.csv); recorded on CPU with a ResNet-20).
# On four kinds of networks this library is faster than PyHessian at its defaults, and its worst error is smaller (a few batches each; [table](../results/08_hessian_norm/benchmark_pyhessian.csv)).
# It takes fewer products with the Hessian. Most of its time goes into these and the gradient, so there is little else to save. The perceptron is the exception:
# its products are so cheap that about half of the time goes into the work around them.

# %%
began = time.perf_counter()
stages = {0: recorded_network(1), 4: recorded_network(5)}
costs = [
    runs.example_costs(model, images, parameters).assign(epochs=epochs)
    for epochs, model in stages.items()
]
costs = pd.concat(costs, ignore_index=True)
files.write_table(folder, "example_costs", costs)
spent = time.perf_counter() - began
costly = claims.cost_claim(costs, is_cifar10=dataset.is_cifar10, cost=spent)
means = costs.groupby("epochs")[["gradients", "num_products"]].mean().reset_index()
means["each"] = means.gradients / means.num_products
means.columns = ["epochs trained", "cost in epochs", "products", "epochs per product"]
display(means.style.hide().format(precision=1))
networks = pd.read_csv(files.PROJECT / RECORDED / "benchmark_networks.csv")
pyhessian = tables.against_pyhessian(networks)
files.write_table(folder, "benchmark_pyhessian", pyhessian)
assert (pyhessian.times_faster > 1).all()
assert (pyhessian.worst_error < pyhessian.worst_error_pyhessian).all()
assert (pyhessian.products < pyhessian.products_pyhessian).all()
assert ((pyhessian.derivatives < 0.7) == (pyhessian.network == "perceptron")).all()
tables.pyhessian_table(pyhessian)

# %% tags=["hide-cell"] mystnb={"code_prompt_show": "Comparison with other libraries", "code_prompt_hide": "Comparison with other libraries", "figure": {"name": "fig-peers", "caption": "Worst relative error against median time for the Hessian norm of a batch of 128 images, ResNet-20, recorded on two CPU cores: this library to an estimated error of a thousandth (accurate) and of three hundredths (ranking), three other libraries, and plain power iteration, before training (left) and after two epochs (right). The reference is a cold search in double precision. An estimated error is no bound, so single errors may exceed it."}, "image": {"alt": "Two panels of worst relative error against seconds per batch, both logarithmic, a marker for each method. This library's two modes are the fastest."}}
benchmark = pd.read_csv(files.PROJECT / RECORDED / "benchmark.csv")
summary = tables.summarise_benchmark(benchmark)
modes = ("accurate", "ranking")
faster = [tables.times_faster(benchmark, mode).assign(mode=mode) for mode in modes]
faster = pd.concat(faster, ignore_index=True)
assert faster["min"].min() > 2, "another library was less than twice as slow"
assert 3 <= whole.num_products[whole.batch > 0].mean() < 4
files.write_table(folder, "benchmark_summary", summary)
files.write_table(folder, "benchmark_ratios", faster)
figure = figures.peers_figure(summary[summary.method != "reference"])

# %% [markdown]
# ## The verdict
#
# What the paper says, and what was measured.

# %% tags=["hide-input"]
outcomes = [at_step, costly]
register.write_claims(folder, outcomes)
HTML(formats.claims_html(register.claims_table(outcomes)))

# %% [markdown]
# ## Exercises
#
# 1. **Jumps that add up, jumps that cancel.** Let $g(w) = \sum_j a_j \max(w - k_j, 0)$ be a network of $n$ ReLU units with one input weight, with kinks $k_j$ uniform on
#    $[0, 1]$ and $a_j = \pm 1$. Its second derivative is 0 wherever it exists. Derive the root mean square of the secant
#    $|g'(w + \epsilon) - g'(w)|/\epsilon$ for random signs, and its mean for equal signs. Compare both with the gradients from `torch.autograd`.
# 2. **Larger batches, smaller norms.** A batch is cut into equal parts. Show that its Hessian norm is at most the mean of the norms of its parts, if the images do not
#    affect each other's losses. Check this with `lp.batch_hessian_norms` on a small network without batch norm, and the norm of the whole batch by a dense
#    Hessian.
#
# <details><summary>Solution of exercise 1, in words</summary>
#
# $g'$ changes by the sum of the $a_j$ whose kinks lie between $w$ and $w + \epsilon$. The number of these kinks is $n\epsilon$ on average. With random signs the mean square of the
# sum is this number, since the mixed terms vanish. The root mean square of the secant is $\sqrt{n\epsilon}/\epsilon = \sqrt{n/\epsilon}$, which grows as
# $\epsilon$ shrinks. With equal signs the mean of the secant is $n\epsilon/\epsilon = n$ at every distance: many jumps then act like a curvature of size $n$.
#
# In both cases the Hessian is 0 and shows none of this. The exponent $-\frac12$ is that of jumps with random signs, with which the page compares the ReLU network.
#
# </details>

# %% tags=["hide-cell"] mystnb={"code_prompt_show": "Solution of exercise 1, in code", "code_prompt_hide": "Solution of exercise 1, in code"}
jumps, num_units = np.random.default_rng([seed, 101]), 5000
kinks = torch.from_numpy(jumps.random(num_units))
signs = torch.from_numpy(jumps.choice([-1.0, 1.0], num_units))
starts = np.arange(1000) / 1000  # their intervals do not overlap


def slope_at(places, factors):
    places = torch.from_numpy(places).requires_grad_()
    values = torch.relu(places[:, None] - kinks) @ factors
    return torch.autograd.grad(values.sum(), places)[0].numpy()


for distance in (1e-3, 3e-4, 1e-4):
    random_signs, equal_signs = (
        np.abs(slope_at(starts + distance, a) - slope_at(starts, a)) / distance
        for a in (signs, torch.ones_like(signs))
    )
    mean_square, mean_secant = np.mean(random_signs**2), np.mean(equal_signs)
    error = np.sqrt((2 + 1 / (num_units * distance)) / 1000)  # relative, of the square
    assert abs(mean_square / (num_units / distance) - 1) < 5 * error
    assert abs(mean_secant / num_units - 1) < 5 * error
    print(
        f"distance {distance:.0e}: random signs {np.sqrt(mean_square):,.0f}", end=", "
    )
    print(f"expected {np.sqrt(num_units / distance):,.0f}; equal {mean_secant:,.0f}")

# %% [markdown]
# <details><summary>Solution of exercise 2, in words</summary>
#
# The loss of the batch is the mean of the losses of its parts, so its Hessian is the mean of theirs. The norm of a mean is at most the mean of the norms, by the triangle
# inequality. The two are equal only if the parts share a top eigenvector, with the same sign of the eigenvalue.
#
# The top eigenvectors of different images differ, so the mean of many Hessians has a smaller norm than each of them has on average. With batch norm in train mode the proof
# fails, since the statistics of the whole batch enter each image's loss.
#
# </details>

# %% tags=["hide-cell"] mystnb={"code_prompt_show": "Solution of exercise 2, in code", "code_prompt_hide": "Solution of exercise 2, in code"}
coarse = functional.adaptive_avg_pool2d(images.inputs[:128], 4).flatten(1).double()
classes = images.labels[:128]
with torch.random.fork_rng():
    torch.manual_seed(seed)
    first, last_layer = torch.nn.Linear(coarse.shape[1], 8), torch.nn.Linear(8, 10)
small = torch.nn.Sequential(first, torch.nn.Tanh(), last_layer).double()

norms = {}
for size in (16, 32, 64, 128):
    cut = np.arange(128).reshape(-1, size)
    found = lp.batch_hessian_norms(small, coarse, classes, cut, tolerance=1e-5)
    norms[size] = found.norm.mean()
    print(f"batches of {size}: mean norm {norms[size]:.4f}")
assert (np.diff(list(norms.values())) <= 1e-3 * norms[16]).all(), "a larger norm"

parts = [part.detach() for part in small.parameters()]


def loss_of(flat):
    pieces = flat.split([part.numel() for part in parts])
    w, b, v, c = (one.view(part.shape) for one, part in zip(pieces, parts, strict=True))
    return functional.cross_entropy(torch.tanh(coarse @ w.T + b) @ v.T + c, classes)


flat = torch.cat([part.flatten() for part in parts])
dense = torch.autograd.functional.hessian(loss_of, flat)
dense_norm = float(torch.linalg.matrix_norm(dense, 2))
np.testing.assert_allclose(norms[128], dense_norm, rtol=1e-3)
print(f"norm of the dense Hessian of all 128: {dense_norm:.4f}")

# %% [markdown]
# ## What differs from the paper
#
# The paper states the inequality for a loss with a second derivative. Its ResNets have ReLU, and their loss has none where a unit switches.
# The paper scores batches and does not say in which mode of batch norm. Here it is train mode, as in training; [these correlations](fig-agreement) show what eval mode
# would change. The paper reports no spread, sign or cost of the norms. The live networks are small and trained briefly. The recorded one is a ResNet-14,
# trained for four epochs on all images of CIFAR-10, or for ten on a tenth of them.
#
# **Tables.** [Secants](../results/08_hessian_norm/secants.csv), [spread by epoch](../results/08_hessian_norm/spread_by_epoch.csv),
# [by batch size](../results/08_hessian_norm/spread_by_size.csv), [by seed](../results/08_hessian_norm/spread_by_seed.csv),
# [agreement of rankings](../results/08_hessian_norm/agreements.csv), [cost of single examples](../results/08_hessian_norm/example_costs.csv),
# comparison with other libraries ([summary](../results/08_hessian_norm/benchmark_summary.csv), [times](../results/08_hessian_norm/benchmark_ratios.csv)).
# At the step of SGD: [by network](../results/08_hessian_norm/step_by_seed.csv), [over the seeds](../results/08_hessian_norm/step_over_seeds.csv); recorded,
# of [each batch](../book/results/08_hessian_norm/step_secants.csv), with [its provenance](../book/results/08_hessian_norm/step_secants.json).
# Recorded: [all norms](../book/results/08_hessian_norm/batch_norms.csv) with [their provenance](../book/results/08_hessian_norm/provenance.json),
# [the network at epoch 5](../book/results/08_hessian_norm/resnet14_seed0_epoch5.pt), [the comparison](../book/results/08_hessian_norm/benchmark.csv) with
# [its provenance](../book/results/08_hessian_norm/benchmark.json).
# The scripts are `python -m experiments.hessian_norm.record`, `python -m experiments.hessian_norm.record_steps` and `benchmarks/hessian_norm.py`.
#
# **Next.** [Does LiPrune accelerate a ResNet on CIFAR-10?](09_cifar10.ipynb)

# %% tags=["remove-input"]
opening = {
    "holds": "Yes, over the length of a step of SGD.",
    "holds-in-part": "Only in part.",
    "does-not-hold": "No.",
}.get(at_step.verdict, "Not for sure.")
near = register.margin("hessian-tight", "distance")
paper_epochs = register.margin("cost-per-example", "epochs")
worst = tables.worst_ratios(secants).groupby("activation").highest.max()
counted = f"{costly.num_runs} samples of {chunk_size} examples"
cost = Estimate.of(costly, "estimate")
at_length = claims.step_sentence(at_step)
first_screen.fill(
    f"""**{opening}** Within a distance of {near:g}, the gradient of a ReLU network
changes up to {formats.number(worst["relu"])} times as fast as the Hessian norm says,
since it jumps. {at_length} The Hessian norms of all training examples would cost
{tables.with_interval(cost, counted, "epochs of training")}. The paper, which trains for
{paper_epochs} epochs, calls this infeasible. The steps of SGD are recorded on CIFAR-10;
all else is measured on {dataset.source}.""",
    figures.secants_figure(secants),
)
