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
# # 10. Would another score do better?

# %% tags=["remove-input"]
try:
    from liprune_utils.book import first_screen
except ModuleNotFoundError:
    raise SystemExit(
        "This page needs the kernel LiPrune, which `make book` installs."
    ) from None

first_screen.reserve("answer")

# %% tags=["remove-input"] mystnb={"figure": {"name": "fig-score-gaps", "caption": "Pruning by other scores, recorded with a ResNet-14 on CIFAR-10: test error less that of random batches in the same seed, averaged over the epochs after the pruning, with a fifth (left) and half (right) of the images kept. Left of the line a method is better than random pruning. Bars: 90% intervals over paired seeds."}, "image": {"alt": "Two panels of differences of test error in points, with a row for LiPrune and for each of six scores of single images: a marker with a horizontal bar, and a vertical line at zero for random batches."}}
first_screen.reserve("figure")

# %% [markdown]
# ## Run it yourself
#
# The parameters set the scoring of images and the convex problems. The runs of the network are recorded.
# [How to rerun a page](../book/rerun.md) has the details.

# %% tags=["parameters", "hide-cell"] mystnb={"code_prompt_show": "Parameters", "code_prompt_hide": "Parameters"}
num_images: int = 240  # images scored, whole batches, from two batches to 5000
batch_size: int = 24  # images in a batch, to score or to train on, from 2 to 128
num_forgetting_epochs: int = 10  # epochs in which forgetting is counted, from 2 to 200
tolerance: float = 0.03  # relative accuracy of a Hessian norm, in (0, 1)
num_runs: int = 200  # data sets per problem, a tenth on real data, from 10 to 10000
seed: int = 0  # root of all random streams, from 0 to 2^63 - 1
results_dir: str = "reruns/10_other_scores"  # folder for tables; made if missing

# %% tags=["hide-cell"] mystnb={"code_prompt_show": "Check of the parameters, imports", "code_prompt_hide": "Check of the parameters, imports"}
from experiments.other_scores.runs import OtherScoresParameters

parameters = OtherScoresParameters.from_notebook(globals())

import time

import numpy as np
import pandas as pd
import torch
from IPython.display import HTML, Markdown, display
from torch.nn.functional import cross_entropy, one_hot

import liprune_utils as lp
from experiments.convex_is_not_enough import runs as convex_runs
from experiments.hessian_norm.record import RECIPE
from experiments.other_scores import claims, convex_tables, figures, tables
from experiments.other_scores import convex as convex_scores
from experiments.other_scores import runs as other_scores
from experiments.other_scores.contests import run_contests
from liprune_utils import data, files
from liprune_utils.book import formats, register, style
from liprune_utils.grid import read_tables
from liprune_utils.images import draw_images, make_images

style.use_style()
folder = parameters.results_folder()
dataset = data.load()
source = f"{dataset.source}; {convex_runs.DATA}"
facts = files.provenance(data_source=source, pixel_sha256=dataset.sha256)
files.write_json(folder / "provenance.json", facts)

# %% [markdown]
# ## What the paper claims
#
# The abstract says: "We illustrate cases where LiPrune outperforms existing methods". The introduction names rivals, among them GraNd and EL2N of
# [Paul et al. (2021)](cite:paul2021) and the forgetting of [Toneva et al. (2018)](cite:toneva2018). The paper's figures show none of them. This page asks whether they
# choose other images than the Hessian norm does. Then it lets them race: on convex problems, where the theory speaks, and on CIFAR-10.
#
# ## The method in a few lines
#
# GraNd is the norm of an image's gradient. EL2N is the norm of the softmax less the one-hot label. The network is the ResNet-14 of
# [page 8](08_hessian_norm.ipynb), which was recorded on CIFAR-10, at the start of epoch 5.

# %%
images = make_images(dataset, RECIPE.num_images, RECIPE.num_test_images)
inputs, labels = images.inputs[:num_images], images.labels[:num_images]
by_batch, network = other_scores.networks(images)

grand, el2n = [], []
for image, label in zip(inputs[:6], labels[:6], strict=True):
    logits = network(image[None])
    loss = cross_entropy(logits, label[None])
    gradients = torch.autograd.grad(loss, list(network.parameters()), retain_graph=True)
    grand.append(torch.cat([gradient.flatten() for gradient in gradients]).norm())
    el2n.append((logits.softmax(dim=1) - one_hot(label, logits.shape[1])).norm())

# %% [markdown]
# The library computes them for many images at once:

# %%
fast = lp.example_gradient_norms(network, cross_entropy, inputs[:6], labels[:6])
np.testing.assert_allclose(fast, torch.stack(grand), rtol=1e-3)
errors = lp.score("el2n", network, inputs[:6], labels[:6])
np.testing.assert_allclose(errors, torch.stack(el2n).detach(), rtol=1e-3)
print("GraNd of six images:", *np.round(fast, 2))
print("EL2N of six images: ", *np.round(errors, 2))

# %% [markdown]
# ## Every score on the same images
#
# Larger is kept first:
#
# | score | of an image |
# |---|---|
# | Hessian norm | $\lVert \nabla_w^2 f_i \rVert$, what LiPrune would use if it could afford it for each image |
# | batch's norm | LiPrune as the paper runs it: one number for a whole batch, with batch norm in train mode |
# | Gauss-Newton norm | $\lVert J_i^\top A_i J_i \rVert$: the Hessian without the curvature of the network itself |
# | GraNd | $\lVert \nabla_w f_i \rVert$, here of one network; its authors average over initialisations |
# | EL2N | $\lVert p_i - e_{y_i} \rVert$, the error of the predicted probabilities, likewise of one network |
# | loss, margin | $-\log p_{i,y_i}$; the largest other logit less the label's |
# | forgetting | how often the image was right after one epoch and wrong after the next, in a short training on these images alone |
# | random | a number drawn for each image, for comparison |
#
# The second table has the time of scoring a batch of images over the time of one gradient of the same batch. One gradient of every image is an epoch of
# training. The times are those of the machine that built this page. Products are products with a Hessian, for each image or for each batch.

# %%
pair, fractions = (by_batch, network), other_scores.KEEP_FRACTIONS
scores, costs = other_scores.all_scores(images, pair, parameters)
correlations = tables.rank_correlations(scores)
overlaps = tables.overlap_table(scores, fractions)
fewest = overlaps[overlaps.keep_fraction == min(fractions)]
shared = tables.overlaps_with("hessian", fewest).set_index("name").overlap
display(
    Markdown(
        f"On {num_images} images of {dataset.source}: of the {min(fractions):.0%} with "
        f"the largest Hessian norms, GraNd keeps {shared['grand']:.0%} too, EL2N "
        f"{shared['el2n']:.0%}, the loss {shared['loss']:.0%}. Chance would give "
        f"{fewest.chance.iloc[0]:.0%}. Rank correlations of unrelated scores would be "
        f"within ±{correlations.chance.iloc[0]:.2f} in 99% of such samples."
    )
)
shown = tables.cost_table(costs).replace({"score": tables.LABELS})
shown.columns = ["score", "median time", "lowest", "highest", "products", "batches"]
shown.style.hide().format("{:.2g}", subset=shown.columns[1:5], na_rep="–")

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-score-correlations", "caption": "Spearman's rank correlation of every two scores on the same images, one network. Forgetting comes from another training. The batch's norm is one number for all images of a batch."}, "image": {"alt": "A square table of nine by nine rank correlations, shaded from dark for low to light for high, with the value written into each cell."}}
figure = figures.correlation_figure(correlations)

# %% [markdown]
# Why do [these groups](fig-score-correlations) form? A gradient is $J_i^\top (p_i - e_{y_i})$, so GraNd is EL2N stretched by the Jacobian. The Gauss-Newton
# matrix has the same Jacobian around $A_i = \mathrm{diag}(p_i) - p_i p_i^\top$. This matrix is largest where the network is unsure, and vanishes where it is sure, rightly
# or wrongly. A confident mistake has a large error and little curvature. Two scores may also agree over all images and yet not on which few come first.
#
# Which images are these? Under each stand its class and its score.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-score-gallery", "caption": "The scored images with the highest and the lowest Hessian norm, GraNd and EL2N, from the left; class and score are below each image, whose pixels are shown as they are."}, "image": {"alt": "Six rows of small images: for each of three scores the images that it ranks highest and those that it ranks lowest, each with its class and score."}}
numbers, _ = draw_images(dataset, num_images, 0, seed=0)  # the same images
assert (labels.numpy() == dataset.train_labels[numbers]).all()
names = [dataset.class_names[label] for label in labels]
pixels = dataset.train_images[numbers]
rows = tables.gallery_rows(scores, pixels, names, ("hessian", "grand", "el2n"), 6)
figure = figures.gallery_figure(rows)

