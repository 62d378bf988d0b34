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
# # 6. Is a convex loss enough for LiPrune to help?

# %% tags=["remove-input"]
try:
    from liprune_utils.book import first_screen
except ModuleNotFoundError:
    raise SystemExit(
        "This page needs the kernel LiPrune, which `make book` installs."
    ) from None

first_screen.reserve("answer")

# %% tags=["remove-input"] mystnb={"figure": {"name": "fig-convex-head", "caption": "A convex loss on CIFAR-10: logistic regression on the last features of a trained ResNet-14, a fifth kept by LiPrune and by random pruning, at the step size tuned for no pruning. Test loss by step of SGD, pruned by batches of 128 images (left) and by single images (right). Means over seeds with 90% intervals; recorded."}, "image": {"alt": "Two panels of test loss against SGD step, both logarithmic. On the left the lines of LiPrune, random pruning and no pruning lie on one another. On the right LiPrune's is above the two others throughout."}}
first_screen.reserve("figure")

# %% [markdown]
# ## Run it yourself
#
# Change a value, run all cells, and the answer changes with it. [How to rerun a page](../book/rerun.md) has the details.

# %% tags=["parameters", "hide-cell"] mystnb={"code_prompt_show": "Parameters", "code_prompt_hide": "Parameters"}
num_problems: int = 100  # data sets of each convex problem, from 10 to 100000
num_runs: int = 10_000  # simulated runs to check exact losses, from 1000 to 1000000
seed: int = 0  # root of all random streams, from 0
results_dir: str = "reruns/06_convex_is_not_enough"  # folder for tables, made if new

# %% tags=["hide-cell"] mystnb={"code_prompt_show": "Check of the parameters, imports", "code_prompt_hide": "Check of the parameters, imports"}
from experiments.convex_is_not_enough.runs import ConvexParameters

parameters = ConvexParameters.from_notebook(globals())

from functools import partial

import numpy as np
import pandas as pd
import torch
from IPython.display import Markdown
from sklearn.linear_model import LogisticRegression
from torch.nn.functional import binary_cross_entropy_with_logits

from experiments.convex_is_not_enough import (
    convex_head,
    counterexamples,
    figures,
    head_tables,
    record,
    runs,
    tables,
)
from liprune_utils import data, files
from liprune_utils.book import register, style
from liprune_utils.images import make_images
from liprune_utils.problems import LeastSquares
from liprune_utils.pruning import keep_highest

style.use_style()
folder, dataset = parameters.results_folder(), data.load()

# %% [markdown]
# ## What the paper claims
#
# "LiPrune is designed to accelerate the convergence of SGD in the context of convex optimization", says Section 1. Section 3 says of the missing
# acceleration on networks: "We conjecture that this is due to the non-convex nature of the loss landscape". If convexity is what matters, LiPrune
# should help on convex problems other than the paper's straight line.
#
# [Page 5](05_what_accelerates.ipynb) says what to look for. SGD on the kept points is plain SGD on another problem, to which
# [Theorem 1 applies](kept-problem). LiPrune helps if two things hold: this problem is better conditioned ($L_{\sup}/\mu$ is smaller), and its
# minimum lies where that of the whole problem lies. Neither follows from convexity.
#
# ## The method in a few lines
#
# A counterexample in two dimensions. Half of the points have only a first, large feature; the others have only a second, small one.
# LiPrune keeps a tenth of the points, all of the first kind. Gradient descent on them never learns the second weight, whatever the step size.
# The last lines compare the result with the routine that the page uses.

# %%
generator = runs.stream((seed, 0, 0), "example")
x, w_true = np.zeros((1000, 2)), np.ones(2)
x[:500, 0] = generator.uniform(2, 4, 500)  # half of the points: a large first feature
x[500:, 1] = generator.uniform(0.5, 1.5, 500)  # the others: a small second feature
y = x @ w_true + 0.2 * generator.standard_normal(1000)
hessian = np.diag([9 + 1 / 3, 1 + 1 / 12]) / 2  # the mean of x x^T, for new points

