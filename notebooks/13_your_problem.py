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
# # Does LiPrune pay on your problem?
#
# ## Overview
#
# **Question.** You have a model and data of your own, or a convex loss. How do you score, keep and train, and does keeping the largest constants pay?
#
# **Answer.** Twenty lines each, below; copy them. On the examples of this page: {glue:text}`answer`
#
# **Cost.** {glue:text}`cost`
#
# Two recipes follow. The first takes any torch model and data set: score every example, keep, train, and compare with random examples on paired seeds. The second takes a convex loss of a
# linear model and computes exact Lipschitz constants. Each ends with the comparison that decides: against random pruning, and, where the step
# matters, against random pruning with steps as long as LiPrune's.
#
# **With your own data**: put arrays `x` and `y` into an `.npz` file, and run this page with it ([how](../book/rerun.md)):
#
#     .venv/bin/papermill notebooks/13_your_problem.ipynb out.ipynb -p classes_file mine.npz

# %% tags=["parameters"]
classes_file: str = ""  # your .npz with x [n, ...] and classes y [n] from 0; or "" for digits
targets_file: str = ""  # your .npz with x [n, ...] and targets y [n]; or "" for diabetes
keep_fraction: float = 0.2  # fraction of the examples kept, in (0, 1]
scores: list = ["hessian", "grand", "loss", "random"]  # "random" and others of page 10
num_epochs: int = 20  # passes over the kept examples, from 1 to 10000
num_seeds: int = 10  # paired repetitions of the network's training, from 2 to 1000
num_steps: int = 200  # SGD steps on the convex loss, from 1 to 1000000
step_size: float = 0.003  # step size of SGD on the convex loss, in (0, 1]
num_runs: int = 50  # paired repetitions on the convex loss, from 2 to 10000
results_dir: str = "reruns/13_your_problem"  # folder for tables; made if missing

# %%
from experiments.your_problem.runs import OwnProblemParameters

parameters = OwnProblemParameters.from_notebook(globals())

# %% tags=["hide-input"]
import time
from hashlib import sha256

import numpy as np
import pandas as pd
import torch
from myst_nb import glue
from scipy.sparse.linalg import eigsh
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, Subset

from experiments.your_problem import figures
from experiments.your_problem import runs as own_problem
from experiments.your_problem.runs import as_dataset, comparison, split
from liprune_utils import files
from liprune_utils.book import formats, style
from liprune_utils.curvature import hessian_operator
from liprune_utils.intervals import Estimate
from liprune_utils.lipschitz import largest_secant
from liprune_utils.pruning import keep_highest
from liprune_utils.score_files import ScoreManifest, save_scores, weights_sha256
from liprune_utils.scores import score

style.use_style()
folder = files.results_folder(results_dir)
began = time.perf_counter()

# %% [markdown]
# ## Your network
#
# Yours are the data, the model and the loop that trains it. Here: {glue:text}`data-words` and a small perceptron, trained by SGD.

# %%
examples = own_problem.read_classes(classes_file)


def new_model(seed):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        num_classes = int(examples.y.max()) + 1
        width = examples.x.shape[1]
        return nn.Sequential(nn.Linear(width, 32), nn.ReLU(), nn.Linear(32, num_classes))