# %% [markdown]
# <a id="scores-convex"></a>
# ## On convex problems
#
# Here the claim can be tested as the theory has it, since $L_i$ is known exactly. The problems are the eight generated ones and the three real data sets of
# [page 6](06_convex_is_not_enough.ipynb); the first is the linear model of [page 4](04_linear_model.ipynb). LiPrune, random pruning, GraNd, EL2N and the loss keep a
# tenth or three tenths of the points. SGD starts from $w_0 = 0$ and takes 30, 100 or 300 steps with ten of the kept points per step. For least squares EL2N is the
# absolute residual.
#
# **Step sizes.** Each method has its own for each problem, fraction and number of steps: the one with the lowest mean excess test loss on data sets that are used for
# nothing else, half as many as race.
#
# **When to score.** GraNd, EL2N and the loss depend on the weights at which they are taken: $w_0$, or those after 100 steps of SGD on all points, which are not counted.
# The tuning chooses the better of the two for each rival and each case. So the rivals are favoured: LiPrune has no such choice, and no free steps.
#
# **What counts** is the excess test loss: the test loss less the least that any weights have. It is exact for the generated problems. For real data the least is that
# of the same test points. It is zero for classes, since so few points can be told apart by such models. A problem's value is the mean of $\log$(LiPrune's excess / rival's)
# over data sets, fractions and numbers of steps. The claim is decided by the mean over problems. The problems count as drawn from a population of such problems.
#
# <details><summary>Details</summary>
#
# All methods see the same data sets and draw the same positions in their lists of kept points, distinct within a step. Points that tie are taken in the order of random
# pruning. Step sizes are multiples of $1 / (2 \max L)$ over the points kept, a factor $\sqrt 2$ apart for generated problems and a factor 2 for real data; real data sets
# are split anew for each run, so splits share points, also with those that tune. Means of logarithms do not hinge on single data sets on which SGD diverges. The intervals of
# single cases are not widened for their number. Page 6's convex head on CIFAR-10 is left out: it has neither 200 data sets nor 20 splits.
#
# </details>
#
# The table counts problems, and cases (a problem, fraction and number of steps), in which a 95% interval says that LiPrune has the lower excess (won), the higher
# (lost), or neither (open).

# %%
began = time.perf_counter()
contests = run_contests(num_runs, seed)
cells = convex_tables.cell_table(contests)
problems = convex_tables.problem_table(contests)
rivals = convex_tables.rival_table(problems, cells)
variants = convex_tables.variant_table(contests)
outcome = claims.outperforms_claim(rivals, cost=time.perf_counter() - began)
shown = rivals.replace({"against": convex_tables.LABELS}).set_index("against")
kinds = [
    (kind, each) for kind in ("problems", "cells") for each in ("won", "lost", "open")
]
shown = shown[[f"{kind}_{each}" for kind, each in kinds]].rename_axis("rival")
shown.columns = pd.MultiIndex.from_tuples(kinds)
shown.rename(columns={"cells": "cases"})

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-score-problems", "caption": "Excess test loss of LiPrune over that of each rival on eleven convex problems, each method at its own tuned step size: geometric means over data sets, two fractions kept and three numbers of steps. Left of the vertical line LiPrune is better. Bars: 95% intervals over data sets (over problems in the last row); 200 data sets of each generated problem and 20 splits of real data, unless a parameter says otherwise."}, "image": {"alt": "A row for each problem and one for their mean, with a marker and a bar for each of four rivals on a logarithmic axis. On the line, with differing sizes and with heavy tails LiPrune is left of one; with uneven features, an irrelevant feature, a bent line, two groups and on digits it is right of one; against random pruning, a bent line and two groups are more than a hundred times worse. The bars of the mean reach to both sides of one."}}
figure = figures.problem_figure(problems, rivals)

# %% [markdown]
# LiPrune is ahead where large points carry the same information as small ones, and on diabetes. It is behind where some weights are learned from small points alone,
# where the labels of large points mislead, and on digits. Three things limit what this shows.
#
# - **The mean depends on which problems are chosen.** The paper has one. Page 6 made the others to find out when LiPrune helps, and some of them to harm it. Each
#   row of [the figure](fig-score-problems) says more than their mean. The intervals for real data are over splits of the same points: they speak of these data alone.
# - **Some rivals are nearly LiPrune, or random pruning.** At $W = 0$ a classifier's error is the same for all points. EL2N and the loss then tie everywhere, and GraNd
#   is $\lVert x_i \rVert$ times a constant, which is LiPrune's own order. On the linear model GraNd is $|x_i|\,|w^* x_i + \nu_i|$, nearly $x_i^2$. For two classes
#   and for least squares the loss ranks as EL2N does: both count.
# - **Beating a rival is not being good.** The errors that a model still makes after some training are partly noise and wrong labels. A small set of them is a poor
#   training set.
#
# The next table repeats the means over problems with other choices, one at a time: LiPrune's excess test loss over the rival's. The cell after it repeats one race,
# GraNd's on the diabetes data, as a plain loop with gradients by automatic differentiation.