scores = (x**2).sum(axis=1)  # the Lipschitz constants L_i = |x_i|^2
chosen = {
    "LiPrune": np.argsort(-scores)[:100],
    "random": generator.permutation(1000)[:100],
    "all points": np.arange(1000),
}
excess = {}
for name, kept in chosen.items():
    w = np.zeros(2)
    for _ in range(1000):  # gradient descent on the kept points
        w = w - 0.1 * x[kept].T @ (x[kept] @ w - y[kept]) / len(kept)
    excess[name] = (w - w_true) @ hessian @ (w - w_true) / 2
    print(f"{name:10}  w = {w.round(3)}  excess loss on new data {excess[name]:.6f}")

problem = counterexamples.ConvexProblem(LeastSquares(x, y), hessian, w_true)
assert set(chosen["LiPrune"]) == set(keep_highest(problem.train.lipschitz, 0.1))
for name, kept in chosen.items():  # the loss at the minimiser of the kept points
    final = counterexamples.PrunedProblem(problem, kept).final
    np.testing.assert_allclose(final, excess[name], rtol=1e-6)

# %% [markdown]
# <a id="convex-is-not-enough"></a>
# ## Eight convex problems
#
# [Eight problems](fig-convex), all of them least squares with 1000 points, a tenth kept, one point per step:
#
# - *The paper's line.* Both conditions hold.
# - *Sizes differ.* The points are alike in all five directions; some are larger than others. LiPrune works as on the line.
# - *Heavy-tailed x.* At its own rate, which must be small, LiPrune works too. At the common rate the expected error grows on many data sets,
#   whatever is kept.
# - *Uneven features.* Gaussian features with scales from 3 to 1/3. The largest points are large along the largest feature, so LiPrune raises the
#   curvature where it was high already. The rate must shrink, and the small features are learned later.
# - *Large irrelevant feature.* LiPrune keeps the points that are large where nothing is to be learned.
# - *Bent line.* $y = 3 \tanh(x/2)$ plus noise, fitted by a straight line. LiPrune keeps both ends and finds the slope of the chord.
# - *Outliers.* One point in a hundred lies at $|x|$ between 5 and 6 with its sign wrong. LiPrune keeps every one of them.
# - *Two groups.* The counterexample above, with random signs.
#
# The "best rate" is best for the expected excess loss on the very data set. A user cannot know it: it says what the kept points allow, not what
# tuning finds. The expected losses are exact, from a recursion of second moments. Simulated runs check them.

# %%
problems = tables.problem_table(num_problems, seed)
summary, kept_problems = tables.summary_table(problems), tables.kept_table(problems)
simulated = tables.simulation_table(num_runs, seed)
worst = simulated.z.abs().max()
assert worst < 5, "a simulated excess loss is far from the exact one"
groups = problems[problems.task == "two groups, d = 2"].set_index("method")
never_learned = hessian[1, 1] / 2  # the excess loss while the second weight is 0
assert (groups.best["liprune"] >= never_learned - 1e-12).all()
print(f"simulation: at most {worst:.1f} standard errors from the exact losses")

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-convex", "caption": "Expected excess loss on new data, LiPrune over random pruning, on eight convex problems: medians over data sets with 99% intervals. Left of the black line LiPrune is ahead. Circles: both at the rate that corresponds to the paper's. Squares: each at its best rate. An arrow stands for an interval that goes on."}, "image": {"alt": "Two panels, after 100 and 1000 steps, of ratios on a logarithmic axis, a row for each problem. The line, differing sizes and heavy tails at the best rate lie left of one; uneven features and the irrelevant feature at the best rate right of it after 100 steps; bent line, outliers and two groups far to the right."}}
figure = figures.ratio_figure(summary)

# %% [markdown]
# [Along the way](fig-problems), LiPrune with two groups or a bent line stops falling early: it has arrived at another minimum. The table has medians
# over data sets: Theorem 1's quotient $L_{\sup}/\mu$ for what is kept, the excess loss at the minimiser of what is kept ("end"), and LiPrune's best
# rate for 100 steps over that of random pruning. Where the quotient falls and the end stays low, LiPrune is ahead at the best rates.
# The quotient is not everything: with uneven features it is about as large as without pruning, and LiPrune is slower than that, too.

