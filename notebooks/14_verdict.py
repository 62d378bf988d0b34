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
# # What holds?
#
# ## Overview
#
# **Question.** Which of the paper's claims hold when they are measured?
#
# **Answer.** {glue:text}`answer`
#
# Each claim has an entry in a register, with the rule that decides it, written before the measurement. The pages add estimates, intervals
# and verdicts; this page joins the two. A claim that no page decides yet says so.

# %% tags=["parameters"]
records_dir: str = "build/results"  # folder with one folder of results for each page
results_dir: str = "reruns/14_verdict"  # folder for tables; made if missing

# %%
from experiments.verdict.tables import VerdictParameters

parameters = VerdictParameters.from_notebook(globals())

# %% tags=["hide-input"]
import pandas as pd
from IPython.display import HTML
from myst_nb import glue

import experiments
from experiments.verdict import figures, tables
from liprune_utils import files
from liprune_utils.book import formats, register, style
from liprune_utils.grid import read_tables

style.use_style()
folder = files.results_folder(results_dir)
results = files.PROJECT / records_dir

# %%
table = register.verdict_table(results)
files.write_table(folder, "verdicts", table)
decided = table[table.note != register.UNDECIDED]
decided.verdict.value_counts().rename("claims").to_frame()

# %% tags=["hide-input"]
pages = [path.parent.name for path in results.glob("*/claims.json")]
held = decided.verdict.isin(["holds", "holds-with-correction"]).sum()
answer = (
    f"{len(decided)} of {len(table)} claims have been put to the test. Holds: {held}; holds in part: "
    f"{(decided.verdict == 'holds-in-part').sum()}; does not hold: {(decided.verdict == 'does-not-hold').sum()}; "
    f"open: {decided.verdict.isin(['inconclusive', 'not-evaluated']).sum()}."
)
glue("answer", answer, display=False)
glue("scope", f"{len(table)} claims, {len(decided)} of them tested.", display=False)
for _, row in table.iterrows():
    glue(f"measured-{row.id}", formats.measured(row), display=False)
    glue(f"verdict-{row.id}", formats.words(row.verdict), display=False)
glue("decided", HTML(tables.summary_html(decided)), display=False)

# %% [markdown]
# ## All claims
#
# "Measured" is the statistic of the register's rule in its least favourable case, with its interval and the number of runs $n$. Each row opens to show the rule, the data, the code that decides, the
# cost of computing it, and the [errata](../book/errata.md) about it.

# %% tags=["hide-input"]
sources = {page: files.read_provenance(results, page).get("data_source") for page in pages}
functions = register.deciding_functions(experiments)
known = {page: source for page, source in sources.items() if source}
HTML(tables.verdict_html(table, known, functions, tables.load_errata()))

# %% [markdown]
# ## The two experiments side by side

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-two", "caption": "Left: the linear model of Figure 1, a tenth of the points kept, mean test loss with 95% intervals. Right: ResNet-14 on a tenth of CIFAR-10 (page 09, recorded), a fifth of the batches kept, chosen before training, learning rate 0.01; thin lines are paired seeds, thick lines their mean."}, "image": {"alt": "Two panels. Left, test loss of the linear model against SGD step: LiPrune falls faster than random pruning and no pruning. Right, test error of a ResNet against epoch: LiPrune and random pruning overlap."}}
curves, _, (grid, *_) = read_tables(files.PROJECT / "book/results/09_cifar10", ["reduced14"])
overview = figures.overview_figure(
    pd.read_csv(results / "04_linear_model" / "curves.csv"),
    curves.query("learning_rate == 0.01 and prune_epoch == 1 and keep_fraction in (0.2, 1)"),
    source=grid["data_source"],
)
overview.savefig(folder / "overview.svg")

# %% [markdown]
# ## Check: no claim is lost
#
# Every claim of the register is in the table once, every claim that a page reported is among them, and each has a function that decides it.

# %%
assert list(table.id) == list(register.load_register())
assert {claim.id for claim in register.read_claims(results)} == set(decided.id)
assert set(decided.id) <= set(functions)
print(f"{len(table)} claims in the register, {len(decided)} reported by {len(pages)} pages")

# %% [markdown]
# {download}`All claims with rules and outcomes <../results/14_verdict/verdicts.csv>`.