# %% tags=["hide-input"]
shown = variants.replace({"against": convex_tables.LABELS})
ends = ["log_ratio", "low", "high"]
shown[ends] = np.exp(shown[ends])
shown = shown.rename(
    columns={"against": "rival", "log_ratio": "ratio", "num_runs": "n"}
)
shown = shown.set_index(["variant", "rival"])[["ratio", "low", "high", "n"]]
words = (
    "Geometric means of the ratio over n problems; low, high: 95% interval over them."
)
shown.style.format("{:.2f}", subset=["ratio", "low", "high"]).set_caption(words)

# %%
field = convex_scores.Field("diabetes", convex_scores.RACING, 1, seed)
drawn, held = field.draw(0), contests["diabetes"]
train = drawn.train
x, y = torch.tensor(train.x), torch.tensor(train.y[:, 0])
norms = []
for point, value in zip(x, y, strict=True):
    w = torch.zeros(len(point), dtype=torch.float64, requires_grad=True)
    norms.append(torch.autograd.grad((point @ w - value) ** 2 / 2, w)[0].norm().item())
kept = np.argsort(norms)[::-1][: round(0.1 * len(norms))]
entrant = convex_scores.Entrant("grand", convex_scores.START, 0.1)
at = convex_scores.ENTRANTS.index(entrant)
rate = held.tuned.multiples[at, 0] / (2 * (train.x[kept] ** 2).sum(axis=1).max())
w = np.zeros(train.x.shape[1])
for batch in field.positions(len(kept))[: convex_scores.STEPS[0], 0]:
    points = kept[batch]
    residual = train.x[points] @ w - train.y[points, 0]
    w -= rate * train.x[points].T @ residual / len(points)
np.testing.assert_allclose(drawn.excess(w[None]), held.excess[0, 0, at], rtol=1e-9)

# %% [markdown]
# ## On a network, recorded
#
# LiPrune and random pruning keep batches. The other methods keep *images* by a score of their own, and cut them into new batches. Each seed draws images and test images of its
# own, which all methods share. The runs that keep batches are among those of [page 9](09_cifar10.ipynb), and [page 11](11_why.ipynb) reads the runs with LiPrune's batches and with the images
# of largest Hessian norm: what is found in a run there and here is one piece of evidence, not two.

# %%
recorded = files.PROJECT / "book/results/10_other_scores"
curves, runs, (grid,) = read_tables(recorded, ["examples"])
gaps = tables.gap_table(curves)
setting = (
    f"ResNet-{runs.depth[0]}, {grid['num_images']:,} images of {grid['data_source']}, "
    f"learning rate {runs.learning_rate[0]:g}, {grid['num_epochs']} epochs, pruned at "
    f"the start of epoch {runs.prune_epoch.max()}, {runs.seed.nunique()} seeds."
)
display(Markdown(setting))
words = (
    "Test error less that of random batches, in percentage points; low, high: "
    f"90% interval over {gaps.num_seeds.min()} pairs of runs with the same seed."
)
display(Markdown(tables.batches_in_words(gaps)))
shown = tables.gap_words(gaps).style.format("{:.2f}").set_caption(words)
shown.format_index("{:g}", level=0)

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-score-errors", "caption": "Test error by epoch of a ResNet-14, recorded on CIFAR-10: means over the seeds, a fifth (left) and half (right) kept. The dotted line marks the pruning, before which all methods are one training."}, "image": {"alt": "Two panels of test error in per cent against epoch for eight ways to choose. Until the dotted line at epoch five all curves coincide; then they part."}}
figure = figures.error_figure(curves)

# %% [markdown]
# ## The verdict
#
# What the paper says, and what was measured on the convex problems.

# %% tags=["hide-input"]
register.write_claims(folder, [outcome])
described = pd.DataFrame({"image": numbers, "class": names}).join(scores)
described = described.join(tables.kept_flags(scores, fractions))
num_classes = len(dataset.class_names)
classes = tables.class_table(scores, labels.numpy(), fractions, num_classes, seed)
written = {
    "scores": described, "correlations": correlations, "overlaps": overlaps,
    "classes": classes, "costs": costs, "cost_summary": tables.cost_table(costs),
    "convex_cells": cells, "convex_problems": problems, "convex_rivals": rivals,
    "convex_variants": variants, "convex_tuning": convex_tables.tuning_table(contests),
    "recorded_gaps": gaps, "recorded_gaps_99": tables.gap_table(curves, level=0.99),
}  # fmt: skip
for name, table in written.items():
    files.write_table(folder, name, table)