# %% tags=["hide-input"]
shown = kept_problems.set_index("task").rename_axis(None)
methods = ("LiPrune", "random", "none")
columns = [(what, method) for what in ("L_sup / μ", "end") for method in methods]
shown.columns = pd.MultiIndex.from_tuples([*columns, ("rate ratio", "")])
shown.style.format("{:.2f}").format("{:.1f}", subset=["L_sup / μ"]).format(
    "{:.5f}", subset=["end"]
)

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-problems", "caption": "Four of the convex problems along the way: expected excess loss on new data, each method at its median best rate for 100 steps, medians over data sets. With two groups LiPrune does not learn the second feature at any rate; on the bent line it goes to another minimum."}, "image": {"alt": "Four panels of excess loss against step on a logarithmic scale. LiPrune is lowest on the paper's line and slightly above the others with uneven features; on the bent line and with two groups it levels off far above random pruning and no pruning."}}
paths = tables.path_table(problems, seed, min(num_problems, 40))
convex = {"problems": problems, "summary": summary, "kept": kept_problems}
for name, table in (convex | {"simulated": simulated, "paths": paths}).items():
    files.write_table(folder, name, table)
some = ("the paper's line", "uneven features, d = 5", "bent line", "two groups, d = 2")
figure = figures.problems_figure(paths[paths.task.isin(some)])

# %% [markdown]
# <a id="real-convex-data"></a>
# ## Real convex data
#
# Three data sets of scikit-learn have exact Lipschitz constants: breast cancer (logistic loss, $L_i = \|x_i\|^2 / 4 + \rho$ with a ridge $\rho$),
# digits (multinomial, $\|x_i\|^2 / 2 + \rho$) and diabetes (least squares, $\|x_i\|^2$). All methods take 300 steps from $w_0 = 0$ with ten
# points per step. Importance sampling draws points with $p_i \propto L_i$ and weights their gradients by $1 / (n p_i)$. A seed decides the split,
# the random choice and the batches, so methods are compared run by run.
#
# Each method has its own step size, the best of fourteen on runs that are used for nothing else. Beside this, all methods race at one
# step size: at $1 / (2 \max_i L_i)$, which the step size of Theorem 1 approaches without noise, and at the size tuned for no pruning. *Excess* is the
# share of the way from the first loss on all training points to its minimum that is left. The target is a tenth of the excess.
#
# <details><summary>The data and the tuning in detail</summary>
#
# Three quarters of the data are for training. Features are standardised on the training points, and a one is added for the intercept. The ridge $\rho$
# is one over the number of training points for the two classification problems; diabetes has none. LiPrune, random pruning and no pruning draw distinct
# points afresh at each step; importance sampling draws with replacement.
#
# The step sizes are a factor two apart, and the best is best in the mean of eight runs. Where losses are reported, best means the lowest
# loss on *all* training points after the last step. Where steps are reported, it means the fewest steps to the target (300 for a run that never arrives),
# and among equals the lowest loss.
#
# </details>
#
# The cell after the races checks two things by other means, on one split of breast cancer: importance sampling as a plain loop with automatic gradients, and
# the minimum by scikit-learn's solver.

# %% mystnb={"figure": {"name": "fig-real-curves", "caption": "Three real data sets with convex losses, a tenth of the points kept by LiPrune and by random pruning, each method at the step size tuned for its last loss. Excess training loss: the share of the way from the first loss on all training points to its minimum that is left. Sampling p ∝ L: all points, drawn in proportion to their Lipschitz constants. LiPrune levels off above no pruning. Bands: 95% intervals of the mean (20 runs for digits, 100 for the others)."}, "image": {"alt": "Three panels of excess training loss against SGD step, both logarithmic. LiPrune falls first on breast cancer and diabetes, then flattens and is overtaken by no pruning and importance sampling. On digits it is above all others throughout."}}
races = tables.race_all(seed)
losses, sooner = tables.loss_table(races.runs), tables.sooner_table(races.runs)
steps, classes = tables.step_table(races.runs), tables.class_table(seed)
figure = figures.excess_curves(races.curves, keep_fraction=0.1)

