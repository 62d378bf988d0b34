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
# # 13. Does LiPrune pay on your data?

# %% tags=["remove-input"]
try:
    from liprune_utils.book import first_screen
except ModuleNotFoundError:
    raise SystemExit(
        "This page needs the kernel LiPrune, which `make book` installs."
    ) from None

first_screen.reserve("answer")

# %% tags=["remove-input"] mystnb={"figure": {"name": "fig-own-problem", "caption": "Left: test error of a network when the examples with the largest scores are kept, less that with random examples; mean over paired runs with 95% intervals. The score hessian, if it is among them, is LiPrune's. Right: mean test loss of SGD on a convex loss, with 95% intervals: LiPrune's points, random points, and random points with steps that are on average as long as LiPrune's."}, "image": {"alt": "Two panels. On the left a row for each score, with a marker and a bar, and a vertical line at zero, the error with random examples. On the right three falling curves of test loss against SGD step: LiPrune, random pruning, and random pruning with LiPrune's step."}}
first_screen.reserve("figure")

# %% [markdown]
# ## Run it yourself
#
# Put arrays `x`, of shape `[n, ...]`, and `y`, the classes of shape `[n]`, numbers or words, into an `.npz` file, or write a `.csv` with a column `y`. Then the whole page is about
# your data: the convex loss tells the most frequent class from the others. With `targets_file`, `y` are any numbers, and the network tells which lie above their median. With both
# files each recipe has its own. [How to rerun a page](../book/rerun.md) has the details.
#
#     .venv/bin/papermill notebooks/13_your_problem.ipynb out.ipynb -p classes_file mine.npz

# %% tags=["parameters", "hide-cell"] mystnb={"code_prompt_show": "Parameters", "code_prompt_hide": "Parameters"}
classes_file: str = ""  # your .npz or .csv with x and classes y; or "" for digits
targets_file: str = ""  # your .npz or .csv with x and numbers y; or "" for diabetes
keep_fraction: float = 0.2  # fraction of the examples kept, in (0, 1]
scores: list = ["hessian", "grand", "loss", "random"]  # "random" and others of page 10
num_epochs: int = 20  # passes over the kept examples, from 1 to 10000
num_seeds: int = 10  # paired repetitions of the network's training, from 2 to 1000
num_steps: int = 200  # SGD steps on the convex loss, from 1 to 1000000
step_size: float = 0.03  # of SGD, times one over the mean constant, in (0, 1]
num_runs: int = 50  # paired repetitions on the convex loss, from 2 to 10000
results_dir: str = "reruns/13_your_problem"  # folder for tables; made if missing

# %% tags=["hide-cell"] mystnb={"code_prompt_show": "Check of the parameters, imports", "code_prompt_hide": "Check of the parameters, imports"}
from experiments.your_problem.runs import OwnProblemParameters

parameters = OwnProblemParameters.from_notebook(globals())

from hashlib import sha256

import numpy as np
import pandas as pd
import torch
from IPython.display import Markdown
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, Subset

import liprune_utils as lp
from experiments.your_problem import figures, own_data, runs
from experiments.your_problem.runs import as_dataset, comparison, difference, split
from liprune_utils import files
from liprune_utils.book import formats, style
from liprune_utils.lipschitz import largest_secant
from liprune_utils.score_files import weights_sha256

style.use_style()
folder = parameters.results_folder()

# %% [markdown]
# ## What the paper claims
#
# [Ayed and Hayou (2022)](cite:ayed2022) put forward a hypothesis in Section 3: with LiPrune "we can accelerate the convergence speed with minimal loss in performance". Whether it
# holds for a problem of yours is a question for your data. This page has two recipes. The first takes any torch model: score every example by its Hessian norm, keep, and train.
# The second takes a convex loss of a linear model, whose Lipschitz constants are exact. Each ends with the comparison that decides, with random
# pruning. On the convex loss random pruning also gets steps as long as LiPrune's.
#
# ## The method in a few lines
#
# Yours are the data, the model and the loop that trains it. Here they are handwritten digits, or the classes in your file, and a small perceptron:

# %%
examples = own_data.read_classes(classes_file, targets_file)
num_classes = int(examples.y.max()) + 1


def new_model(seed):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layer = nn.Linear(examples.x.shape[1], 32)
        return nn.Sequential(layer, nn.ReLU(), nn.Linear(32, num_classes))


