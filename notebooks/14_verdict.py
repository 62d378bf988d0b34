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
# # 14. What holds?

# %% tags=["remove-input"]
try:
    from liprune_utils.book import first_screen
except ModuleNotFoundError:
    raise SystemExit(
        "This page needs the kernel LiPrune, which `make book` installs."
    ) from None

first_screen.reserve("answer")

# %% tags=["remove-input"] mystnb={"figure": {"name": "fig-two", "caption": "Left: the linear model of Figure 1, a tenth of the points kept, mean test loss with 95% intervals. Right: ResNet-14 on all of CIFAR-10 (page 9, recorded), a fifth of the batches kept, chosen before training, learning rate 0.1; thin lines are paired seeds, thick lines their mean."}, "image": {"alt": "Two panels. Left, test loss of the linear model against SGD step: LiPrune falls faster than random pruning and no pruning. Right, test error of a ResNet against epoch: LiPrune and random pruning overlap."}}
first_screen.reserve("figure")

# %% [markdown]
# ## Run it yourself
#
# This page computes nothing anew: it joins what the other pages have written. [How to rerun a page](../book/rerun.md) has the details.

# %% tags=["parameters", "hide-cell"] mystnb={"code_prompt_show": "Parameters", "code_prompt_hide": "Parameters"}
records_dir: str = "build/results"  # folder with one folder of results for each page
results_dir: str = "reruns/14_verdict"  # folder for tables; made if missing

# %% tags=["hide-cell"] mystnb={"code_prompt_show": "Check of the parameters, imports", "code_prompt_hide": "Check of the parameters, imports"}
from experiments.verdict.tables import VerdictParameters

parameters = VerdictParameters.from_notebook(globals())

import pandas as pd
from IPython.display import HTML
from myst_nb import glue

import experiments
from experiments.verdict import answers, figures, tables
from liprune_utils import files
from liprune_utils.book import formats, register, style
from liprune_utils.grid import read_tables

style.use_style()
folder = parameters.results_folder()
facts = files.provenance(data_source="the results of the other pages")
files.write_json(folder / "provenance.json", facts)
results = files.in_project(records_dir)

# %% [markdown]
# ## How a claim is decided
#
# Each claim has an entry in a register, `book/claims.yml`. Its rule, with statistic, margin and level, was written down before the
# measurement. A page measures and applies the rule; the verdict is one of five: *holds*, *holds with correction*, *holds in part*, *does not
# hold*, and *inconclusive* where the data cannot decide. *Not evaluated* means that no page among these results has applied the rule. A rule that proved weak is not
# changed. It keeps its verdict, and a new rule stands right below it.

# %%
table = register.verdict_table(results)
decided = table[table.source.isin(["executed", "recorded"])]
tables.counts(table)

# %% [markdown]
# Here a claim whose rule was replaced counts once, by the new rule. Every claim of the register is in the table below once. Every claim that a page reports is among them, and each has a function that decides it. A replaced rule whose successor is decided is no longer computed: its last outcome stands in the register.

# %%
functions = register.deciding_functions(experiments)
assert list(table.id) == list(register.load_register())
assert {claim.id for claim in register.read_claims(results)} == set(decided.id)
assert set(decided.id) <= set(functions)

# %% [markdown]
# ## All claims
#
# *Measured* is the quantity that the rule asks for, in its least favourable case, with its interval. The last number of a sentence is $n$, and it says
# what $n$ counts: runs, problems, data sets or seeds. Claims of one page may rest on the same runs, as those about CIFAR-10 do: these are not independent. Each row opens to show the rule, the data, the code that decides, the cost of computing, and the [errata](../book/errata.md) about it. What you choose here stands in the
# page's address, so that you can send a link to it. Replaced rules are among the rows, so the filter's numbers are larger than those above.

# %% tags=["hide-input"]
pages = [path.parent.name for path in results.glob("*/claims.json")]
sources = {
    page: files.read_provenance(results, page).get("data_source") for page in pages
}
known = {page: source for page, source in sources.items() if source}
HTML(tables.verdict_html(table, known, functions, tables.load_errata()))

# %% tags=["remove-input"]
sentences = [formats.measured(claim) for _, claim in table.iterrows()]
files.write_table(folder, "verdicts", table.assign(measured=sentences))
for claim_id, sentence in zip(table.id, sentences, strict=True):
    glue(f"measured-{claim_id}", sentence, display=False)
glue("answer", answers.answer(table), display=False)
if (
    results / "05_what_accelerates"
).is_dir():  # of the intro: a rerun may have few pages
    glue("tuned", answers.tuned_words(results), display=False)
summary = HTML(tables.summary_html(answers.main_claims(table)))
glue("main-claims", summary, display=False)

# %% [markdown]
# **Tables.** [All claims with rules and outcomes](../results/14_verdict/verdicts.csv).
#
# **Next.** [What the paper says wrongly, line by line](../book/errata.md)

# %% tags=["remove-input"]
curves, _, (grid, *_) = read_tables(
    files.PROJECT / "book/results/09_cifar10", ["whole"]
)
overview = figures.overview_figure(
    pd.read_csv(results / "04_linear_model" / "curves.csv"),
    curves.query(
        "learning_rate == 0.1 and prune_epoch == 1 and keep_fraction in (0.2, 1)"
    ),
    source=grid["data_source"],
)
overview.savefig(folder / "overview.svg")
first_screen.fill(answers.tally(table), overview)
