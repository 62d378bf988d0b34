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
# # Do other scores pick other data, and do they do better?
#
# ## Overview
#
# **Claim** (abstract of {cite:t}`ayed2022`): "We illustrate cases where LiPrune outperforms existing methods".
#
# **Answer.** {glue:text}`answer`
#
# **On a network** (recorded ResNet-14; mean test error after the pruning less that of random batches, in points). {glue:text}`answer-recorded`
#
# **Cost.** {glue:text}`cost`
#
# The paper names rivals, GraNd and EL2N {cite:p}`paul2021` and forgetting {cite:p}`toneva2018`, and its figures show none of them. This page first asks whether they
# choose other images than the Hessian norm does. It then lets them race: on convex problems, where the theory speaks, and on CIFAR-10, recorded.

# %% tags=["parameters"]
num_images: int = 240  # images that are scored, whole batches of them, from two batches to 5000
batch_size: int = 24  # images in a batch, where batches are scored or trained on, from 2 to 128
num_forgetting_epochs: int = 10  # epochs of the training that counts forgetting, from 2 to 200
tolerance: float = 0.03  # relative accuracy of a Hessian norm, in (0, 1)
num_runs: int = 100  # paired runs on each convex problem (fewer on digits), from 10 to 10000
seed: int = 0  # root of all random streams, from 0 to 2^63 - 1
results_dir: str = "reruns/10_other_scores"  # folder for tables; made if missing

# %%
from experiments.other_scores.runs import OtherScoresParameters

parameters = OtherScoresParameters.from_notebook(globals())

# %% tags=["hide-input"]
import time

import numpy as np
import pandas as pd
import torch
from IPython.display import HTML
from myst_nb import glue
from scipy.stats import spearmanr
from torch import nn

from experiments.hessian_norm.record import RECIPE
from experiments.other_scores import claims, convex_tables, figures, tables
from experiments.other_scores import convex as convex_scores
from experiments.other_scores import runs as other_scores
from liprune_utils import data, files
from liprune_utils.book import formats, register, style
from liprune_utils.grid import read_tables
from liprune_utils.images import draw_images, make_images
from liprune_utils.scores import score

# %% tags=["hide-input"]
style.use_style()
folder = files.results_folder(results_dir)
dataset = data.load()
files.write_json(
    folder / "provenance.json",
    files.provenance(data_source=dataset.source, pixel_sha256=dataset.sha256),
)
began = time.perf_counter()
HTML(data.banner(dataset))

# %% [markdown]
# ## Every score on the same images
#
# The recorded ResNet-14 of [page 08](08_hessian_norm.ipynb), at the start of epoch 5, scores images that it was trained on. Larger is kept first:
#
# | score | of an image |
# |---|---|
# | Hessian norm | $\lVert \nabla_w^2 f_i \rVert$, what LiPrune would use if each image could be afforded |
# | batch's norm | LiPrune as the paper runs it: one number for a whole batch, with batch norm in train mode |
# | Gauss-Newton norm | $\lVert J_i^\top A_i J_i \rVert$: the Hessian without the curvature of the network itself |
# | GraNd | $\lVert \nabla_w f_i \rVert$, here of one network; its authors average over initialisations |
# | EL2N | $\lVert p_i - e_{y_i} \rVert$, the error of the predicted probabilities, likewise of one network |
# | loss, margin | $-\log p_{i,y_i}$; the largest other logit less the label's |
# | forgetting | how often the image was right after one epoch and wrong after the next, in a short training on these images alone |
# | random | a number drawn for each image, for comparison |