# %%
train = runs.load("breast cancer", runs.stream((seed, 0, 0), "split")).train
x, y = torch.tensor(train.x), torch.tensor(train.y[:, 0])
n = len(x)
L = (x**2).sum(dim=1) / 4 + 1 / n
p, rate, at = L / L.sum(), 1 / float(L.max()), runs.SETTINGS.index(runs.IMPORTANCE)
draws = runs.draw(train.lipschitz, (seed, 0, 0))
w = torch.zeros(x.shape[1], dtype=torch.float64, requires_grad=True)
for batch in draws.points[:, at]:
    loss = binary_cross_entropy_with_logits(x[batch] @ w, y[batch], reduction="none")
    loss = ((loss + (w**2).sum() / (2 * n)) / (n * p[batch])).mean()
    w = (w - rate * torch.autograd.grad(loss, w)[0]).detach().requires_grad_()
*_, last = runs.sgd_iterates(train, draws, np.full((len(runs.SETTINGS), 1), rate))
np.testing.assert_allclose(last[at, 0, 0], w.detach(), rtol=1e-6)

solver = LogisticRegression(C=1, fit_intercept=False, tol=1e-8, max_iter=5000)
minimum = train.value(solver.fit(train.x, train.y[:, 0]).coef_)
np.testing.assert_allclose(minimum, train.value(train.minimiser), atol=1e-7)

# %% [markdown]
# **Against no pruning** LiPrune loses: with tuned step sizes its training loss after 300 steps is higher, and so is its test loss. What is kept sets
# the limit, since the minimiser of the kept points is [not that of all points](fig-real-curves). **Against random pruning** the data sets
# [differ](fig-real-gaps). On diabetes LiPrune is better when little is kept. On digits it is far worse.
#
# At one common step size LiPrune can look better than it is. On digits it is ahead at $1 / (2 \max L)$ and behind at the tuned sizes. On diabetes
# with half of the points kept, it needs fewer [steps to the target](fig-real-steps) than no pruning at one common size, but not at the tuned ones.
# On breast cancer it is behind even at $1 / (2 \max L)$: a large norm is not always a useful direction.
#
# The norm alone decides what is kept, and a large norm is not a hard example. Of the digits, LiPrune
# [keeps few zeros and eights](fig-real-classes). Of breast cancer, the less it keeps, the larger is the share of malignant cases.
#
# The table counts, over three data sets and three fractions kept, where a 99% interval says that the first method is better or worse than the second.
# The rest is undecided. The intervals are over splits of the same three data sets: they speak of these data, not of all data.

