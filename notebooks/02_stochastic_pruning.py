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
# # 2. Does stochastic pruning prune the data?

# %% tags=["remove-input"]
try:
    from liprune_utils.book import first_screen
except ModuleNotFoundError:
    raise SystemExit(
        "This page needs the kernel LiPrune, which `make book` installs."
    ) from None

first_screen.reserve("answer")

# %% tags=["remove-input"] mystnb={"figure": {"name": "fig-touched", "caption": "Share of the 1000 points of the paper's linear model that n = 1000 steps of Eq. (2) draw at least once, against r. Coloured lines: exact. Markers: simulated; their 99% intervals are smaller than the markers. Black: the share r that the paper states."}, "image": {"alt": "Two curves against r, both below the diagonal and bending away from it as r grows: uniform sampling, and below it sampling proportional to L. Markers lie on the curves."}}
first_screen.reserve("figure")

# %% [markdown]
# ## Run it yourself
#
# Change a value, run all cells, and the answer changes with it. [How to rerun a page](../book/rerun.md) has the details.

# %% tags=["parameters", "hide-cell"] mystnb={"code_prompt_show": "Parameters", "code_prompt_hide": "Parameters"}
num_problems: int = 40  # problems for each dimension and noise level, from 10 to 10000
num_draws: int = 10_000  # draws, or runs, per simulated share, from 1000 to 1000000
noise_sd: float = 0.2  # label noise of the noisy problems, in (0, 10]; paper: 0.2
spread: float = 0.5  # standard deviation of the points' log sizes, from 0 to 1.5
seed: int = 0  # root of all random streams, from 0
results_dir: str = "reruns/02_stochastic_pruning"  # folder for tables; made if missing

# %% tags=["hide-cell"] mystnb={"code_prompt_show": "Check of the parameters, imports", "code_prompt_hide": "Check of the parameters, imports"}
from experiments.stochastic_pruning.runs import StochasticParameters

parameters = StochasticParameters.from_notebook(globals())

import time

import numpy as np
from IPython.display import HTML, Markdown, display
from scipy.stats import ks_2samp

from experiments.importance_sampling.runs import paper_line
from experiments.stochastic_pruning import claims, figures, proof, runs
from liprune_utils import files
from liprune_utils.book import formats, frames, register, style
from liprune_utils.intervals import Estimate, standard_error
from liprune_utils.moments import SecondMoments
from liprune_utils.problems import LeastSquares, draw_least_squares
from liprune_utils.sgd import importance_sgd

style.use_style()
folder = parameters.results_folder()
began = time.perf_counter()

# %% [markdown]
# ## What the paper claims
#
# Section 2 of [Ayed and Hayou (2022)](cite:ayed2022) adds pruning to the importance sampling of [page 1](01_importance_sampling.ipynb). Its Eq. (2) is
# $w_{t+1} = w_t - \eta\,\zeta_t \nabla g_{i_t}(w_t)$ with $g_i = f_i/(r n p_i)$. A step is made if $\zeta_t = 1$, which has the probability $r$. The division by
# $r$ keeps the mean step that of gradient descent. The paper says: "when we train for $n$ iterations, only a fraction $r$ of the data will be sampled on
# average. This can be seen as a stochastic data pruning algorithm." Theorem 2 states for $\eta < r/L_{\sup}(p)$, "with probability at least
# $1 - e^{-\frac{r^2 t}{2}}$ over the distribution of $\zeta$":
#
# $$
# \begin{aligned}
# \mathbb{E}\|w_t - w^*\|^2 &\le \lambda^{rt/2}\,\|w_0 - w^*\|^2 + \frac{\eta\,\sigma^2(p)}{\mu r (1 - \frac{\eta}{r} L_{\sup}(p))}, \\
# \lambda &= 1 - 2\mu\tfrac{\eta}{r}\big(1 - \tfrac{\eta}{r} L_{\sup}(p)\big).
# \end{aligned} \label{eq-theorem-2}
# $$
#
# The paper itself adds that Eq. (2) is not deterministic pruning: "each index $i$ has a non-zero sampling probability". So the claim is taken to
# mean only this: $n$ steps draw a share $r$ of the points on average.
#
# ## The method in a few lines
#
# The first loop is Eq. (2) with $p \propto L$ on a small least-squares problem. The second is ordinary SGD with the step size $\eta/r$, which sees only
# the indices of the steps that were made:

# %%
small = draw_least_squares(
    runs.stream(seed, "paths", 1), 50, 2, noise_sd=noise_sd, spread=spread
)
x, y, n, r = small.x, small.y, 50, 0.3
L = (x**2).sum(axis=1)
p, step_size = L / L.sum(), 0.4 * r / L.mean()

generator, made, w = runs.stream(seed, "example"), [], np.zeros(2)
for _ in range(200):
    i = generator.choice(n, p=p)
    zeta = generator.random() < r  # Bernoulli(r): is the step made?
    w = w - step_size * zeta * (x[i] @ w - y[i]) * x[i] / (r * n * p[i])
    if zeta:
        made.append(i)

slow = np.zeros(2)
for i in made:
    slow = slow - step_size / r * (x[i] @ slow - y[i]) * x[i] / (n * p[i])

# %% [markdown]
# <a id="same-law"></a>
# ## Eq. (2) is SGD on a slower clock
#
# Both loops end at the same point. A step that is not made changes nothing. A step that is made is an ordinary importance-sampled step of size $\eta/r$. So the
# error depends on the coins $\zeta$ only through their sum $\chi_t$, the number of steps made, and
#
# $$
# w_t \;\overset{\text{law}}{=}\; \text{SGD with step size } \eta/r \text{ after } \chi_t \sim \mathrm{Bin}(t, r) \text{ steps.} \label{eq-law}
# $$
#
# No point is removed: each has a positive chance at every step. The work that is saved by time $t$ is that of steps which were not taken. The library's SGD takes the
# same path from the same random numbers. Two more checks of the law: the exact one-step operators of the second moments, and a test of many runs.

# %%
options = {"step_size": step_size, "num_steps": 200, "num_runs": 1}
*_, fast = importance_sgd(
    small, p, keep_probability=r, generator=runs.stream(seed, "example"), **options
)
np.testing.assert_allclose(slow, w, rtol=1e-9)
np.testing.assert_allclose(fast[0], w, rtol=1e-9)

thinned = SecondMoments(small, p, r).operators([step_size])[0]
plain = SecondMoments(small, p).operators([step_size / r])[0]
mixed = (1 - r) * np.eye(len(plain)) + r * plain
np.testing.assert_allclose(thinned, mixed, rtol=1e-12, atol=1e-12)

step_size = 0.4 * r / L.max()  # for uniform sampling
options = {"step_size": step_size, "num_steps": 100, "num_runs": num_draws}
coin, clock = runs.law_errors(small, keep=r, seed=seed, **options)
distance, chance = ks_2samp(coin, clock)
assert chance > 1e-4
print(
    f"Kolmogorov-Smirnov distance {distance:.4f}, p = {chance:.2f}, {num_draws:,} runs"
)

# %% [markdown]
# <a id="distinct-share"></a>
# ## What share of the data do n steps draw?
#
# A fraction $r$ of the *steps* is made. The share of distinct points is smaller, because indices are drawn with replacement. A step misses point $i$ with
# probability $1 - r p_i$, so the mean share after $n$ steps is $1 - \frac1n\sum_i (1 - r p_i)^n$. For uniform $p$ it is $1 - (1 - r/n)^n$, about
# $1 - e^{-r}$; for any other $p$ it is smaller. After $t$ steps uniform sampling has drawn a share of $1 - (1 - r/n)^t$, which tends to 1. No subset is chosen.