# %%
images = make_images(dataset, RECIPE.num_images, RECIPE.num_test_images)
numbers, _ = draw_images(dataset, num_images, 0, seed=0)  # the same images
labels = dataset.train_labels[numbers]
pair = other_scores.networks(images)
scores, costs = other_scores.all_scores(images, pair, parameters)
fractions, num_classes = other_scores.KEEP_FRACTIONS, len(dataset.class_names)
correlations = tables.rank_correlations(scores)
overlaps = tables.overlap_table(scores, fractions)
classes = tables.class_table(scores, labels, fractions, num_classes, seed)
cost_summary = tables.cost_table(costs)
names = [dataset.class_names[label] for label in labels]
flags = tables.kept_flags(scores, fractions)
described = pd.DataFrame({"image": numbers, "class": names}).join([scores, flags])
files.write_table(folder, "scores", described)
files.write_table(folder, "correlations", correlations)
files.write_table(folder, "overlaps", overlaps)
files.write_table(folder, "classes", classes)
files.write_table(folder, "costs", costs)
files.write_table(folder, "cost_summary", cost_summary)
other_scores.save_all(folder, scores, pair, dataset, tolerance)

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-score-correlations", "caption": "Spearman's rank correlation of every two scores on the same images, one network. GraNd, EL2N, loss and margin nearly agree with each other, and so do the Hessian and the Gauss-Newton norm; the two groups agree less. Forgetting comes from another training. The batch's norm and the random score agree with none beyond chance."}, "image": {"alt": "A square table of nine by nine rank correlations, shaded from dark for low to light for high. GraNd, EL2N, loss and margin form one light block, the Hessian and the Gauss-Newton norm another, with middling values between the two; the columns of the batch's norm and of the random score are near zero."}}
figure = figures.correlation_figure(correlations)

# %% tags=["hide-input"]
glue("agreement", tables.agreement_words(correlations, overlaps), display=False)
glue("chance-correlation", f"{correlations.chance.iloc[0]:.2f}", display=False)
glue("class-words", tables.class_words(classes), display=False)
glue("num-images", f"{num_images}", display=False)
glue("num-batches", f"{num_images // batch_size}", display=False)

# %% [markdown]
# {glue:text}`agreement` The correlations are those of {glue:text}`num-images` images; unrelated scores would stay within {glue:text}`chance-correlation` of
# zero in 99% of such samples. The batch's norm takes only {glue:text}`num-batches` values.
#
# A gradient is $J_i^\top (p_i - e_{y_i})$, so that GraNd is EL2N stretched by the Jacobian. The Gauss-Newton matrix has the same Jacobian around
# $A_i = \mathrm{diag}(p_i) - p_i p_i^\top$, which is largest where the network is unsure and vanishes where it is sure, rightly or wrongly. That is where
# curvature and error part: a confident mistake has a large error and little curvature. And two scores may agree over all images and yet not on which few come first.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-score-overlaps", "caption": "Share of the images kept by their own Hessian norm that each other score keeps too, a fifth (left) and half (right) of the images kept. Grey: the range that holds at least 99% of what independent choices share (hypergeometric)."}, "image": {"alt": "Two panels with a dot for each score and a grey band for chance. The Gauss-Newton norm lies at one and GraNd right of the band in both; EL2N, loss and margin lie inside the band for a fifth and right of it for half; the batch's norm and the random score lie inside."}}
figure = figures.overlap_figure(overlaps)

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-score-classes", "caption": "Total variation distance between the classes of what each score keeps and those of all scored images, a fifth (left) and half (right) kept. Grey: where 99% of random subsets of that size lie."}, "image": {"alt": "Two panels with a dot for each score and a grey band from zero. In each panel some dots lie beyond the band and others within it."}}
figure = figures.class_figure(classes)

# %% [markdown]
# {glue:text}`class-words`
#
# Which images are these? Under each stands its class and its score.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-score-gallery", "caption": "The scored images with the highest and the lowest Hessian norm, GraNd and EL2N, from the left; class and score are below each image, whose pixels are shown as they are."}, "image": {"alt": "Six rows of small photographs: for each of three scores the images that it ranks highest and those that it ranks lowest, each with its class and score."}}
shown = dataset.train_images[numbers]
rows = tables.gallery_rows(scores, shown, names, ("hessian", "grand", "el2n"), 6)
figure = figures.gallery_figure(rows)

# %% [markdown]
# ### What a score costs
#
# Time of scoring a batch of images over the time of one gradient of the same batch, batch by batch in turn: a timing on this machine, which was doing other work if the
# range is wide. One gradient of every image is an epoch of training. For forgetting it is the number of epochs, for random nothing. Products are products with a
# Hessian: for each image, or for each batch.

# %%
shown = cost_summary.replace({"score": tables.LABELS})
shown.style.hide().format("{:.2g}", subset=["median", "min", "max", "products"], na_rep="–")

# %% [markdown]
# ### Check: the scores by other routes
#
# GraNd of three images by one plain backward pass each; EL2N from its formula; a rank correlation from scipy; the images themselves; and, for a network that is linear
# in its weights, the Hessian norm, the Gauss-Newton norm and the closed form $(\lVert x_i \rVert^2 + 1)\, \lambda_{\max}(A_i)$.