def fit(model, dataset, epochs, seed):
    draw = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for _ in range(epochs):
        for x, y in DataLoader(dataset, batch_size=32, shuffle=True, generator=draw):
            optimizer.zero_grad()
            functional.cross_entropy(model(x), y).backward()
            optimizer.step()
    return model


# %% [markdown]
# LiPrune is three lines: score, keep, and train on what is kept. The network that scores has trained for two epochs on all examples. A
# new one is trained on the kept ones. With many classes the
# largest eigenvalues lie close together: at the default tolerance the search for a norm may stop at a smaller one.

# %%
TOLERANCE = 1e-4  # relative error of a norm
train, test = map(as_dataset, split(examples, seed=0))
scorer = fit(new_model(0), train, epochs=2, seed=0)

values = lp.score("hessian", scorer, train, tolerance=TOLERANCE)
kept = lp.keep_highest(values, keep_fraction)
model = fit(new_model(1000), Subset(train, kept.tolist()), num_epochs, seed=0)

# %% [markdown]
# The score of an example is the norm of the Hessian of its own loss. In plain torch and scipy it is the largest eigenvalue in size of the operator that two
# backward passes compute. The library must find the same, and keep the examples with the largest scores:


# %%
def plain_norm(model, x, y):
    weights = list(model.parameters())
    loss = functional.cross_entropy(model(x), y)
    parts = torch.autograd.grad(loss, weights, create_graph=True)
    gradient = torch.cat([part.flatten() for part in parts])

    def product(vector):
        along = gradient @ torch.from_numpy(vector.ravel()).float()
        parts = torch.autograd.grad(along, weights, retain_graph=True)
        return torch.cat([part.flatten() for part in parts]).numpy()

    size = len(gradient)
    hessian = LinearOperator((size, size), product, dtype=np.float32)
    return abs(eigsh(hessian, k=1, tol=1e-4, return_eigenvectors=False)[0])


inputs, labels = train.tensors
norms = [plain_norm(scorer, inputs[i : i + 1], labels[i : i + 1]) for i in range(3)]
np.testing.assert_allclose(values[:3], norms, rtol=0.02, atol=1e-5)
largest = np.argsort(-values, kind="stable")[: len(kept)]
np.testing.assert_array_equal(kept, np.sort(largest))

# %% [markdown]
# ## Compare with random examples
#
# One run proves little. Each score is tried on several random splits, and on each split against random examples. The table has the test error in per cent, its
# difference from random examples with a 95% interval over the splits, and the share of the rarest class among the kept examples in per cent. Where this share is
# near 0 the network hardly sees that class.
#
# [Other names](10_other_scores.ipynb) are other scores; the
# [documentation](../book/api.md) of `liprune_utils.score` says what each needs. A network with batch norm is scored in eval mode. Its running statistics are those of the
# training set after `liprune_utils.training.with_population_statistics`. Fixed batches, as in the paper, are scored by
# `"hessian-batch"` with `batches=`.


# %%
def prune_and_train(name, seed):
    train, test = map(as_dataset, split(examples, seed))
    scorer = fit(new_model(seed), train, epochs=2, seed=seed)
    values = lp.score(name, scorer, train, seed=seed, tolerance=TOLERANCE)
    kept = lp.keep_highest(values, keep_fraction)
    model = fit(new_model(seed + 1000), Subset(train, kept.tolist()), num_epochs, seed)
    inputs, labels = test.tensors
    error = (model(inputs).argmax(dim=1) != labels).double().mean().item()
    shares = train.tensors[1][kept].bincount(minlength=num_classes) / len(kept)
    return {"test_error": 100 * error, "rarest_class": 100 * shares.min().item()}


rows = pd.DataFrame(
    [
        {"score": name, "seed": seed} | prune_and_train(name, seed)
        for name in scores
        for seed in range(num_seeds)
    ]
)
compared = comparison(rows, "test_error")
rarest = rows.groupby("score").rarest_class.mean()
compared["rarest_class"] = rarest[compared.score].to_numpy()
compared.style.hide().format("{:.3g}", subset=compared.columns[1:], na_rep="–")

# %% [markdown]
# Any map-style `Dataset` is read in pieces, so it may be larger than the memory. With `folder=` each finished shard is kept, and the same call goes on after it was killed;
# with `client=` the workers of a Dask cluster score the shards.
#
# Scores are expensive, so keep them. The file has a manifest that says what the scores are of, and `lp.load_scores` refuses to read it as anything else:

# %%
manifest = lp.ScoreManifest(
    score="hessian",
    model="perceptron",
    epoch=2,
    batch_norm="eval",
    seed=0,
    tolerance=TOLERANCE,
    data_source=examples.name,
    pixel_sha256=sha256(train.tensors[0].numpy()).hexdigest(),
    weights_sha256=weights_sha256(scorer),
    num_examples=len(values),
)
print(lp.save_scores(folder, values, manifest).name)

# %% [markdown]
# ## Your convex loss
#
# Let $f_i(w) = \phi(w \cdot x_i, y_i)$ be the loss of a linear model. The Hessian is $\phi''(w \cdot x_i, y_i)\, x_i x_i^\top$, so the gradient has the Lipschitz constant
#
# $$
# L_i = c \, \|x_i\|^2, \qquad c = \sup_z |\phi''(z, y_i)| . \label{eq-own-constant}
# $$
#
# Yours is $\phi$, in torch; $c$ comes from its second derivative. Here it is $\phi = \log(e^{z - y} + e^{y - z})$, a smooth absolute error that is convex and gentle with
# outliers. The data are scikit-learn's diabetes, or those in your file.


# %%
def phi(z, y):
    return torch.logaddexp(z - y, y - z)


def slope(z, y):  # the derivative of phi in its first argument
    z = torch.as_tensor(z, dtype=torch.float64).requires_grad_()
    return torch.autograd.grad(phi(z, torch.as_tensor(y)).sum(), z)[0].numpy()


targets, held_out = split(own_data.read_targets(targets_file, classes_file), seed=0)
x, y = targets.x, targets.y
lipschitz = runs.largest_curvature(phi, y) * (x**2).sum(axis=1)
kept_points = lp.keep_highest(lipschitz, keep_fraction)
longer = lipschitz[kept_points].mean() / lipschitz.mean()
size = step_size / lipschitz.mean()
runs.check_step(step_size, longer * lipschitz.max() / lipschitz.mean())
print(f"{len(kept_points)} points kept; mean constant {longer:.2f} times that of all")

# %% [markdown]
# SGD takes one of the kept points per step. `descend` runs all repetitions at once, and must find the losses of the plain loop:


# %%
def test_loss(w):
    predictions = torch.from_numpy(w @ held_out.x.T)
    return phi(predictions, torch.from_numpy(held_out.y)).mean(dim=-1).numpy()


def descend(points, places, size):  # points [num_runs, k], places [num_runs, num_steps]
    w, losses = np.zeros((len(points), x.shape[1])), []
    for place in places.T:
        losses.append(test_loss(w))
        i = points[np.arange(len(points)), place]
        w = w - size * slope((w * x[i]).sum(axis=1), y[i])[:, None] * x[i]
    return np.array(losses).T


draw = np.random.default_rng(0)
places = draw.integers(len(kept_points), size=(num_runs, num_steps))  # for all methods
own = descend(np.tile(kept_points, (num_runs, 1)), places, size)

w, losses = np.zeros(x.shape[1]), []
for i in kept_points[places[0]]:
    losses.append(test_loss(w))
    w = w - size * slope(w @ x[i], y[i]) * x[i]
np.testing.assert_allclose(own[0], losses)

# %% [markdown]
# The rivals are random points, at the same step size and at one so much larger that the mean step is as long as LiPrune's. The table has the mean test loss over all
# steps, which is low where the loss falls soon, and its difference from random points with a 95% interval over the repetitions. There is one split: the interval covers
# the random choice and order, not other data.

# %%
chance = draw.random((num_runs, len(x))).argsort(axis=1)[:, : len(kept_points)]
found = {
    "liprune": own,
    "random": descend(chance, places, size),
    "longer": descend(chance, places, size * longer),
}
curves = pd.concat(
    [
        pd.DataFrame({"method": name, "seed": seed, "step": range(num_steps)}).assign(
            test_loss=losses
        )
        for name, repetitions in found.items()
        for seed, losses in enumerate(repetitions)
    ]
)
means = curves.groupby(["method", "seed"], sort=False).test_loss.mean().reset_index()
convex = comparison(means, "test_loss", group="method")
convex.style.hide().format("{:.3g}", subset=convex.columns[1:], na_rep="–")

