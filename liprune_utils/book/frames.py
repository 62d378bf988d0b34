"""Precomputed frames behind a slider: interactive in the book, with no kernel and no network."""

import base64
import io
from collections.abc import Callable, Sequence

import ipywidgets
import matplotlib.pyplot as plt
from IPython.display import HTML, display
from markupsafe import Markup
from matplotlib.figure import Figure
from PIL import Image

DPI = 180  # sharp on screens of double density
NUM_COLORS = 64  # halve the size; the eye sees no difference in a drawing of lines


def encode(figure: Figure) -> str:
    """Turn a figure into the address of a WebP image that holds it, and close it."""
    drawn, packed = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", dpi=DPI)
    plt.close(figure)
    image = Image.open(drawn).convert("RGB").quantize(NUM_COLORS, dither=Image.Dither.NONE)
    image.convert("RGB").save(packed, "webp", lossless=True, quality=100)
    return f"data:image/webp;base64,{base64.b64encode(packed.getvalue()).decode()}"


def frame_browser(
    draw: Callable[[object], Figure],
    values: Sequence[object],
    *,
    describe: Callable[[object], str],
    name: str,
) -> ipywidgets.VBox:
    """Put precomputed frames behind a slider that needs no kernel.

    Where a browser runs no JavaScript the first frame is shown instead.
    """
    image = Markup('<img alt="{}" src="{}">')
    frames = [
        ipywidgets.HTML(image.format(describe(value), encode(draw(value)))) for value in values
    ]
    display(HTML(f"<noscript>{frames[0].value}</noscript>"))
    stack = ipywidgets.Stack(frames, selected_index=0)
    slider = ipywidgets.SelectionSlider(
        options=[(str(value), index) for index, value in enumerate(values)],
        description=name,
        style={"description_width": "initial"},
        layout=ipywidgets.Layout(width="100%", max_width="28rem"),
    )
    ipywidgets.jslink((slider, "index"), (stack, "selected_index"))
    return ipywidgets.VBox([slider, stack])