# %%
inputs, targets = images.inputs[:num_images], images.labels[:num_images]
for at in range(3):
    loss = nn.functional.cross_entropy(pair[1](inputs[at : at + 1]), targets[at : at + 1])
    parts = torch.autograd.grad(loss, list(pair[1].parameters()))
    norm = torch.cat([part.flatten() for part in parts]).norm().item()
    assert abs(norm / scores.grand[at] - 1) < 1e-3, "GraNd is not the gradient's norm"
with torch.no_grad():
    chances = pair[1](inputs).double().softmax(dim=1).numpy()
errors = np.linalg.norm(chances - np.eye(num_classes)[labels], axis=1)
assert np.allclose(errors, scores.el2n, atol=1e-4)
found = correlations.set_index(["score", "other"]).correlation["hessian", "el2n"]
assert abs(spearmanr(scores.hessian, scores.el2n).statistic - found) < 1e-12
assert (targets.numpy() == labels).all()

# %% tags=["hide-input"]
flat = nn.Sequential(nn.Flatten(), nn.Linear(inputs[0].numel(), num_classes))
few = inputs[:8], targets[:8]
limits = {"tolerance": 1e-4, "chunk_size": 8}
curved, linear = (score(name, flat, *few, **limits) for name in ("hessian", "gauss-newton"))
with torch.no_grad():
    p = flat(few[0]).double().softmax(dim=1)
spread = torch.linalg.eigvalsh(torch.diag_embed(p) - p[:, :, None] * p[:, None, :])[:, -1]
closed = (spread * (few[0].double().flatten(1).square().sum(dim=1) + 1)).numpy()
assert np.allclose(curved, closed, rtol=1e-3)
assert np.allclose(linear, closed, rtol=1e-4)

# %% [markdown]
# (scores-convex)=
# ## On convex problems
#
# Here the claim can be tested as the theory has it: $L_i$ is known exactly. Problems: the paper's linear model at its three rates ([page 04](04_linear_model.ipynb)), and the
# real data of [page 06](06_convex_is_not_enough.ipynb), at $1 / (2 \max L)$ and at the rate tuned for *no* pruning (where that is another one). Each score keeps the same
# fraction. SGD then starts from $w_0 = 0$ with ten points a step, the same rate and the same positions in the lists of kept points. Nothing is tuned for any score.
#
# GraNd, EL2N (for least squares the absolute residual) and the loss depend on where they are taken: at $w_0$, or later, after a third of the steps without pruning, which are not
# counted. Points that tie are taken in the order of random pruning.
#
# A *case* is a problem, a rate, a fraction and a rival. LiPrune is ahead in it if its test loss is lower at *all* of four steps: at a sixth, a third, two thirds
# and all of the run, that is 5, 10, 20 and 30 of the linear model's 30. The 99% intervals are widened for the number of cases (Bonferroni): with 99% chance LiPrune is called ahead wrongly in none.

# %%
began_convex = time.perf_counter()
contests = convex_tables.run_contests(num_runs, seed)
losses = convex_tables.loss_table(contests)
cases, shared = convex_tables.case_table(losses), convex_tables.shared_table(contests)
counts, best = convex_tables.count_table(cases), convex_tables.best_cases(cases)
files.write_table(folder, "convex_losses", losses)
files.write_table(folder, "convex_cases", cases)
files.write_table(folder, "convex_shared", shared)
files.write_table(folder, "convex_counts", counts)
files.write_table(folder, "convex_best", best)
outcome = claims.outperforms_claim(cases, cost=time.perf_counter() - began_convex)
register.write_claims(folder, [outcome])
table = register.verdict_table(folder.parent)
HTML(formats.claims_html(table[table.id == outcome.id]))

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-score-cases", "caption": "LiPrune's test loss over a rival's on convex problems, at the least favourable of four steps; left of the black line LiPrune is ahead at all four. Rates are the same for both. Bars: 99% intervals, widened for the number of cases (Bonferroni); 100 paired runs, 20 for digits, unless a parameter says otherwise."}, "image": {"alt": "Six panels of ratios on a logarithmic axis, a row for each problem and rate. Against random pruning LiPrune is left of one on the linear model at the two smaller rates and right of one on digits at the tuned rate. Against GraNd at the start nearly all ratios are at one. Against scores taken later they are left of one on breast cancer for the smallest fraction, right of one on digits."}}
figure = figures.case_figure(cases)

