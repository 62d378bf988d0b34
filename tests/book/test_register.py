"""What a page leaves behind: the register's claims, whole files or none, the joined verdicts."""

import json
import math
import re
from dataclasses import asdict, replace

import numpy as np
import pandas as pd
import pytest
import yaml

import experiments
from liprune_utils import files
from liprune_utils.book import register as records
from liprune_utils.book.formats import measured
from liprune_utils.book.register import Claim, decide
from liprune_utils.checks import InputError
from liprune_utils.intervals import Estimate

PAGES = {
    "01_importance_sampling", "02_stochastic_pruning", "03_liprune", "04_linear_model",
    "05_what_accelerates", "07_sine_model", "08_hessian_norm", "09_cifar10", "10_other_scores",
    "11_why", "12_what_to_keep",
}  # fmt: skip
WITHOUT_INTERVAL = {  # they count, or agree to rounding, or give a range over cases
    "optimal-p-formula", "theorem-2-proof", "any-compression", "lipschitz-linear",
    "hessian-tight", "sine-landscape",
}  # fmt: skip
CLAIM = Claim("theorem-1", 0.5, 0.25, 0.75, 9, 1.0, "executed", "holds", "Well below 1.")
BOOK = files.PROJECT / "book"

FIELDS = {"id", "theme", "page", "place", "quote", "measured", "statistic", "holds"}
MORE = {
    "superseded_by", "supersedes", "why", "level", "measured_level", "margin", "control", "data",
    "first_verdict", "first_estimate", "first_note",
}  # fmt: skip


def test_register_is_complete():
    entries = yaml.safe_load((BOOK / "claims.yml").read_text())
    register = records.load_register()
    assert list(register) == [entry["id"] for entry in entries]  # in order, no id twice
    assert {entry["page"] for entry in entries} <= PAGES
    for entry in entries:
        assert FIELDS <= set(entry) <= FIELDS | MORE
        assert all(isinstance(entry[name], str) and entry[name].strip() for name in FIELDS)


def sentence(claim_id: str, *values: float | int) -> str:
    """What a claim's template says for an estimate, the ends of its interval and n."""
    names = ("estimate", "low", "high", "num_runs")
    found = dict(zip(names, values, strict=True))
    return measured(pd.Series(records.load_register()[claim_id] | found))


every_claim = pytest.mark.parametrize("claim_id", records.load_register())


@every_claim
@pytest.mark.parametrize(
    ("value", "low", "high"),
    [(-0.5, -0.75, -0.25), (0.5, 0.25, 0.75), (0.1, -0.2, 0.4), (1.5, 1.25, 1.75), (1, 1, 1),
     (0, 0, 0), (4e-15, 4e-15, 4e-15), (30, 30, 30)],
)  # fmt: skip
def test_a_measurement_is_a_sentence_that_names_n(claim_id, value, low, high):
    text = sentence(claim_id, value, low, high, 1236)
    assert re.fullmatch(r"[A-Z\d].*\.", text)
    assert "1,236" in text
    assert not re.search(r"[{}\[\]]|n =|\bnan\b|  |%%|\(,|, \)|\(\)", text)
    assert ("interval" in text) == (low != high and "interval" in sentence(claim_id, 0.9, 0, 2, 9))


@every_claim
def test_an_interval_has_the_level_of_its_claim(claim_id):
    entry = records.load_register()[claim_id]
    level = entry.get("measured_level", entry.get("level", 0.99))
    levels = re.findall(r"(\d+)% interval", sentence(claim_id, 0.5, 0.25, 0.75, 9))
    assert set(levels) <= {f"{100 * level:.0f}"}
    assert levels or claim_id in WITHOUT_INTERVAL


@every_claim
def test_a_quotation_has_whole_formulae_and_no_code(claim_id):
    parts = records.load_register()[claim_id]["quote"].split("$")
    assert len(parts) % 2 == 1
    assert not re.search(r"[_^\\]|\|\||<=", "".join(parts[::2]))


