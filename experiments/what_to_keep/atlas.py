"""When which rule wins: a chart for every problem of the atlas, behind menus without a kernel.

Charts are SVG, written here: they take a tenth of the room and of the time of drawn frames.
"""

import base64

import ipywidgets
import jinja2
import numpy as np
import pandas as pd
from IPython.display import HTML, display
from markupsafe import Markup

from experiments.what_to_keep.figures import LABELS, RATIO, STYLES
from experiments.what_to_keep.problems import INPUTS
from experiments.what_to_keep.races import KEEP_FRACTIONS, STEPS
from experiments.what_to_keep.runs import ATLAS_LABELS, ATLAS_SHARES, differs
from liprune_utils.book.style import METHODS

MENUS = {
    "features": tuple(ATLAS_SHARES), "inputs": INPUTS,
    "labels": ATLAS_LABELS, "keep": KEEP_FRACTIONS,
}  # fmt: skip
FIRST = (10, INPUTS[0], ATLAS_LABELS[0], KEEP_FRACTIONS[0])  # what is shown before any choice
RANGE = (0.08, 4.0)  # of ratios; what lies beyond stands at the edge
TICKS = (0.1, 0.3, 1, 3)
LEFT, TOP, PANEL, GAP, ROW = 112, 30, 160, 14, 24  # pixels
Choice = tuple[int, str, str, float]

_CHART = jinja2.Environment(autoescape=True, trim_blocks=True).from_string(
    """\
<svg xmlns="http://www.w3.org/2000/svg" width="640" height="{{ bottom + 44 }}" \
viewBox="0 0 640 {{ bottom + 44 }}" \
font-family="DejaVu Sans, Verdana, sans-serif" font-size="12" text-anchor="middle">
<rect width="640" height="{{ bottom + 44 }}" fill="white"/>
{% for step, left in panels %}
<text x="{{ left + panel / 2 }}" y="{{ top - 12 }}">{{ step }} steps</text>
<path d="{% for _, x in ticks %}M{{ left + x }} {{ top }}V{{ bottom }}{% endfor %}" \
stroke="#e6e6e6"/>
{% for tick, x in ticks %}
<text x="{{ left + x }}" y="{{ bottom + 16 }}">{{ tick }}</text>
{% endfor %}
<path d="M{{ left + one }} {{ top }}V{{ bottom }}" stroke="{{ random }}" stroke-width="1.5" \
stroke-dasharray="5 3"/>
<path d="M{{ left }} {{ top }}V{{ bottom }}H{{ left + panel }}" fill="none" stroke="black"/>
{% endfor %}
{% for name, color, y, marks in lines %}
<text x="{{ start - 8 }}" y="{{ y + 4 }}" text-anchor="end">{{ name }}</text>
<g stroke="{{ color }}" fill="{{ color }}" stroke-width="2">
<path d="{% for x, low, high, decided in marks %}M{{ low }} {{ y }}H{{ high }}{% endfor %}"/>
{% for x, low, high, decided in marks %}
<circle cx="{{ x }}" cy="{{ y }}" r="4.5"{% if not decided %} fill="white"{% endif %}/>
{% endfor %}
</g>
{% endfor %}
<text x="{{ start + 254 }}" y="{{ bottom + 36 }}">{{ label }}</text>
</svg>"""
)


def place(ratio: float) -> int:
    """Compute how far from a panel's left edge a ratio stands, in whole pixels."""
    low, high = np.log(RANGE)
    share = (np.log(np.clip(ratio, *RANGE)) - low) / (high - low)
    return round(float(share) * PANEL)


def chart(rows: pd.DataFrame) -> str:
    """Draw every method's ratio with its interval; filled where the interval leaves out 1."""
    lefts = {step: LEFT + n * (PANEL + GAP) for n, step in enumerate(STEPS)}
    names = [name for name in LABELS if name in set(rows.method)]

    def mark(row: object) -> tuple[float, float, float, bool]:
        places = (lefts[row.step] + place(value) for value in (row.ratio, row.low, row.high))
        return *places, row.low > 1 or row.high < 1

    lines = [
        (LABELS[name], STYLES[name]["color"], TOP + ROW * (number + 0.5),
         [mark(row) for row in rows[rows.method == name].itertuples()])
        for number, name in enumerate(names)
    ]  # fmt: skip
    return _CHART.render(
        panels=lefts.items(), ticks=[(f"{tick:g}", place(tick)) for tick in TICKS], one=place(1),
        lines=lines, top=TOP, bottom=TOP + ROW * len(names), start=LEFT, panel=PANEL,
        random=METHODS["random"]["color"], label=RATIO,
    )  # fmt: skip


def frame(atlas: pd.DataFrame, choice: Choice) -> ipywidgets.HTML:
    """Show the chart of a choice as an image, which its words describe."""
    dim, inputs, labels, fraction = choice
    rows = atlas[(atlas.dim == dim) & (atlas.inputs == inputs)]
    rows = rows[(rows.labels == labels) & (rows.keep_fraction == fraction)]
    ahead = rows[rows.high < 1].groupby("step").method.agg(lambda m: ", ".join(map(LABELS.get, m)))
    said = "; ".join(f"after {step} steps {ahead.get(step, 'none')}" for step in STEPS)
    words = (
        f"Excess test loss over random pruning's, features: {dim}, {inputs} inputs, {labels}, "
        f"keep {fraction:g}. Surely ahead of random pruning: {said}."
    )
    source = f"data:image/svg+xml;base64,{base64.b64encode(chart(rows).encode()).decode()}"
    return ipywidgets.HTML(Markup('<img alt="{}" src="{}">').format(words, source))


def browser(atlas: pd.DataFrame) -> ipywidgets.VBox:
    """Put the charts of all choices behind four menus.

    Each choice of a menu has a stack for the next menu; where a browser runs no JavaScript the
    first chart is shown instead. A single feature has no other to differ from: it has one chart.
    """
    menus = [
        ipywidgets.Dropdown(
            options=[(str(v), n) for n, v in enumerate(values)], index=values.index(first),
            description=name,
        )
        for first, (name, values) in zip(FIRST, MENUS.items(), strict=True)
    ]  # fmt: skip
    frames: dict[Choice, ipywidgets.HTML] = {}

    def shown(choice: tuple) -> ipywidgets.Widget:
        if len(choice) == len(menus):
            seen = choice if differs(*choice[:2]) else (choice[0], INPUTS[0], *choice[2:])
            if seen not in frames:
                frames[seen] = frame(atlas, seen)
            return frames[seen]
        values = list(MENUS.values())[len(choice)]
        first = values.index(FIRST[len(choice)])
        charts = [shown((*choice, value)) for value in values]
        stack = ipywidgets.Stack(charts, selected_index=first)
        ipywidgets.jslink((menus[len(choice)], "index"), (stack, "selected_index"))
        return stack

    stacks = shown(())
    display(HTML(f"<noscript>{frames[FIRST].value}</noscript>"))
    wrapped = ipywidgets.Layout(flex_flow="row wrap")
    return ipywidgets.VBox([ipywidgets.HBox(menus, layout=wrapped), stacks])