# %%
counts.replace({"against": convex_tables.LABELS}).style.hide()

# %% tags=["hide-input"]
glue("best-words", convex_tables.describe_best(best), display=False)
glue("shared-words", convex_tables.describe_shared(shared), display=False)
glue("linear-words", convex_tables.describe_linear(losses), display=False)
glue("random-words", convex_tables.describe_random(losses, cases), display=False)

# %% [markdown]
# What speaks most for LiPrune, rival by rival, at the worst step: {glue:text}`best-words`
#
# Three things limit what this shows.
#
# - **Some rivals are LiPrune itself, or random pruning.** At $W = 0$ a classifier's error is the same for all points, so that EL2N and the loss tie everywhere, and GraNd is
#   $\lVert x_i \rVert$ times a constant, LiPrune's own order. On the linear model GraNd is $|x_i|\,|w^* x_i + \nu_i|$, nearly $x_i^2$. {glue:text}`shared-words` For two classes
#   and for least squares the loss ranks as EL2N does: both count.
# - **In the paper's own setting the rivals are at least as fast at first.** {glue:text}`linear-words` They keep points whose noise adds to their labels, so that the first steps are longer still; later this
#   bias costs them.
# - **Beating a rival is not being good.** {glue:text}`random-words` The errors that a model still makes after some training are partly noise and wrong labels, and
#   a small set of them is a poor training set.

# %%
root, name = (seed, convex_scores.RACING, 0), "diabetes"
split = convex_scores.draw_split(name, root)
train, steps = split.train, convex_scores.compared_steps(name)
x, y = torch.tensor(train.x), torch.tensor(train.y[:, 0])
norms = []
for point, value in zip(x, y, strict=True):
    w = torch.zeros(len(point), dtype=torch.float64, requires_grad=True)
    norms.append(torch.autograd.grad((point @ w - value) ** 2 / 2, w)[0].norm().item())
kept = np.argsort(norms)[::-1][: round(0.1 * len(norms))]
at = convex_scores.ENTRANTS.index(convex_scores.Entrant("grand", convex_scores.START, 0.1))
assert set(kept) == set(convex_scores.kept_points(train, 0 * train.minimiser, root)[at])
w, order = np.zeros(train.x.shape[1]), convex_scores.positions(len(kept), root, steps[-1])
for batch in order:
    points = kept[batch]
    residual = train.x[points] @ w - train.y[points, 0]
    w -= train.x[points].T @ residual / len(points) / (2 * train.lipschitz.max())
again = ((split.test.x @ w - split.test.y[:, 0]) ** 2).mean() / 2
ours = contests[name, convex_scores.THEOREM][0].test_loss[-1, at]
assert abs(again / ours - 1) < 1e-9, "a plain loop ends at another loss"

# %% [markdown]
# The last cell repeats one race by a plain loop, with gradients by automatic differentiation.
#
# ## On a network, recorded
#
# {glue:text}`recorded-setting` LiPrune and random pruning keep batches; the other methods keep
# *images* by a score of their own, and cut them into new batches. Three seeds, shared by all methods. The table has test errors less those of random batches, in points, with 90% intervals.

# %%
recorded = files.PROJECT / "book" / "results" / "10_other_scores"
curves, runs, (grid,) = read_tables(recorded, ["examples"])
gaps = tables.gap_table(curves)
files.write_table(folder, "recorded_gaps", gaps)
files.write_table(folder, "recorded_gaps_99", tables.gap_table(curves, level=0.99))
tables.gap_words(gaps)

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-score-gaps", "caption": "Test error of each method less that of random batches in the same seed, recorded ResNet-14: after the last epoch (above) and averaged over the epochs after the pruning (below), a fifth (left) and half (right) kept. Left of the line a method is better. Bars: 90% intervals over three paired seeds."}, "image": {"alt": "Four panels of differences of test error in points with intervals, a row for each of seven methods, and a vertical line at zero for random batches."}}
figure = figures.gap_figure(gaps)

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-score-errors", "caption": "Test error by epoch, recorded ResNet-14, means over three seeds, a fifth (left) and half (right) kept. The dotted line marks the pruning, before which all methods are one training."}, "image": {"alt": "Two panels of test error in per cent against epoch for eight ways to choose. Until the dotted line at epoch five all curves coincide; then they part."}}
figure = figures.error_figure(curves)