# %% tags=["hide-input"]
findings = tables.finding_table(losses, sooner)
counts = [
    f"{row.better} better, {row.worse} worse of {row.of}"
    for row in findings.itertuples()
]
keys, pairs = ["measure", "rule"], ["method", "against"]
wide = findings.assign(counts=counts).pivot(index=keys, columns=pairs, values="counts")
order = findings[keys].drop_duplicates().itertuples(index=False, name=None)
names = {
    "excess": "training loss",
    "test_loss": "test loss",
    "steps": "steps to target",
}
methods = {"liprune": "LiPrune", "none": "no pruning", "importance": "sampling p ∝ L"}
methods |= {"random": "random pruning"}
wide = wide.loc[list(order)].rename(index=names | figures.RULE_LABELS, columns=methods)
wide.rename_axis(index={"measure": "", "rule": "step size"}).style.format(na_rep="–")

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-real-gaps", "caption": "LiPrune less random pruning, in the same runs: excess on all training points (top) and test loss (bottom) after 300 steps under three rules for the step size, and at the exact minimiser of the points kept. Left of the line LiPrune is better. Bars: 99% intervals (20 runs for digits, 100 for the others)."}, "image": {"alt": "Six panels of differences, a column for each data set. On digits all but the smallest step size are far right of zero, most for the smallest fraction kept. On diabetes the smallest fraction is left of zero in all rows, the others near it. On breast cancer differences are small and of both signs."}}
figure = figures.gap_figure(losses)

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-real-steps", "caption": "Median steps to a tenth of the excess, for each method and fraction kept: at the step size tuned for no pruning (squares), and each at the one tuned for its own steps (dots). Bars: 99% intervals of the median (20 runs for digits, 100 for the others); a median that is never reached is open. At 1 / (2 max L) the runs on breast cancer and digits never arrive."}, "image": {"alt": "Three panels with a row for each method and fraction. With own step sizes all methods on breast cancer and most on diabetes stand within a few steps of each other; on digits LiPrune with small fractions never arrives."}}
figure = figures.step_figure(steps)

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-real-classes", "caption": "Share of each class among the points that LiPrune keeps, and among all training points. Of the digits, zeros and eights all but vanish. Bars: 99% intervals over 20 splits."}, "image": {"alt": "Two panels of class shares. Breast cancer: malignant cases rise as less is kept. Digits: the classes differ widely, with zero and eight near the bottom and two, four and seven at the top, where all points would give a tenth each."}}
real = {**races._asdict(), "losses": losses, "steps": steps}
for name, rows in (real | {"sooner": sooner, "classes": classes}).items():
    files.write_table(folder, f"real_{name}", rows)
source = f"{runs.DATA}; {dataset.source}"
facts = {"data_source": source, "pixel_sha256": dataset.sha256}
files.write_json(folder / "provenance.json", files.provenance(**facts))
figure = figures.class_figure(classes)

# %% [markdown]
# <a id="convex-head"></a>
# ## The same images, a convex loss
#
# On CIFAR-10 LiPrune does not accelerate ResNets, and the paper conjectures that their non-convex loss is the reason. Would a convex loss on the same images have been accelerated?
# Take a ResNet-14, trained without pruning, and keep what its classifier sees: 64 features $z$ per image, and a one for the bias. Train a new classifier on them from
# zero weights. This is multinomial logistic regression, and its Lipschitz constants are exact: $\tfrac12 \|z\|^2$ for an image, and half of the largest eigenvalue of the
# mean of $z z^\top$ for a batch.
#
# LiPrune and random pruning keep a fifth, either of whole batches of 128, as in the networks, or of the images, which are then cut into batches.
# The recorded study has all images. One step size serves all methods: the one that is best for no pruning. Seeds of their own choose it, by the loss of all
# training images after the last step; others draw the batches, their order and the random choice. The seeds share the network and the images, so the
# intervals say nothing of other networks.
#
# The speed-up compares the mean test losses of random pruning and LiPrune at twenty equally spaced levels that both reach. It is the geometric mean of random
# pruning's steps over LiPrune's. [Page 5](05_what_accelerates.ipynb) predicts it: the mean constant of what is kept, over that of all.
#
# Here is the method in plain lines, on a few of the images, with the recorded network. The cell after it compares the result with the study's routine.

# %%
model, count = record.recorded_network().eval(), len(dataset.train_labels) // 128
images = make_images(dataset, 128 * min(count, 20), 500)
with torch.no_grad():
    network = torch.nn.Sequential(model.conv, model.bn, torch.nn.ReLU(), model.blocks)
    z = network(images.inputs).mean(dim=(2, 3)).double().numpy()
z = np.column_stack([z, np.ones(len(z))])
y = images.labels.numpy()

shuffle = runs.stream((seed, 0, 0), "head_batches", len(z)).permutation
batches = shuffle(len(z)).reshape(-1, 128)
L = [np.linalg.eigvalsh(z[batch].T @ z[batch] / 128)[-1] / 2 for batch in batches]
kept = batches[np.argsort(-np.array(L), kind="stable")[: round(len(L) / 5)]]

