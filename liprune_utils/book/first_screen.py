"""The first screen of a page: its answer and its figure, which the page's last cell fills in."""

import matplotlib.pyplot as plt
from IPython.display import Markdown, display, update_display
from matplotlib.figure import Figure


def reserve(place: str) -> None:
    """Show where the "answer" or the "figure" will stand."""
    display(Markdown(f"*The {place} appears here when all cells have run.*"), display_id=place)


def fill(answer: str, figure: Figure) -> None:
    """Put the answer, in Markdown, and the figure into their reserved places."""
    update_display(Markdown(answer), display_id="answer")
    update_display(figure, display_id="figure")
    plt.close(figure)  # or the cell would show it again