# %% tags=["hide-input"]
rivals = means[means.method != "random"].replace({"method": {"longer": "random"}})
fair = comparison(rivals, "test_loss", group="method")
of_points, of_step = difference(convex, "liprune"), difference(fair, "liprune")
points, step = (
    formats.difference(gap, level=runs.LEVEL) for gap in (of_points, of_step)
)
source = f"{examples.name} and {targets.name}"
files.write_json(folder / "provenance.json", files.provenance(data_source=source))
written = {"network": compared, "network_runs": rows, "convex": convex}
for name, table in (written | {"convex_curves": curves}).items():
    files.write_table(folder, name, table)
Markdown(f"""LiPrune's mean test loss is {points} than that of random points, and {step}
than that of random points with steps as long.""")

# %% [markdown]
# The constants are checked without the second derivative. No secant of a point's gradient, between random weights, may be steeper than the constant. Over a fine
# grid of weights along the point, where the gradient changes most, the steepest must come near it.

# %%
few_x, few_y = x[:20], y[:20]
w = np.random.default_rng(1).normal(size=(200, x.shape[1]))
gradients = slope(w @ few_x.T, np.tile(few_y, (len(w), 1)))[..., None] * few_x
secants = np.linalg.norm(np.diff(gradients, axis=0), axis=2)
secants /= np.linalg.norm(np.diff(w, axis=0), axis=1)[:, None]
assert (secants.max(axis=0) <= lipschitz[: len(few_x)] * (1 + 1e-9)).all()

z = np.linspace(-50, 50, 100_001)[:, None] + few_y
steepest = largest_secant(z, slope(z, np.tile(few_y, (len(z), 1))))
steepest *= (few_x**2).sum(axis=1)
np.testing.assert_allclose(steepest, lipschitz[: len(few_x)], rtol=1e-3)

# %% [markdown]
# ## What to do with the answer
#
# If random examples are as good, or a longer step does as well, keep random examples and tune the step size. That is [what page 6 finds](for-practice) in most of its problems. If your
# score is better, repeat it with other seeds and fractions before you believe it, and look at the shares of the classes. If labels are dear and a linear model fits, keep
# [an optimal design or the largest leverages](what-to-do): `lp.optimal_design(x, keep_fraction=0.1).kept`. For a network an exact constant needs the whole space of
# weights; [the Hessian norm at one point of it](08_hessian_norm.ipynb) is a stand-in.
#
# **What differs from the paper.** The paper prunes fixed batches of a network; here single examples are pruned. The network is small enough to train many times.
#
# **Tables.** [The network, compared](../results/13_your_problem/network.csv) and [each run](../results/13_your_problem/network_runs.csv),
# [the convex loss, compared](../results/13_your_problem/convex.csv) and [its curves](../results/13_your_problem/convex_curves.csv), the scores of the training
# part ([array](../results/13_your_problem/hessian-epoch2-seed0.npy), [manifest](../results/13_your_problem/hessian-epoch2-seed0.json)).
#
# **Next.** [All claims, with their measurements and verdicts](14_verdict.ipynb)

# %% tags=["remove-input"]
score = next(
    name for name in ["hessian", *scores] if name in scores and name != "random"
)
of_network = difference(compared, score)
network = formats.difference(of_network, "points", level=runs.LEVEL)
words = {True: "yes", False: "no", None: "these runs do not tell"}
network_words, convex_words = words[of_network.below(0)], words[of_points.below(0)]
if of_points.below(0):
    if_longer = {
        True: "",
        False: ", but a longer step pays more",
        None: ", as a longer step may",
    }
    convex_words += if_longer[of_step.below(0)]
measure = {"hessian": "Hessian norms"}.get(score, f"{score} scores")
by_score = "" if score == "hessian" else f" by {score}, not LiPrune's score"
first_screen.fill(
    f"""**For the network{by_score}, {network_words}.
For the convex loss, {convex_words}.**
On *{formats.literal(examples.name)}*, keeping the {100 * keep_fraction:.3g}% of the
examples with the largest {measure} gives a test error {network} than keeping random
ones, over {num_seeds} pairs of runs. On *{formats.literal(targets.name)}*, LiPrune's
points give a mean test loss over {num_steps:,} steps that is {points} than with random
points, and {step} than with random points and steps as long, over {num_runs} pairs.""",
    figures.answer_figure(compared, curves),
)