W = np.zeros((10, z.shape[1]))
order = runs.stream((seed, 0, 0), "head_order", len(kept)).permutation(len(kept))
for batch in kept[order]:
    scores = z[batch] @ W.T
    p = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    W = W - 0.05 * (p - np.eye(10)[y[batch]]).T @ z[batch] / 128

# %%
train = convex_head.head(convex_head.features(model, images.inputs), y)
arm = convex_head.Arm("batches", "liprune", 0.2)
chosen = convex_head.kept_batches(train, arm, (seed, 0, 0))
np.testing.assert_array_equal(chosen, kept)
steps = convex_head.draw_steps([kept], (seed, 0, 0), len(kept))
*_, last = runs.sgd_iterates(train, steps, np.array([[0.05]]))
np.testing.assert_allclose(last[0, 0], W, rtol=1e-5, atol=1e-8)
scores = z @ W.T
losses_of_all = np.log(np.exp(scores).sum(axis=1)) - scores[np.arange(len(y)), y]
np.testing.assert_allclose(train.value(W), losses_of_all.mean())
ratio = np.sort(L)[-len(kept) :].mean() / np.mean(L)
np.testing.assert_allclose(ratio, convex_head.predicted(train, arm, (seed, 0, 0))[0])
print(f"mean constant, kept batches over all: {ratio:.3f}")

# %% tags=["hide-input"]
head_curves, head_constants, study = head_tables.recorded_head()
head = head_tables.head_speed_ups(head_curves, head_constants)
files.write_table(folder, "head_speed_ups", head)