def fit(model, dataset, epochs, seed):
    draw = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for _ in range(epochs):
        for inputs, labels in DataLoader(dataset, batch_size=32, shuffle=True, generator=draw):
            loss = functional.cross_entropy(model(inputs), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model


# %% [markdown]
# ### Score, keep, train
#
# LiPrune is three lines of this cell: `score`, `keep_highest`, and training on what is kept. The network that scores has trained for two epochs on all
# examples; a new one is then trained on the kept ones. `"hessian"` is the norm of each example's own Hessian.
# Other names are other scores ([page 10](10_other_scores.ipynb)); {py:func}`liprune_utils.scores.score` says what each needs. A network with batch norm is scored in eval mode,
# after {py:func}`liprune_utils.training.with_population_statistics`; fixed batches, as in the paper, with `"hessian-batch"` and `batches=`.


# %%
def prune_and_train(name, seed):
    train, test = map(as_dataset, split(examples, seed))
    scorer = fit(new_model(seed), train, epochs=2, seed=seed)
    values = score(name, scorer, *train.tensors, seed=seed)
    kept = keep_highest(values, keep_fraction)
    model = fit(new_model(seed + 1000), Subset(train, kept.tolist()), num_epochs, seed)
    inputs, labels = test.tensors
    error = (model(inputs).argmax(dim=1) != labels).double().mean().item()
    shares = train.tensors[1][kept].bincount(minlength=int(examples.y.max()) + 1) / len(kept)
    return {"test_error": 100 * error, "rarest_class": 100 * shares.min().item()}


rows = pd.DataFrame(
    [
        {"score": name, "seed": seed} | prune_and_train(name, seed)
        for name in scores
        for seed in range(num_seeds)
    ]
)

# %%
compared = comparison(rows, "test_error")
compared["rarest_class"] = rows.groupby("score").rarest_class.mean()[compared.score].to_numpy()
files.write_table(folder, "network_runs", rows)
files.write_table(folder, "network", compared)
compared.style.hide().format("{:.3g}", subset=compared.columns[1:], na_rep="–")

# %% [markdown]
# Test error in per cent; difference from random examples with its 95% interval over the paired seeds; and the share of the rarest class among the kept examples, in per cent: where it nears 0 the
# network never sees that class.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-own-network", "caption": "Your network: test error when the examples with the largest scores are kept, less that with random examples, mean over paired seeds with 95% intervals. Right of zero the score is worse than random."}, "image": {"alt": "A row for each score with a marker and a horizontal bar, and a vertical line at zero, the error with random examples."}}
figure = figures.differences_figure(compared, "test error, less that with random examples (points)")

# %% [markdown]
# ### Keep the scores
#
# Scores are expensive. A file with a manifest says what they are of, and refuses to be read as anything else ({py:func}`liprune_utils.score_files.load_scores`).

# %%
train, _ = map(as_dataset, split(examples, 0))
scorer = fit(new_model(0), train, epochs=2, seed=0)
values = score("hessian", scorer, *train.tensors)
manifest = ScoreManifest(
    score="hessian", model="perceptron", epoch=2, batch_norm="eval", seed=0, tolerance=0.01,
    data_source=examples.name, pixel_sha256=sha256(train.tensors[0].numpy()).hexdigest(),
    weights_sha256=weights_sha256(scorer), num_examples=len(values),
)  # fmt: skip
print(save_scores(folder, values, manifest).name)

# %% [markdown]
# ## Your convex loss
#
# Let $f_i(w) = \phi(w \cdot x_i, y_i)$, the loss of a linear model. Its gradient has the Lipschitz constant
#
# $$
# L_i = c \, \|x_i\|^2, \qquad c = \sup_z |\phi''(z, y_i)|,
# $$ (eq-own-constant)
#
# since the Hessian is $\phi''(w \cdot x_i, y_i)\, x_i x_i^\top$. Yours is $\phi$, in torch; $c$ comes from its second derivative. Here: $\phi = \log \cosh(z - y)$, a smooth absolute
# error, convex and gentle with outliers, on {glue:text}`target-words`.


# %%
def phi(z, y):
    return torch.logaddexp(z - y, y - z)


targets = own_problem.read_targets(targets_file)
source = f"{examples.name} and {targets.name}"
files.write_json(folder / "provenance.json", files.provenance(data_source=source))
train_points, test_points = split(targets, seed=0)
largest = own_problem.largest_curvature(phi, train_points.y)
lipschitz = largest * (train_points.x**2).sum(axis=1)
kept = keep_highest(lipschitz, keep_fraction)
longer = lipschitz[kept].mean() / lipschitz.mean()  # how much longer LiPrune's mean step is
print(f"c = {largest:.6g}; kept {len(kept)} of {len(lipschitz)}, mean constant {longer:.2f} times")


# %%
def slope(z, y):
    z = torch.as_tensor(z).requires_grad_()
    return torch.autograd.grad(phi(z, torch.as_tensor(y)).sum(), z)[0].numpy()


def descend(points, size):  # points [num_runs, k]; all runs at once, one point a step
    w, losses = np.zeros((num_runs, train_points.x.shape[1])), []
    for place in places.T:
        predictions = torch.from_numpy(w @ test_points.x.T)
        losses.append(phi(predictions, torch.from_numpy(test_points.y)).mean(dim=1).numpy())
        chosen = points[np.arange(num_runs), place]
        x, y = train_points.x[chosen], train_points.y[chosen]
        w = w - size * slope((w * x).sum(axis=1), y)[:, None] * x
    return np.array(losses).T


# %%
draw = np.random.default_rng(0)
places = draw.integers(len(kept), size=(num_runs, num_steps))  # the same for all three ways
chance = draw.random((num_runs, len(lipschitz))).argsort(axis=1)[:, : len(kept)]
found = {
    "liprune": descend(np.tile(kept, (num_runs, 1)), step_size),
    "random": descend(chance, step_size),
    "longer": descend(chance, step_size * longer),
}
curves = pd.concat(
    [
        pd.DataFrame({"method": name, "seed": seed, "step": range(num_steps), "test_loss": losses})
        for name, runs in found.items()
        for seed, losses in enumerate(runs)
    ]
)
means = curves.groupby(["method", "seed"], sort=False).test_loss.mean().reset_index()
convex = comparison(means, "test_loss", group="method")
files.write_table(folder, "convex_curves", curves)
files.write_table(folder, "convex", convex)
convex.style.hide().format("{:.3g}", subset=convex.columns[1:], na_rep="–")

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-own-convex", "caption": "Your convex loss: mean test loss against SGD step, one point a step, for the points with the largest constants, for random points, and for random points with a step size so much larger that the mean step is as long as LiPrune's. Bands are 95% intervals of the mean over paired repetitions."}, "image": {"alt": "Three curves of test loss against SGD step: LiPrune, random pruning, and random pruning with longer steps."}}
figure = figures.race_figure(curves)

# %% [markdown]
# The table has the mean test loss over all steps, low where the loss falls soon, and its difference from random pruning with a 95% interval. The split is one: the interval speaks of the random choice
# and order, not of other data.
#
# ## Check: another derivative, another eigensolver, and secants
#
# The Hessian norms of three examples must agree with ARPACK's, fed with products by forward-over-reverse differentiation in double precision. Of the convex loss no secant of a
# point's gradient, between random weights, may be steeper than the point's constant; and over a fine grid of weights along the point, where the gradient changes most, the steepest must come near it.

# %%
scorer.double()
for place in (0, 1, 2):
    pair = train.tensors[0][place : place + 1].double(), train.tensors[1][place : place + 1]
    hessian = hessian_operator(scorer, functional.cross_entropy, *pair)
    norm = abs(eigsh(hessian, k=1, tol=1e-4, return_eigenvectors=False)[0])
    assert abs(values[place] / norm - 1) < 0.02, f"{values[place]} is not {norm}"

x, y = train_points.x[:20], train_points.y[:20]
w = np.random.default_rng(1).normal(size=(200, x.shape[1]))
gradients = slope(w @ x.T, np.tile(y, (len(w), 1)))[..., None] * x
secants = np.linalg.norm(np.diff(gradients, axis=0), axis=2)
secants /= np.linalg.norm(np.diff(w, axis=0), axis=1)[:, None]
assert (secants.max(axis=0) <= lipschitz[:20] * (1 + 1e-9)).all()
z = np.linspace(-50, 50, 100_001)[:, None] + y
steepest = largest_secant(z, slope(z, np.tile(y, (len(z), 1)))) * (x**2).sum(axis=1)
np.testing.assert_allclose(steepest, lipschitz[:20], rtol=1e-3)
print("Eigenvalues agree; no secant is steeper than its constant, and some come near.")

# %% tags=["hide-input"]
rival = convex.set_index("method")
fair = comparison(
    means[means.method != "random"].replace({"method": {"longer": "random"}}), "test_loss", "method"
).iloc[0]
first = compared[compared.score != "random"].iloc[0]


def words(row):
    gap = Estimate(row.difference, row.low, row.high, int(row.num_seeds))
    return formats.estimated(gap, "pairs")


glue(
    "answer",
    f"Keeping {keep_fraction:g} of {examples.name} by {first.score!r} instead of at random changes the test error, in points, by {words(first)} (95% interval). On the convex loss LiPrune "
    f"changes the mean test loss of random points by {words(rival.loc['liprune'])}, and that of random points with steps as long by {words(fair)}.",
    display=False,
)
glue("data-words", f"{examples.name}, {len(examples.y):,} examples,", display=False)
glue("target-words", f"{train_points.name}, {len(lipschitz):,} training points", display=False)
glue(
    "cost",
    f"{time.perf_counter() - began:.0f} seconds on {torch.get_num_threads()} threads.",
    display=False,
)

# %% [markdown]
# Tables: {download}`network, compared <../results/13_your_problem/network.csv>`, {download}`each run <../results/13_your_problem/network_runs.csv>`,
# {download}`convex, compared <../results/13_your_problem/convex.csv>`, {download}`curves <../results/13_your_problem/convex_curves.csv>`; scores of the network's training part:
# {download}`array <../results/13_your_problem/hessian-epoch2-seed0.npy>`, {download}`manifest <../results/13_your_problem/hessian-epoch2-seed0.json>`.
#
# ## What to do with the answer
#
# If random wins, or the longer step explains all, keep random examples, and tune the step size: that is [what page 06 finds](for-practice) in most of its problems. If your score wins, repeat
# it with other seeds and fractions before you believe it, and look at the class shares. For a network the sharp constants need the whole space of weights; the Hessian norm
# at one point of it is a stand-in ([page 08](08_hessian_norm.ipynb)).
#
# ## Next
#
# [The library](../book/api.md) has every function with its equation, [rerun](../book/rerun.md) how to run many settings.