# %%
n, shares = 1000, []
for _ in range(1000):
    zeta = generator.random(n) < r
    drawn = generator.integers(n, size=n)[zeta]
    shares.append(len(np.unique(drawn)) / n)
exact = 1 - (1 - r / n) ** n
assert abs(np.mean(shares) - exact) < 5 * standard_error(shares)
print(f"r = {r}: share drawn {np.mean(shares):.4f}; exact {exact:.4f}")

line = paper_line(runs.stream(seed, "paths", 0), noise_sd)
touched = runs.touched_table(line.lipschitz, num_runs=num_draws // 20, seed=seed)
half_width = (touched.high - touched.low) / 2  # 99%, that is 2.6 standard errors
assert ((touched.share - touched.exact).abs() < 2 * half_width).all()

# %% [markdown]
# <a id="proof-lines"></a>
# ## The proof, line by line
#
# Each line of Appendix A, and the statements around it, is checked by code: algebra with sympy, or a search that tries to break it. A line *holds* if
# its check passes as printed. It *holds after a correction* if the check finds a counterexample and the corrected line passes. These lines need a
# correction:

# %%
lines = proof.check_lines(seed)
Markdown(proof.markdown_corrections(lines))

# %% tags=["hide-input"]
num_printed = len(proof.printed(lines))
title = f"All {num_printed} printed lines, and {len(lines) - num_printed} of this book"
table = proof.lines_html(lines)
display(HTML(f"<details><summary>{title}</summary>\n{table}\n</details>"))
title = "What lines take for granted, and what happens without it"
items = proof.markdown_assumptions(lines)
display(Markdown(f"<details><summary>{title}</summary>\n\n{items}\n\n</details>"))

# %% [markdown]
# **Over what is each expectation taken?** The second and third displays take it over $i_t$, given $w_t$ and $\zeta_t$. The recursion must take it over all
# $i_0, \dots, i_{t-1}$, given all of $\zeta$. Theorem 2's "$\mathbb{E}$" is this *conditional* expectation, which is random through $\chi_t$. Only then
# does a probability over $\zeta$ have a meaning.
#
# <a id="stated-probability"></a>
# ## For which r t does the probability say anything?
#
# The event behind the probability is $\chi_t \ge rt/2$: at least half of the expected steps are made. Hoeffding's inequality in its one-sided form gives the
# theorem's $e^{-r^2t/2}$. The two-sided form, which Lemma 2 states and the proof uses, gives twice that. For small $r$ both are
# [far from the binomial law](fig-tails): they need a large $r^2 t$, while the chance depends on $rt$. Chernoff's $e^{-rt/8}$ has the right form. The table lists
# the steps $t$ from which on the chance of failure is at most 5%.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-tails", "caption": "The chance that fewer than half of the expected steps are made: exact, by Chernoff's bound, and by the theorem's (Hoeffding). Thin line: 5%. The smaller r, the more steps the theorem's bound needs before it says anything."}, "image": {"alt": "Four panels, r from 0.1 to 0.9, of chance against the expected number of steps made, both logarithmic. The exact chance falls first. The theorem's bound falls much later than Chernoff's for r = 0.1 and earlier for r of a half and more."}}
tails = runs.tail_table()
figure = figures.tail_figure(tails)

# %% tags=["hide-input"]
chances = runs.probability_table()
assert (chances.exact <= chances[["stated", "chernoff"]].min(axis=1)).all()
names = {"stated": "theorem", "proof": "proof (two-sided)", "chernoff": "Chernoff"}
shown = chances.rename(columns=names | {"keep_probability": "r"})
shown.style.hide().format("{:,.0f}").format("{:g}", subset=["r"])

# %% [markdown]
# Is Theorem 2 true? For random problems we draw the coins and count how often the conditional error exceeds the bound. The error is known exactly for each
# number of steps made, so these shares can be compared with the binomial law. On the event, at least $rt/2$ steps are made.
# For Theorem 2's $t = 4\log(2\epsilon_0/\epsilon)\frac1r(\dots)$ these are $2\log(2\epsilon_0/\epsilon)(\dots)$ steps, the number of Theorem 1. We check that
# so many suffice.

# %%
exceedance = runs.exceedance_table(parameters)
iterations = runs.iterations_table(parameters)

rare = 20 / num_draws  # too rare for a normal approximation
common = exceedance[exceedance.exact_share.between(rare, 1 - rare)]
sd = np.sqrt(common.exact_share * (1 - common.exact_share) / num_draws)
worst = ((common.share - common.exact_share).abs() / sd).max()
assert worst < 5, f"a share is {worst:.1f} standard errors from the binomial law"
print(f"{len(common):,} shares; the farthest is {worst:.1f} standard errors away")

# %% [markdown]
# <a id="stronger-statement"></a>
# ## A simpler and stronger statement
#
# Take the expectation over the coins as well. A step is made with probability $r$ and then contracts by $\lambda$. So for every $t$, without any
# exception,
#
# $$
# \mathbb{E}\|w_t - w^*\|^2 \le \big(1 - r(1 - \lambda)\big)^t\,\|w_0 - w^*\|^2 + \frac{\eta\,\sigma^2(p)}{\mu r (1 - \frac{\eta}{r} L_{\sup}(p))}. \label{eq-ours}
# $$
#
# This is the theorem of [Needell, Srebro and Ward (2016)](cite:needell2016) for the functions $\zeta g_i$. It has the same floor, and half of Theorem 2's steps
# suffice: $t = 2\log(2\epsilon_0/\epsilon)\frac1r\big(\frac{L_{\sup}(p)}{\mu} + \frac{\sigma^2(p)}{\mu^2\epsilon}\big)$. Here $r$ enters through $rt$ and
# $\eta/r$ alone: like the law, the bound is that of SGD on a slower clock.
#
# <details><summary>Why it is stronger</summary>
#
# Since $\mu \le L_{\sup}(p)$, $\lambda \ge \frac12$. And $(1 - rx)^t \le (1 - x)^{rt/2}$ for $0 \le x \le \frac12$, because $\log(1 - rx) \le -rx$ and
# $\log(1 - x) \ge -2x\log 2 \ge -2x$. Put $x = 1 - \lambda$.
#
# </details>
#
# <a id="looseness"></a>
# ## How loose are the bounds?
#
# Move the slider to another $r$: all curves stretch by the same factor. The step size is Theorem 2's for a target of a tenth of the first error. The
# table has the bounds over the exact error at the last step, Theorem 2's step count.

# %% tags=["hide-input"]
kept = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
loose = runs.looseness_table(
    small, kept, target=0.1, num_runs=num_draws // 2, seed=seed
)
frames.frame_browser(
    lambda r: figures.looseness_figure(loose, r),
    kept,
    describe=lambda r: (
        f"Error of Eq. (2) against the step for r = {r}, uniform sampling and sampling "
        "proportional to L: simulated dots on the exact curve, the bound of this page "
        "above it, the bound of Theorem 2 highest."
    ),
    name="r",
)

# %%
seen = loose[(loose.time > 0) & (loose.exact > 0.05)]  # below, rare long steps count
worst = ((seen.simulated - seen.exact).abs() / seen.simulated_se).max()
assert worst < 5, f"an error is {worst:.1f} standard errors from the exact one"
assert (loose.exact <= loose.ours + 1e-12).all()
assert (loose.ours <= loose.bound + 1e-12).all()

last = loose.groupby(["sampling", "keep_probability"]).tail(1)
factors = last[["bound", "ours"]].div(last.exact, axis=0).groupby(last.sampling).mean()
factors.columns = ["Theorem 2 / exact error", "this page's bound / exact error"]
factors.rename({"optimal": "p ∝ L"}).style.format("{:.1f}")

# %% [markdown]
# ## The verdict
#
# The row on the number of steps counts problems. Its interval is not taken over these problems: it is that of the 200 runs on the least favourable problem,
# if that problem is logistic.

# %% tags=["hide-input"]
compression = runs.compression_table(small, (0.05, 0.1, 0.25, 0.5, 0.75, 1.0))
cost = time.perf_counter() - began
outcomes = [
    claims.bound_claim(exceedance, cost=cost),
    claims.iterations_claim(iterations, cost=cost),
    claims.proof_claim(proof.printed(lines).status, cost=cost),
    claims.compression_claim(compression, cost=cost),
    claims.fraction_claim(touched, cost=cost),
]
register.write_claims(folder, outcomes)
tables = {"exceedance": exceedance, "iterations": iterations, "touched": touched}
tables |= {"compression": compression, "proof": lines, "looseness": loose}
for name, rows in (tables | {"tails": tails, "chances": chances}).items():
    files.write_table(folder, name, rows)
HTML(formats.claims_html(register.claims_table(outcomes)))

# %% [markdown]
# ## Exercises
#
# 1. **When has every point been drawn?** Take Eq. (2) with uniform $p$ and $n$ points. After how many steps, on average, has each point been drawn in a step
#    that was made? Compare your formula with a simulation for $n = 100$ and the page's `r`.
# 2. **What does the coin save?** In one dimension without label noise, each step of SGD multiplies the mean squared error by the same factor
#    $q \in [0, 1)$. By what factor does a step of Eq. (2) multiply it? Show that $t$ steps of Eq. (2), of which $rt$ are made on average, leave at
#    least the error of $rt$ steps of SGD with the step size $\eta/r$. Check both by `SecondMoments`.
#
# <details><summary>Solution of exercise 1, in words</summary>
#
# When $k$ points have been drawn, a step draws a new one with probability $r (n - k)/n$. The mean time until that happens is $n / (r (n - k))$. The sum over
# $k = 0, \dots, n - 1$ is
#
# $$
# \frac nr \Big(1 + \frac12 + \dots + \frac1n\Big).
# $$
#
# A smaller $r$ delays every point by the factor $1/r$. It removes none of them: Eq. (2) thins the steps, not the data.
#
# </details>

# %% tags=["hide-cell"] mystnb={"code_prompt_show": "Solution of exercise 1, in code", "code_prompt_hide": "Solution of exercise 1, in code"}
coupons, waits = np.random.default_rng([seed, 101]), []
for _ in range(400):
    thinned_steps = np.flatnonzero(coupons.random(20_000) < r)  # those that are made
    indices = coupons.integers(100, size=len(thinned_steps))
    values, first_time = np.unique(indices, return_index=True)
    assert len(values) == 100, "a point has not been drawn"
    waits.append(thinned_steps[first_time.max()] + 1)

expected_wait = 100 / r * (1 / np.arange(1, 101)).sum()
assert abs(np.mean(waits) - expected_wait) < 5 * standard_error(waits)
print(f"r = {r}: all 100 points drawn after {np.mean(waits):.0f} steps on average,")
print(f"expected {expected_wait:.0f}, or {expected_wait / 100:.1f} times n steps")

# %% [markdown]
# <details><summary>Solution of exercise 2, in words</summary>
#
# With probability $r$ the step is made and multiplies the error by $q$. Otherwise nothing changes. The factor is $1 - r + rq$. By the inequality of the weighted
# arithmetic and geometric means, $(1 - r) \cdot 1 + r \cdot q \ge 1^{1 - r} q^r = q^r$. So after $t$ steps the error of Eq. (2) is
# $(1 - r + rq)^t \ge q^{rt}$ times the first one.
#
# The coin makes the number of steps random, and this costs accuracy. At the same average number of gradients, plain SGD is at least as good here, and it
# needs no coin.
#
# </details>

# %% tags=["hide-cell"] mystnb={"code_prompt_show": "Solution of exercise 2, in code", "code_prompt_hide": "Solution of exercise 2, in code"}
quiet = LeastSquares(line.x, line.x[:, 0])  # the paper's line without noise; w* = 1
second_moment, fourth = quiet.lipschitz.mean(), (quiet.lipschitz**2).mean()
stride = 0.4 * second_moment / fourth  # eta / r, below the best one
q = 1 - 2 * stride * second_moment + stride**2 * fourth
alike = np.full(len(line.y), 1 / len(line.y))
for share_made in (0.1, 0.2, 0.5, 0.8):
    num_made = round(50 * share_made)
    coined = SecondMoments(quiet, alike, share_made)
    with_coin = coined.error_after(share_made * stride, 50)
    without = SecondMoments(quiet, alike).error_after(stride, num_made)
    np.testing.assert_allclose(with_coin, (1 - share_made + share_made * q) ** 50)
    np.testing.assert_allclose(without, q**num_made)
    assert with_coin >= without, "the coin has saved steps"
    print(f"r = {share_made}: error after 50 steps {with_coin:.2e}", end="; ")
    print(f"after {num_made} steps of SGD {without:.2e}")

# %% [markdown]
# ## What differs from the paper
#
# Theorem 2 excludes $r = 1$, yet the text uses it at once; all of it holds for $r = 1$. "To *maximize* the factor $\lambda$"
# should read minimise: at any fixed $\eta$ and for any $r$, $\lambda$ is least at $p \propto L$. This is a statement about the bound;
# [page 1](steps-saved) shows what $p \propto L$ does to the number of steps. Theorem 2 says nothing about *deterministic* pruning. The paper calls keeping the
# largest $L_i$ a "straightforward deterministic variant". It drops the weights $1/(n p_i)$, so that the mean step is no longer along $\nabla F$ and the
# minimiser moves.
#
# **Tables.** [Shares of the data](../results/02_stochastic_pruning/touched.csv), [all lines with counterexamples and
# proofs](../results/02_stochastic_pruning/proof.csv), [chances](../results/02_stochastic_pruning/tails.csv), [steps to a chance of
# 5%](../results/02_stochastic_pruning/chances.csv), [shares above the bound](../results/02_stochastic_pruning/exceedance.csv), [Theorem 2's
# steps](../results/02_stochastic_pruning/iterations.csv), [the slider's curves](../results/02_stochastic_pruning/looseness.csv), [the best
# p](../results/02_stochastic_pruning/compression.csv).
#
# **Next.** [Does GraNd keep the same points as LiPrune?](03_liprune.ipynb)

# %% tags=["remove-input"]
by_id = {outcome.id: outcome for outcome in outcomes}
parts = ("theorem-2-bound", "theorem-2-iterations")
true = all(by_id[part].verdict == "holds" for part in parts)
status = list(proof.printed(lines).status)
survives = (
    "others cannot be repaired" if proof.FAILS in status else "the theorem survives"
)
far, rows = by_id["stochastic-fraction"], touched[touched.sampling == "uniform"]
farthest = rows.keep_probability[(rows.share - rows.keep_probability).abs().idxmax()]
gap = Estimate(*(100 * end for end in (far.estimate, far.low, far.high)), far.num_runs)
first_screen.fill(
    f"""**No.** The paper's stochastic pruning, Eq. (2), skips each step of SGD with the
probability 1 − r. It has the same law as ordinary SGD that takes fewer, larger steps;
no point is removed. In n steps it draws less than a share r of the n points: at
r = {farthest:g} the share is {formats.difference(gap, "percentage points")} than r,
over {far.num_runs:,} runs of n steps. Theorem 2 {"holds" if true else "does not hold"}
on all problems tried; of the {len(status)} printed lines of its proof and around it,
{status.count(proof.CORRECTED)} need a correction, and {survives}.""",
    figures.touched_figure(touched),
)
