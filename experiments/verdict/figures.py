"""The book's first figure: the paper's two main experiments side by side."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from experiments.cifar10.figures import plot_errors
from liprune_utils.book.style import NORMAL_95, plot_band, shared_legend


def overview_figure(linear: pd.DataFrame, cifar: pd.DataFrame, source: str) -> Figure:
    """Draw the paper's two experiments side by side: linear model and ResNet."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(6.4, 3.6))
    fraction = linear.keep_fraction.min()
    first = linear[linear.figure == 1]
    for method, rows in first[first.keep_fraction.isin([fraction, 1.0])].groupby(
        "method", sort=False
    ):
        half = NORMAL_95 * rows.test_loss_se
        plot_band(left, rows.step, rows.test_loss_mean, half, method)
    left.set(title=f"Linear model, keep {fraction:g}", yscale="log")
    left.set(xlabel="SGD step", ylabel="test loss")
    fraction = cifar.keep_fraction[cifar.method != "none"].max()
    plot_errors(right, cifar[cifar.keep_fraction.isin([fraction, 1.0])])
    right.set_title(f"ResNet, keep {fraction:g}\n{source}", size=10)
    right.set(xlabel="epoch", ylabel="test error (%)")
    shared_legend(figure)
    return figure
