"""Figures of page 10: how scores agree, what they keep, and how training goes on it."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from experiments.other_scores.convex import LATER, LINEAR, START
from experiments.other_scores.convex_tables import LABELS as RIVALS
from experiments.other_scores.tables import LABELS, MEASURES
from experiments.other_scores.tables import METHODS as NAMES
from liprune_utils.book.style import METHODS, shared_legend

# Okabe and Ito's palette, told apart by dash and marker as well.
LOOKS = {
    "liprune": METHODS["liprune"] | {"marker": "o"},
    "random": METHODS["random"] | {"marker": "s"},
    "hessian": {"color": "#009E73", "linestyle": "-", "marker": "^"},
    "gauss-newton": {"color": "#E69F00", "linestyle": "--", "marker": "v"},
    "grand": {"color": "#CC79A7", "linestyle": "-.", "marker": "D"},
    "el2n": {"color": "#56B4E9", "linestyle": ":", "marker": "P"},
    "loss": {"color": "#000000", "linestyle": (0, (1, 1)), "marker": "X"},
    "forgetting": {"color": "#999999", "linestyle": (0, (5, 1)), "marker": "*"},
}
FRACTIONS = (
    {"color": "#56B4E9", "marker": "o"},
    {"color": "#CC79A7", "marker": "s"},
    {"color": "#E69F00", "marker": "^"},
    {"color": "#000000", "marker": "D"},
)
CHANCE = "#888888"
WHEN = {START: ",\nscored at the start", LATER: ",\nscored later"}
BARS = {"linestyle": "none", "linewidth": 1.2, "markersize": 5}


def correlation_figure(correlations: pd.DataFrame) -> Figure:
    """Draw the rank correlations of all scores, with their values.

    Args:
        correlations: From `experiments.other_scores.comparison.rank_correlations`.

    Returns:
        The figure.
    """
    names = list(correlations.score.unique())
    wide = correlations.pivot(index="score", columns="other", values="correlation")
    matrix = wide.loc[names, names].to_numpy()
    figure, axes = plt.subplots(figsize=(6.4, 5.6))
    image = axes.imshow(matrix, cmap="cividis", vmin=-1, vmax=1)
    for (row, column), value in np.ndenumerate(matrix):
        color = "black" if value > 0 else "white"
        text = f"{value:.2f}".replace("0.", ".", 1).replace("-", "\N{MINUS SIGN}")
        axes.text(column, row, text, ha="center", va="center", color=color, fontsize=10)
    labels = [LABELS[name] for name in names]
    axes.set_xticks(range(len(names)), labels, rotation=45, ha="right")
    axes.set_yticks(range(len(names)), labels)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.grid(visible=False)
    figure.colorbar(image, ax=axes, label="rank correlation", shrink=0.8)
    return figure


def overlap_figure(overlaps: pd.DataFrame, reference: str = "hessian") -> Figure:
    """Draw how much of a score's kept set the others keep, beside chance.

    Args:
        overlaps: From `experiments.other_scores.comparison.overlap_table`.
        reference: The score that the others are compared with.

    Returns:
        The figure, a panel for each fraction; the grey band holds at least 99% of chance.
    """
    here = overlaps[(overlaps.score == reference) | (overlaps.other == reference)]
    here = here.assign(name=here.score.where(here.score != reference, here.other))
    figure, panels = _score_panels(here, "overlap")
    for axes, (_, rows) in zip(panels, here.groupby("keep_fraction"), strict=True):
        ends = rows.chance_low.iloc[0], rows.chance_high.iloc[0]
        axes.axvspan(*ends, color=CHANCE, alpha=0.35, label="by chance (99%)")
        axes.set_xlim(0, 1.03)
        axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    figure.supxlabel(f"share of what the {LABELS[reference]} keeps", fontsize=11)
    shared_legend(figure)
    return figure


def class_figure(classes: pd.DataFrame) -> Figure:
    """Draw how far the classes of each kept set are from those of all images.

    Args:
        classes: From `experiments.other_scores.comparison.class_table`.

    Returns:
        The figure, a panel for each fraction; 99% of random subsets lie within the grey band.
    """
    here = classes.rename(columns={"score": "name"})
    figure, panels = _score_panels(here, "distance")
    for axes, (_, rows) in zip(panels, here.groupby("keep_fraction"), strict=True):
        limit = rows.chance_high.iloc[0]
        axes.axvspan(0, limit, color=CHANCE, alpha=0.35, label="by chance (99%)")
        axes.set_xlim(0, 1.1 * max(classes.distance.max(), classes.chance_high.max()))
    figure.supxlabel("total variation distance of the classes", fontsize=11)
    shared_legend(figure)
    return figure


# A panel for each fraction with a dot for each score, the first on top.
def _score_panels(table: pd.DataFrame, column: str) -> tuple[Figure, Sequence[Axes]]:
    names, groups = list(table.name.unique()), table.groupby("keep_fraction")
    size = (6.4, 1.4 + 0.28 * len(names))
    figure, panels = plt.subplots(1, groups.ngroups, figsize=size, sharey=True, squeeze=False)
    for axes, (fraction, rows) in zip(panels.flat, groups, strict=True):
        heights = [-names.index(name) for name in rows.name]
        axes.plot(rows[column], heights, "o", color="#009E73", markersize=6)
        axes.set_title(f"keep {fraction:g}")
    panels[0, 0].set_yticks(-np.arange(len(names)), [LABELS[name] for name in names])
    return figure, panels.flat


def gallery_figure(rows: Sequence[tuple[str, np.ndarray, Sequence[str]]]) -> Figure:
    """Show images in rows, each with words below.

    Args:
        rows: For each row its title, its images (uint8, shape ``[k, 32, 32, 3]``) and their words.

    Returns:
        The figure, pixels as they are.
    """
    columns = max(len(images) for _, images, _ in rows)
    figure, panels = plt.subplots(
        len(rows), columns, figsize=(6.4, 1.62 * len(rows)), squeeze=False
    )
    for line, (title, images, words) in zip(panels, rows, strict=True):
        line[0].set_title(title, loc="left", fontsize=10)
        for axes, image, text in zip(line, images, words, strict=False):
            axes.imshow(image, interpolation="none")
            axes.set_xlabel(text, fontsize=9, labelpad=2)
    for axes in panels.flat:
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
    return figure


def case_figure(cases: pd.DataFrame) -> Figure:
    """Draw LiPrune's test loss over each rival's on convex problems, at the least favourable step.

    Args:
        cases: From `experiments.other_scores.convex_tables.case_table`.

    Returns:
        The figure, a panel for each rival, a height for each problem and rate; bars are the
        table's intervals.
    """
    panels_of = [("random", cases.taken[cases.against == "random"].iloc[0]), ("loss", LATER)]
    panels_of += [(score, taken) for taken in (START, LATER) for score in ("grand", "el2n")]
    settings = list(cases.groupby(["problem", "rate"], sort=False).groups)
    settings.sort(key=list(dict.fromkeys(zip(cases.problem, cases.rate, strict=True))).index)
    figure, panels = plt.subplots(2, 3, figsize=(6.4, 8), sharey=True, sharex=True)
    order = panels[:, 0].tolist() + panels[0, 1:].tolist() + panels[1, 1:].tolist()
    for axes, (against, taken) in zip(order, panels_of, strict=True):
        rows = cases[(cases.against == against) & (cases.taken == taken)]
        _draw_cases(axes, rows, settings)
        axes.set_title(f"{RIVALS[against]}{WHEN.get(taken, '')}", fontsize=9)
    panels[0, 0].set(xscale="log")
    panels[0, 0].set_xticks([0.5, 1, 2, 4], ["0.5", "1", "2", "4"])
    panels[0, 0].minorticks_off()
    labels = [_setting(*setting) for setting in settings]
    for row in panels:
        row[0].set_yticks(-np.arange(len(settings)), labels, fontsize=9)
    figure.supxlabel("LiPrune's test loss / rival's", fontsize=11)
    shared_legend(figure)
    return figure


# One panel, its intervals spread around the height of their problem.
def _draw_cases(axes: Axes, rows: pd.DataFrame, settings: list[tuple[str, str]]) -> None:
    axes.axvline(1, color="black", linewidth=1)
    fractions = sorted(rows.keep_fraction.unique())
    offsets = np.linspace(0.27, -0.27, len(fractions))
    for fraction, offset, look in zip(fractions, offsets, FRACTIONS, strict=False):
        here = rows[rows.keep_fraction == fraction]
        pairs = zip(here.problem, here.rate, strict=True)
        heights = [offset - settings.index(pair) for pair in pairs]
        bars = np.array([here.ratio - here.low, here.high - here.ratio])
        label = f"keep {fraction:g}"
        axes.errorbar(here.ratio, heights, xerr=bars, label=label, **(BARS | look))


def _setting(problem: str, rate: str) -> str:
    return f"{problem}\nrate {rate}" if problem == LINEAR else f"{problem}\n{rate}"


def gap_figure(gaps: pd.DataFrame) -> Figure:
    """Draw each method's test error less random pruning's in the recorded runs.

    Args:
        gaps: From `experiments.other_scores.tables.gap_table`.

    Returns:
        The figure, a row of panels for each measure and a column for each fraction; bars are the
        table's intervals.
    """
    measures, fractions = list(gaps.measure.unique()), sorted(gaps.keep_fraction.unique())
    methods = list(gaps.method.unique())
    size = (6.4, 1.2 + 2.4 * len(measures))
    figure, panels = plt.subplots(
        len(measures), len(fractions), figsize=size, sharey=True, sharex=True, squeeze=False
    )
    for line, measure in zip(panels, measures, strict=True):
        for axes, fraction in zip(line, fractions, strict=True):
            axes.axvline(0, color="black", linewidth=1)
            here = gaps[(gaps.measure == measure) & (gaps.keep_fraction == fraction)]
            for row in here.itertuples():
                bars = [[row.difference - row.low], [row.high - row.difference]]
                look = {key: LOOKS[row.method][key] for key in ("color", "marker")}
                axes.errorbar(
                    row.difference, -methods.index(row.method), xerr=bars, **(BARS | look)
                )
            axes.set_title(f"keep {fraction:g}, {_short(measure)}", fontsize=10)
        line[0].set_yticks(-np.arange(len(methods)), [NAMES[name] for name in methods])
    figure.supxlabel("test error less that of random batches (points)", fontsize=11)
    return figure


def _short(measure: str) -> str:
    return {"final": "last epoch", "mean": "mean of epochs"}.get(measure, MEASURES[measure])


def error_figure(curves: pd.DataFrame) -> Figure:
    """Draw the recorded test errors by epoch, means over seeds, a panel for each fraction.

    Args:
        curves: As in `experiments.other_scores.tables.error_table`.

    Returns:
        The figure; the dotted line marks the start of the epoch of the pruning.
    """
    groups = curves.groupby("keep_fraction")
    figure, panels = plt.subplots(
        1, groups.ngroups, figsize=(6.4, 4.6), sharex=True, sharey=True, squeeze=False
    )
    for axes, (fraction, rows) in zip(panels.flat, groups, strict=True):
        means = rows.groupby(["method", "epoch"]).test_error.mean()
        for method in (name for name in NAMES if name in means.index.levels[0]):
            look = LOOKS[method] | {"label": NAMES[method], "markersize": 4, "markevery": 3}
            axes.plot(means[method], **look)
        axes.axvline(rows.prune_epoch.iloc[0] - 0.5, color="black", linewidth=0.8, linestyle=":")
        axes.set_title(f"keep {fraction:g}")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.supxlabel("epoch", fontsize=11)
    figure.supylabel("test error (%)", fontsize=11)
    shared_legend(figure)
    return figure