def test_signs_are_said_in_words():
    lower = sentence("cifar-no-acceleration", -0.4808, -0.8825, -0.0792, 48)
    assert lower == (
        "After the pruning, LiPrune's mean test error is 0.48 points lower than that of random "
        "pruning (90% interval 0.08 to 0.88 points, 48 pairs: 3 seeds in each of 16 settings)."
    )
    higher = sentence("cifar-no-acceleration", 0.4808, -0.0792, 1.0408, 48)
    assert (
        "0.5 points higher than that of random pruning (90% interval 0.1 points lower to" in higher
    )


def test_successors_say_whom_they_replace_and_why():
    register = records.load_register()
    for name, entry in register.items():
        if "supersedes" in entry:
            assert register[entry["supersedes"]]["superseded_by"] == name
            assert entry["why"]
            assert 0 < entry["level"] < 1
    pairs = [entry for entry in register.values() if "superseded_by" in entry]
    assert all(register[entry["superseded_by"]]["supersedes"] == entry["id"] for entry in pairs)
    assert len(pairs) == 10


FIRST = {"first_verdict": "holds", "first_estimate": [2.0, 1.0, 3.0, 9], "first_note": "So it was."}


@pytest.fixture
def with_a_frozen_rule(monkeypatch):
    """The register in which theorem-1's first rule is frozen."""
    entries = {name: dict(entry) for name, entry in records.load_register().items()}
    entries["theorem-1"] |= FIRST
    monkeypatch.setattr(records, "load_register", lambda: entries)


@pytest.mark.usefixtures("with_a_frozen_rule")
def test_a_frozen_rule_keeps_its_outcome_and_is_decided_no_more(tmp_path):
    table = records.verdict_table(tmp_path).set_index("id")
    row = table.loc["theorem-1"]
    assert (row.verdict, row.estimate, row.low, row.high) == ("holds", 2.0, 1.0, 3.0)
    assert (row.num_runs, row.note, row.source) == (9, "So it was.", "frozen")
    assert math.isnan(row.cost)
    assert not set(FIRST) & set(table)
    assert (table.drop("theorem-1").verdict == "not-evaluated").sum() >= 30
    with pytest.raises(InputError, match="'theorem-1' is frozen in the register"):
        records.write_claims(tmp_path, [CLAIM])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("with_a_frozen_rule")
def test_an_old_record_of_a_frozen_rule_counts_no_more(tmp_path):
    (tmp_path / "page").mkdir()
    files.write_json(tmp_path / "page" / "claims.json", [asdict(CLAIM)])
    table = records.verdict_table(tmp_path)
    assert len(table) == len(records.load_register())
    assert table.set_index("id").loc["theorem-1"].source == "frozen"


def test_what_is_frozen_has_a_successor_and_no_function():
    functions = records.deciding_functions(experiments)
    for name, entry in records.load_register().items():
        outcome = records.frozen(entry)
        if outcome:
            assert "superseded_by" in entry
            assert name not in functions
            assert outcome.low <= outcome.estimate <= outcome.high


@pytest.mark.parametrize(
    ("answers", "verdict", "in_part"),
    [
        ([True, True], "holds", "holds"),
        ([False], "does-not-hold", "does-not-hold"),
        ([False, None], "does-not-hold", "does-not-hold"),
        ([True, False], "does-not-hold", "holds-in-part"),
        ([True, None, False], "does-not-hold", "holds-in-part"),
        ([True, None], "inconclusive", "inconclusive"),
        ([None], "inconclusive", "inconclusive"),
        ([], "inconclusive", "inconclusive"),  # no case decides nothing
    ],
)
def test_decide(answers, verdict, in_part):
    assert decide(answers, in_part=False) == verdict
    assert decide(iter(answers), in_part=True) == in_part


def test_claim_is_filled_in_from_its_worst_case():
    worst = Estimate(np.float64(0.5), np.float64(0.25), np.float64(0.75), np.int64(9))
    found = records.claim("theorem-1", worst, "holds", cost=1.04, note="Well below 1.")
    assert found == CLAIM
    assert {type(value) for value in (found.estimate, found.low, found.high)} == {float}
    assert type(found.num_runs) is int


@pytest.mark.parametrize(("field", "value"), [("verdict", "maybe"), ("source", "guessed")])
def test_unknown_word_is_refused(field, value):
    with pytest.raises(InputError, match=f"^{field} of theorem-1 is '{value}'; expected one of"):
        replace(CLAIM, **{field: value})