other_scores.save_all(folder, scores, pair, dataset, tolerance)
HTML(formats.claims_html(register.claims_table([outcome])))

# %% [markdown]
# **What differs from the paper.** The paper compares LiPrune with random pruning alone. Every other comparison is this page's. GraNd and EL2N are means over
# initialisations; here one network gives them, which makes them noisier than their authors'. Scores of images are compared with random *batches*, which are random images.
# The scored images are few, and the network is early in its training. The recorded runs have one depth, one learning rate, one epoch of pruning, and a tenth of the images.
#
# **Tables.** Images: [scores and what each keeps](../results/10_other_scores/scores.csv), [correlations](../results/10_other_scores/correlations.csv),
# [overlaps](../results/10_other_scores/overlaps.csv), [classes of what is kept](../results/10_other_scores/classes.csv), [costs](../results/10_other_scores/cost_summary.csv),
# [costs, batch by batch](../results/10_other_scores/costs.csv).
# Convex problems: [every case](../results/10_other_scores/convex_cells.csv), [problems](../results/10_other_scores/convex_problems.csv),
# [rivals](../results/10_other_scores/convex_rivals.csv), [other choices](../results/10_other_scores/convex_variants.csv),
# [step sizes chosen](../results/10_other_scores/convex_tuning.csv).
# Recorded: [differences with 90%](../results/10_other_scores/recorded_gaps.csv) and [with 99% intervals](../results/10_other_scores/recorded_gaps_99.csv). The curves of the recorded runs are in the
# [list of all tables](../book/tables.md).
#
# <details><summary>Scores as arrays, each with a manifest that says of what</summary>
#
# - Hessian norm: [array](../results/10_other_scores/hessian-epoch4-seed0.npy), [manifest](../results/10_other_scores/hessian-epoch4-seed0.json)
# - batch's norm: [array](../results/10_other_scores/hessian-batch-epoch4-seed0.npy), [manifest](../results/10_other_scores/hessian-batch-epoch4-seed0.json)
# - Gauss-Newton norm: [array](../results/10_other_scores/gauss-newton-epoch4-seed0.npy), [manifest](../results/10_other_scores/gauss-newton-epoch4-seed0.json)
# - GraNd: [array](../results/10_other_scores/grand-epoch4-seed0.npy), [manifest](../results/10_other_scores/grand-epoch4-seed0.json)
# - EL2N: [array](../results/10_other_scores/el2n-epoch4-seed0.npy), [manifest](../results/10_other_scores/el2n-epoch4-seed0.json)
# - loss: [array](../results/10_other_scores/loss-epoch4-seed0.npy), [manifest](../results/10_other_scores/loss-epoch4-seed0.json)
# - margin: [array](../results/10_other_scores/margin-epoch4-seed0.npy), [manifest](../results/10_other_scores/margin-epoch4-seed0.json)
#
# </details>
#
# **Next.** [Why do large norms not help a network?](11_why.ipynb)

# %% tags=["remove-input"]
by_score = tables.image_score_gaps(gaps)
better = sum(gap.below(0.0) is True for gap in by_score.values())
worse = sum(gap.below(0.0) is False for gap in by_score.values())
best, least = next(iter(by_score.items()))
averages = convex_tables.estimates(rivals)
ahead = sum(found.high < 0 for found in averages.values()) or "none"
behind = sum(found.low > 0 for found in averages.values()) or "none"
hardest = max(averages, key=lambda rival: averages[rival].value)
ratio = averages[hardest].exp()
opening = (
    f"Yes, {better} of {len(by_score)} on a ResNet." if better else "None is seen to."
)
first_screen.fill(
    f"""**{"No." if worse == len(by_score) else opening}** On a ResNet-{runs.depth[0]}
that keeps {gaps.keep_fraction.min():.0%} of {grid["num_images"]:,} images of
{grid["data_source"]}, {worse} of {len(by_score)} scores of single images do worse than
random pruning, {better or "none"} better. The best of them is the
{tables.METHODS[best]}: its mean test error is
{formats.difference(least, "points", level=0.9)} than that of random pruning, from
{least.num_runs} pairs of recorded runs. Averaged over {ratio.num_runs} convex problems
with tuned step sizes, LiPrune is surely ahead of {ahead} of {len(averages)} rivals and
surely behind {behind}. Its excess test loss is
{formats.relative(ratio, level=convex_tables.level())} than that of
{convex_tables.LABELS[hardest]}, the rival hardest to beat.""",
    figures.gap_figure(gaps[gaps.measure == "mean"]),
)