# %% tags=["hide-input"]
glue(
    "recorded-setting",
    f"ResNet-{runs.depth[0]} on {grid['num_images']:,} images of {grid['data_source']}, learning rate {runs.learning_rate[0]:g}, {grid['num_epochs']} epochs, pruned at the start of epoch "
    f"{runs.prune_epoch.max()}.",
    display=False,
)
glue("recorded-final", tables.recorded_words(gaps, "final"), display=False)
glue("answer-recorded", tables.recorded_words(gaps, "mean"), display=False)
answer = convex_tables.describe_counts(outcome, counts, cases)
answer = f"{answer} {convex_tables.describe_random(losses, cases)}"
glue("answer", answer, display=False)
glue(
    "cost",
    f"{time.perf_counter() - began:.0f} seconds, {outcome.cost:.0f} of them for the convex problems; the recorded runs are not counted.",
    display=False,
)

# %% [markdown]
# After the last epoch, test error less that of random batches, in points: {glue:text}`recorded-final` The answer above says the same of the mean over the epochs after the
# pruning. Three seeds give wide intervals; a difference inside them is not a tie.
#
# Downloads: {download}`scores and what each keeps <../results/10_other_scores/scores.csv>`, {download}`correlations <../results/10_other_scores/correlations.csv>`,
# {download}`overlaps <../results/10_other_scores/overlaps.csv>`, {download}`classes <../results/10_other_scores/classes.csv>`, {download}`costs <../results/10_other_scores/cost_summary.csv>`
# ({download}`every turn <../results/10_other_scores/costs.csv>`). Convex: {download}`losses <../results/10_other_scores/convex_losses.csv>`, {download}`cases
# <../results/10_other_scores/convex_cases.csv>`, {download}`counts <../results/10_other_scores/convex_counts.csv>`, {download}`best cases <../results/10_other_scores/convex_best.csv>`,
# {download}`overlaps with LiPrune <../results/10_other_scores/convex_shared.csv>`. Recorded: {download}`curves <../book/results/10_other_scores/examples_curves.csv>`, {download}`runs
# <../book/results/10_other_scores/examples_runs.csv>`, {download}`provenance <../book/results/10_other_scores/examples_provenance.json>`; differences with {download}`90%
# <../results/10_other_scores/recorded_gaps.csv>` and {download}`99% intervals <../results/10_other_scores/recorded_gaps_99.csv>`.
#
# Scores as arrays, each with a manifest that says of what: Hessian norm ({download}`array <../results/10_other_scores/hessian-epoch4-seed0.npy>`, {download}`manifest
# <../results/10_other_scores/hessian-epoch4-seed0.json>`), batch's ({download}`array <../results/10_other_scores/hessian-batch-epoch4-seed0.npy>`, {download}`manifest
# <../results/10_other_scores/hessian-batch-epoch4-seed0.json>`), Gauss-Newton ({download}`array <../results/10_other_scores/gauss-newton-epoch4-seed0.npy>`, {download}`manifest
# <../results/10_other_scores/gauss-newton-epoch4-seed0.json>`), GraNd ({download}`array <../results/10_other_scores/grand-epoch4-seed0.npy>`, {download}`manifest
# <../results/10_other_scores/grand-epoch4-seed0.json>`), EL2N ({download}`array <../results/10_other_scores/el2n-epoch4-seed0.npy>`, {download}`manifest
# <../results/10_other_scores/el2n-epoch4-seed0.json>`), loss ({download}`array <../results/10_other_scores/loss-epoch4-seed0.npy>`, {download}`manifest
# <../results/10_other_scores/loss-epoch4-seed0.json>`), margin ({download}`array <../results/10_other_scores/margin-epoch4-seed0.npy>`, {download}`manifest
# <../results/10_other_scores/margin-epoch4-seed0.json>`). Their rows are those of the first table, whose column `image` counts the training images of the data source.
#
# ## What differs from the paper
#
# - The paper compares LiPrune with random pruning alone. Every other comparison here is this page's.
# - GraNd and EL2N are means over initialisations. Here one network gives them, which makes them noisier than their authors'; on the convex problems there is one start.
# - On the network, scores of images are compared with random *batches*. Batches are random images, so that this is random pruning of images, too.
# - Images scored live are few, and the network is early in its training. Later scores may agree less, or more.
# - The recorded runs have one depth, one learning rate and one epoch of pruning, and a tenth of the images.
#
# ## Next
#
# Why do large norms not help a network? [Page 11](11_why.ipynb) asks.