def test_unknown_claim_is_refused_and_nothing_written(tmp_path):
    with pytest.raises(InputError, match=r"^Claim 'theorem-9' is not in the register .*\.$"):
        records.write_claims(tmp_path, [CLAIM, replace(CLAIM, id="theorem-9")])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_json_has_no_nan(tmp_path, value):
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.write_json(tmp_path / "x.json", {"estimate": value})
    assert not list(tmp_path.iterdir())


def test_json_keeps_any_letter_and_replaces_the_old_file(tmp_path):
    for words in (["much longer than the next"], ["é – −1"]):
        files.write_json(tmp_path / "x.json", words)
        assert json.loads((tmp_path / "x.json").read_text()) == words
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]


def test_table_reads_back_the_same_numbers(tmp_path):
    table = pd.DataFrame({"step": [1, 2], "loss": np.random.default_rng(0).normal(size=2) / 3})
    files.write_table(tmp_path, "curves", table)
    read = pd.read_csv(tmp_path / "curves.csv", dtype=str)
    assert list(read.columns) == ["step", "loss"]
    assert read.loss.map(float).tolist() == table.loss.tolist()


@pytest.mark.parametrize("below", ["", "results", "results/04"])
def test_folder_that_cannot_be_written_is_named_in_one_sentence(tmp_path, below):
    (tmp_path / "file").write_text("in the way")
    path = str(tmp_path / "file" / below)
    with pytest.raises(
        InputError, match=r"^results_dir is '[^\n]*folder that can be[^\n]*\.$"
    ) as e:
        files.results_folder(path)
    assert repr(path) in str(e.value)


def test_folder_is_made_and_left_empty(tmp_path):
    folder = files.results_folder(tmp_path / "a" / "b")
    assert folder.is_dir()
    assert not list(folder.glob("[!.]*"))


def test_verdicts_of_all_pages_join_the_register(tmp_path):
    found = {
        "01_importance_sampling": CLAIM,
        "04_linear_model": replace(CLAIM, id="learning-rates"),
    }
    for page, claim in found.items():
        records.write_claims(files.results_folder(tmp_path / page), [claim])
    assert records.read_claims(tmp_path) == list(found.values())
    table = records.verdict_table(tmp_path)
    assert table.id.tolist() == list(records.load_register())
    decided = table[table.source == "executed"].set_index("id")
    assert set(decided.index) == {"theorem-1", "learning-rates"}
    assert decided.loc["theorem-1", ["estimate", "high", "num_runs"]].tolist() == [0.5, 0.75, 9]
    others = table[table.note == records.UNDECIDED]
    assert set(others.verdict) == {"not-evaluated"}
    assert others.estimate.isna().all()


def test_verdicts_without_any_page(tmp_path):
    table = records.verdict_table(tmp_path / "nothing")
    assert len(table) == len(records.load_register())
    assert set(table.verdict[table.source != "frozen"]) == {"not-evaluated"}
    assert set(table.id[table.source == "frozen"]) == {
        entry["id"] for entry in records.load_register().values() if records.frozen(entry)
    }


def test_provenance_is_read_back(tmp_path):
    facts = files.provenance(data_source="CIFAR-10")
    path = files.results_folder(tmp_path / "09_cifar10") / "provenance.json"
    files.write_json(path, facts)
    assert files.read_provenance(tmp_path, "09_cifar10") == facts
    assert facts["data_source"] == "CIFAR-10"
    assert facts["versions"]["numpy"] == np.__version__
    assert files.read_provenance(tmp_path, "10_other_scores") == {}


def test_a_copy_without_history_or_installation_says_what_it_is_told(monkeypatch, tmp_path):
    def missing(name: str) -> str:
        raise files.PackageNotFoundError(name)

    monkeypatch.setattr(files, "PROJECT", tmp_path)
    monkeypatch.setattr(files, "version", missing)
    facts = files.provenance()
    assert (facts["versions"]["liprune-utils"], facts["commit"]) == ("not installed", "unknown")
    monkeypatch.setenv("LIPRUNE_COMMIT", "0123456789")
    assert files.provenance()["commit"] == "0123456789"
