"""The sentences of page 11, computed from its tables."""

from collections.abc import Sequence

import pandas as pd

from experiments.cifar10.claims import MARGIN
from experiments.why.claims import outcome, select
from experiments.why.tables import METHODS, estimate_of
from liprune_utils.book.formats import in_brackets, number, words
from liprune_utils.book.register import Claim
from liprune_utils.intervals import Estimate

NAMES = {"random": "random batches", "liprune": "LiPrune's batches", "hessian": "examples"}


def answer(asymptotic: Claim, noise: Claim, points: Claim, examples: pd.DataFrame) -> str:
    """Say in a sentence or two each what became of the three explanations.

    Args:
        asymptotic: The claim of that name.
        noise: The claim "noise-reduction".
        points: The claim "points-to-batches".
        examples: From `experiments.why.tables.example_table`.

    Returns:
        The sentences.
    """
    return (
        f"(i) That pruning changes the loss at the end {verdict_words(asymptotic)}: the loss of "
        f"all images with LiPrune's batches less that with random ones is {_claimed(asymptotic)}. "
        f"(ii) That less gradient noise makes the convex case faster {verdict_words(noise)} as an "
        f"explanation of LiPrune: where it is faster, its gradient has up to {_claimed(noise)} "
        f"times the variance. (iii) Examples instead of batches: "
        f"{_claimed(points)} points of test error against random pruning. "
        f"{outcome(_gaps(examples))} By the register's rule, that examples fail as batches do "
        f"{verdict_words(points)}."
    )


def verdict_words(found: Claim) -> str:
    """Write a claim's verdict as a predicate.

    Args:
        found: The claim.

    Returns:
        Words such as "does not hold" or "is inconclusive".
    """
    is_adjective = found.verdict in ("inconclusive", "not-evaluated")
    return ("is " if is_adjective else "") + words(found.verdict)


def _gaps(examples: pd.DataFrame) -> list[Estimate]:
    return [estimate_of(row) for _, row in examples[examples.arm == "hessian"].iterrows()]


def _claimed(outcome: Claim) -> str:
    return in_brackets(Estimate(outcome.estimate, outcome.low, outcome.high, outcome.num_runs))


def loss_sentence(losses: pd.DataFrame) -> str:
    """Say where long training ends.

    Args:
        losses: From `experiments.why.tables.loss_table`.

    Returns:
        The sentences.
    """
    full = losses[losses.measure == "full_set_loss"].set_index("arm")
    kept = losses[losses.measure == "kept_set_loss"]
    errors = losses[losses.measure == "test_error"].set_index("arm")
    parts = [
        f"{in_brackets(estimate_of(full.loc[arm]))} for {NAMES[arm]} (test error "
        f"{in_brackets(estimate_of(errors.loc[arm]))} points)"
        for arm in METHODS
    ]
    return (
        f"Random pruning ends with a loss of {number(kept.random.iloc[0])} on its kept images and "
        f"of {number(full.random.iloc[0])} on all. Less random pruning's, the loss of all images "
        f"is {' and '.join(parts)}; 99% intervals, {full.num_seeds.iloc[0]} paired seeds."
    )


def shift_sentence(shifts: pd.DataFrame) -> str:
    """Say how the kept images differ from all.

    Args:
        shifts: From `experiments.why.tables.shift_table`.

    Returns:
        The sentences.
    """
    means = shifts.pivot(index="arm", columns="statistic", values="mean").loc[["random", *METHODS]]
    difficulty = [f"{number(row.loss_ratio)} ({NAMES[arm]})" for arm, row in means.iterrows()]
    classes = [f"{number(row.class_shift)} ({NAMES[arm]})" for arm, row in means.iterrows()]
    return (
        f"At the pruning, the mean loss of the kept images is {', '.join(difficulty)} times that "
        f"of all. The class shares are off by {', '.join(classes)} in total variation distance; "
        f"what random batches show is chance."
    )


def linear_sentence(linear: pd.DataFrame) -> str:
    """Say what the noise does in the linear model.

    Args:
        linear: From `experiments.why.linear_noise.noise_table`.

    Returns:
        The sentences.
    """
    start = linear[linear.error == linear.error.max()]
    liprune, unbiased = (start[start.method == method] for method in ("liprune", "unbiased"))
    faster = linear[(linear.method == "liprune") & (linear.left_high < 1)]
    noisier = faster[faster.noise_low > 1]
    return (
        f"At the start LiPrune's gradient has {number(liprune.noise.min())} to "
        f"{number(liprune.noise.max())} times the variance of random pruning's, but the variance "
        f"accounts for at most {liprune.share.max():.1%} of its lead in a step. In "
        f"{len(noisier)} of the {len(faster)} cases in which its step is the better one its "
        f"variance is the larger one, by up to {number(noisier.noise.max())} times. Importance "
        f"sampling with its weights, which changes nothing but the variance, brings it down to "
        f"{number(unbiased.noise.max())} or less at the start, and leaves at least "
        f"{number(unbiased.left.min(), 4)} times what random pruning's step leaves."
    )