faster = partial(head_tables.faster, head)
expected, seen, half, tuned = (
    {unit: faster(unit, **case) for unit in ("batches", "points")}
    for case in ({"name": "predicted"}, {}, {"keep_fraction": 0.5}, {"rule": "own"})
)
left = study["last_train_loss"] - study["least_train_loss"]
left /= np.log(10) - study["least_train_loss"]
spread, num_steps = head_constants.groupby("unit").spread.mean(), study["head_steps"]
first = head_curves[head_curves.step <= num_steps // 3]
first = head_tables.head_speed_ups(first, head_constants)
Markdown(f"""**By batches** training should be {expected["batches"]} with LiPrune than
with random pruning, and is {seen["batches"]}. **By images** it should be
{expected["points"]}, and is {seen["points"]}. With half of them kept it is
{half["batches"]} and {half["points"]}. At each method's own step size, a fifth kept, it
is {tuned["batches"]} and {tuned["points"]}. A third of the steps would say
{head_tables.faster(first, "batches")} and {head_tables.faster(first, "points")}. All
are over {head_curves.seed.nunique()} seeds.

The constants of batches differ by {spread["batches"]:.1%} (standard deviation over
mean), those of images by {spread["points"]:.0%}. After {num_steps:,} steps without
pruning, three passes over the images, {left:.1%} of the way from the first training
loss to its minimum is left; scikit-learn's solver finds the minimum.""")

# %% [markdown]
# ## Exercises
#
# 1. **Repair the counterexample.** Draw a tenth of the points of [the two groups](convex-is-not-enough) (`problem.train`) with $p_i \propto L_i$, with replacement, and
#    give their losses the weights $1/(n p_i)$. Show that the mean Hessian of what is drawn is that of all points. Compare the excess loss at the
#    minimiser, by `problem.hessian` and `problem.target`, with that of LiPrune and of random pruning.
# 2. **Where LiPrune ends on the bent line.** The truth is $y = 3 \tanh(x/2)$ plus noise, with $x \sim U(-5, 5)$. Derive the slope that LiPrune finds with a tenth of
#    infinitely many points, and the excess loss that is left. Compare the slope with data sets from `counterexamples.PROBLEMS["bent line"]`.
#
# <details><summary>Solution of exercise 1, in words</summary>
#
# A drawn point has the weighted Hessian $x_i x_i^\top/(n p_i)$. Its mean over the draw is $\sum_i p_i\, x_i x_i^\top/(n p_i) = \frac1n \sum_i x_i x_i^\top$. The same holds
# for the gradients, so the minimiser of what is drawn scatters around that of all points.
#
# The second weight is learned now: the small points are drawn rarely, but they count. LiPrune's failure is due to dropping the small points and the weights, not
# to using the constants. Random pruning learns the second weight as well, from more small points.
#
# </details>


# %% tags=["hide-cell"] mystnb={"code_prompt_show": "Solution of exercise 1, in code", "code_prompt_hide": "Solution of exercise 1, in code"}
def excess_of(points, point_weights):
    """The excess loss at the minimiser of weighted points."""
    roots = np.sqrt(point_weights)
    fitted = np.linalg.lstsq(
        two.x[points] * roots[:, None], two.y[points] * roots, rcond=None
    )[0]
    return (fitted - problem.target) @ problem.hessian @ (fitted - problem.target) / 2


two, repair = problem.train, np.random.default_rng([seed, 101])
chances = two.lipschitz / two.lipschitz.sum()
weighted, uniformly, curvatures = [], [], []
for _ in range(300):
    points = repair.choice(1000, 100, p=chances)
    point_weights = 1 / (1000 * chances[points])
    weighted.append(excess_of(points, point_weights))
    curvatures.append(np.mean(point_weights * two.x[points, 1] ** 2))
    uniformly.append(excess_of(repair.permutation(1000)[:100], np.ones(100)))
error = np.std(curvatures) / np.sqrt(len(curvatures))
assert abs(np.mean(curvatures) - two.hessian[1, 1]) < 5 * error, "biased"
by_liprune = keep_highest(two.lipschitz, 0.1)
left_over = counterexamples.PrunedProblem(problem, by_liprune).final
assert np.mean(weighted) < left_over / 20, "the second weight is not learned"
print(f"excess loss: LiPrune {left_over:.4f}, p ∝ L with weights", end=" ")
print(f"{np.mean(weighted):.4f}, random pruning {np.mean(uniformly):.4f}")

# %% [markdown]
# <details><summary>Solution of exercise 2, in words</summary>
#
# The least-squares slope on points with density $\rho$ is $\mathbb{E}_\rho[x y] / \mathbb{E}_\rho[x^2]$. LiPrune keeps $|x| \ge 9/2$. Since $xy$ and $x^2$ are even,
#
# $$
# w_K = \frac{\int_{9/2}^5 3 x \tanh(x/2)\, dx}{\int_{9/2}^5 x^2\, dx}, \qquad w^* = \frac{\int_0^5 3 x \tanh(x/2)\, dx}{\int_0^5 x^2\, dx}.
# $$
#
# The excess loss is $\frac12 \cdot \frac{25}{3}\, (w_K - w^*)^2$. No number of points or steps removes it: it is a bias of the choice. A bound on the speed of SGD says nothing
# about it.
#
# </details>

# %% tags=["hide-cell"] mystnb={"code_prompt_show": "Solution of exercise 2, in code", "code_prompt_hide": "Solution of exercise 2, in code"}
from scipy.integrate import quad


def slope_of(low):
    """The least-squares slope for |x| uniform on [low, 5]."""
    product = quad(lambda at: 3 * at * np.tanh(at / 2), low, 5)[0]
    return product / quad(lambda at: at**2, low, 5)[0]


chord, all_points = slope_of(4.5), slope_of(0)
bend, found_slopes = np.random.default_rng([seed, 102]), []
for _ in range(200):
    bent = counterexamples.PROBLEMS["bent line"](bend).train
    ends_kept = keep_highest(bent.lipschitz, 0.1)
    kept_line = LeastSquares(bent.x[ends_kept], bent.y[ends_kept])
    found_slopes.append(kept_line.minimiser[0])
error = np.std(found_slopes) / np.sqrt(len(found_slopes))
assert abs(np.mean(found_slopes) - chord) < 5 * error, "LiPrune finds another slope"
print(f"slope of LiPrune: {np.mean(found_slopes):.4f}, expected {chord:.4f};")
print(f"of all points {all_points:.4f}", end="; ")
print(f"excess loss {25 / 6 * (chord - all_points) ** 2:.4f}")

# %% [markdown]
# <a id="for-practice"></a>
# ## For practice
#
# **When to use LiPrune.** In linear least squares, if only a small part of the points can be kept for good: points with large $\|x_i\|$ pin the weights
# down. On diabetes with a tenth kept, LiPrune's minimiser is better than that of random pruning; with half kept nothing of the gain is left.
# This is one data set, and no other way of choosing points was tried.
#
# **When not.** To save steps: with tuned step sizes LiPrune is behind no pruning after the same number of steps. In classification: the norm
# tells neither how near a point is to the boundary nor how rare its class is. And never without a look at the class shares of what is kept.
#
# **What to do instead.** Tune the step size first: a gain at one common step may be no more than that. Keep all points. Where the $L_i$ differ widely,
# try $p_i \propto L_i$ with the weights $1 / (n p_i)$, which leaves the minimiser where it is; here the gain over no pruning is small or none. If points
# must go, let a random subset be the rival to beat.
#
# **What differs from the paper.** The paper conjectures that networks gain nothing since their loss is not convex. Convex problems show the same failure, for reasons that
# networks may share: many directions, models that do not fit everywhere, wrong labels, and [batches in place of points](batch-size). The convex head is no model of the
# network: its features stay as they are, and they come from a network that has learned.
#
# **Tables.** Convex problems: [every data set](../results/06_convex_is_not_enough/problems.csv), [ratios](../results/06_convex_is_not_enough/summary.csv),
# [the kept problems](../results/06_convex_is_not_enough/kept.csv), [curves](../results/06_convex_is_not_enough/paths.csv),
# [simulation and exact losses](../results/06_convex_is_not_enough/simulated.csv). Real data: [runs](../results/06_convex_is_not_enough/real_runs.csv),
# [curves](../results/06_convex_is_not_enough/real_curves.csv), [tuning](../results/06_convex_is_not_enough/real_tuning.csv),
# [differences](../results/06_convex_is_not_enough/real_losses.csv), [steps](../results/06_convex_is_not_enough/real_steps.csv),
# [who arrives first](../results/06_convex_is_not_enough/real_sooner.csv), [classes](../results/06_convex_is_not_enough/real_classes.csv).
# Convex head: [speed-ups](../results/06_convex_is_not_enough/head_speed_ups.csv); recorded: [curves](../book/results/06_convex_is_not_enough/head_curves.csv),
# [constants](../book/results/06_convex_is_not_enough/head_constants.csv), [tuning](../book/results/06_convex_is_not_enough/head_tuning.csv),
# [provenance](../book/results/06_convex_is_not_enough/head_provenance.json), [the network](../book/results/06_convex_is_not_enough/resnet14_none_seed0.pt).
#
# **Next.** [A model that is not convex: the sine](07_sine_model.ipynb).

# %% tags=["remove-input"]
ratios = summary.query("rival == 'random' and rates == 'best' and step == 100")
ahead, behind = (ratios.high < 1).sum(), (ratios.low > 1).sum()
rows = findings.query("rule == 'final' and measure == 'excess' and method == 'liprune'")
real = rows.set_index("against").loc["none"]
gain = register.margin("points-to-batches-b", "speed_up")
below = head_tables.head_estimate(head, "batches").below(gain)
accelerated = {True: "hardly accelerated either", False: "accelerated"}
gained = accelerated.get(below, "perhaps accelerated")
first_screen.fill(
    f"""**{"No." if behind or real.worse else "On these problems, yes."}** On the images
of CIFAR-10 a convex loss is {gained}. Pruned by batches, as the networks are, logistic
regression on a network's features trains {seen["batches"]} with LiPrune than with
random pruning. Pruned by images, it trains {seen["points"]}
({head_curves.seed.nunique()} seeds).
LiPrune helps where large points carry the same information as small ones, as on the
paper's straight line. It does not where small points carry a feature of their own,
or where the model does not fit: of {len(ratios)} convex problems, LiPrune is ahead on
{ahead} and behind on {behind}.""",
    figures.head_figure(head_tables.head_bands(head_curves, keep_fraction=0.2)),
)