def matched_sentence(matched: pd.DataFrame, shifts: pd.DataFrame) -> str:
    """Say what pruning does to the gradient's noise on CIFAR-10.

    Args:
        matched: From `experiments.why.tables.matched_noise`.
        shifts: From `experiments.why.tables.shift_table`.

    Returns:
        The sentences.
    """
    noise = matched[matched.measure == "kept_noise"].set_index("method")
    ratios = [
        f"{in_brackets(Estimate(*noise.loc[arm, ['ratio', 'low', 'high', 'num_seeds']]))} for "
        f"{NAMES[arm]}"
        for arm in METHODS
    ]
    gains = [
        f"{number(select(shifts, arm=arm, statistic='importance_gain')['mean'])} for {NAMES[arm]}"
        for arm in METHODS
    ]
    return (
        f"At the same weights, the variance of the kept batches' gradient over that of random "
        f"batches is {' and '.join(ratios)} (99%). Sampling all by their norms, with the weights "
        f"of Section 2, would change the second moment by the factors {' and '.join(gains)}."
    )


def remedy_sentence(remedy: pd.DataFrame, kept: pd.DataFrame) -> str:
    """Say what the rescaled learning rate does.

    Args:
        remedy: From `experiments.why.tables.remedy_table`.
        kept: One row an arm and seed, with ``rate_factor``.

    Returns:
        The sentences.
    """
    factors, parts = kept.groupby("arm").rate_factor.agg(["min", "max"]), []
    for arm in METHODS:
        own, rival = (
            in_brackets(estimate_of(select(remedy, arm=f"{arm} rescaled", against=against)))
            for against in (arm, "random")
        )
        low, high = factors.loc[arm]
        parts.append(
            f"For {NAMES[arm]} the rate is multiplied by {number(low)} to {number(high)}; the mean "
            f"test error then changes by {own} points, and less random pruning's it is {rival}."
        )
    return " ".join(parts)


def spread_sentence(races: pd.DataFrame, spreads: pd.DataFrame, stretched: Estimate) -> str:
    """Say what CIFAR-10's spreads would be worth in the convex model.

    Args:
        races: From `experiments.why.matched_spread.spread_table`, indexed by ``batch_size``.
        spreads: From `experiments.why.tables.cifar_spreads`, with ``batch_size``.
        stretched: From `experiments.why.tables.stretched_difference`, for the batches at the
            pruning.

    Returns:
        The sentences.
    """
    found = [
        f"{row.spread:.2f} ({row.what}): loss {number(races.ratio[row.batch_size])} times random "
        f"pruning's, a step worth {number(races.steps[row.batch_size])}"
        for row in spreads.itertuples()
    ]
    return (
        f"In the convex model, at the spread {'; at '.join(found)}. On CIFAR-10, random pruning's "
        f"own curve, run faster by the factor of the batches at the pruning, would change the test "
        f"error by {in_brackets(stretched)} points before the rate falls (90%)."
    )


def example_sentence(examples: pd.DataFrame, control: Estimate) -> str:
    """Say whether pruning examples accelerates.

    Args:
        examples: From `experiments.why.tables.example_table`.
        control: The positive control.

    Returns:
        The sentences.
    """
    found, fractions = _gaps(examples), examples[examples.arm == "hessian"].keep_fraction
    parts = [
        f"{in_brackets(gap)} points with {fraction:g} kept"
        for gap, fraction in zip(found, fractions, strict=True)
    ]
    return (
        f"Mean test error after the pruning, examples of large norm less random pruning: "
        f"{' and '.join(parts)} (90%, {found[0].num_runs} paired seeds). {outcome(found)} The "
        f"positive control, random pruning with more kept against less, is {in_brackets(control)}."
    )


def closing_sentence(
    examples: pd.DataFrame, convex: Sequence[Estimate], remedy: pd.DataFrame
) -> str:
    """Weigh what the three tests leave standing.

    Args:
        examples: From `experiments.why.tables.example_table`.
        convex: Ratios of losses in the convex model at CIFAR-10's spreads.
        remedy: From `experiments.why.tables.remedy_table`.

    Returns:
        The sentences.
    """
    gains = all(ratio.below(1.0) for ratio in convex)
    slow = all(gap.low > -MARGIN for gap in _gaps(examples))
    cured = [
        arm
        for arm in METHODS
        if estimate_of(select(remedy, arm=f"{arm} rescaled", against="random")).high < -MARGIN
    ]
    spread = (
        "Too small a spread of the constants is not the reason: at that of CIFAR-10 the convex "
        "model gains."
        if gains
        else "The spread of the constants may be too small to matter."
    )
    batches = (
        "Nor is it batches in place of examples: examples accelerate no more."
        if slow
        else "Whether examples would accelerate is not settled."
    )
    rate = (
        f"The rescaled rate makes {' and '.join(NAMES[arm] for arm in cured)} faster than random "
        "pruning, so that the dynamics were part of it."
        if cured
        else "The rescaled rate makes neither faster than random pruning by more than the margin."
    )
    return f"{spread} {batches} {rate}"
