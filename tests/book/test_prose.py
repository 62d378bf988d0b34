"""What is written: spelled right, in one spelling, and without a result typed by hand."""

import re
import subprocess
import sys

import prose
import pytest

from liprune_utils.files import PROJECT

CHECKED = (
    "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE", "CITATION.cff", "Makefile",
    "book", "notebooks", "liprune_utils", "tests", "benchmarks", "experiments",
)  # fmt: skip

IZE = r"\b(?!(?:size|resiz|capsiz|priz|seiz)\w*\b)\w+(?:i|y)z(?:e|es|ed|er|ers|ing|ation|ations)\b"
AMERICAN = (
    IZE, r"\bcolor\w*", r"\b\w*behavior\w*", r"\bfavor\w*", r"\bneighbor\w*", r"\bhonor\w*",
    r"\bcenter\w*", r"\bmodeled\b", r"\bmodeling\b", r"\blabeled\b", r"\blabeling\b",
    r"\bcanceled\b", r"\bgray\b", r"\bartifacts?\b", r"\bfulfill\b", r"\bdefense\b", r"\bcatalog\b",
)  # fmt: skip
NOT_OURS = (
    r"unrecognized arguments|optimization-inspired|randomized Kaczmarz|To maximize the factor"
    r"|optimizer: Its"
)

COUNT = r"(?:\d+|two|three|four|five|six|seven|eight|nine|ten|twenty|thirty|fifty|hundred|thousand)"
RESULTS = re.compile(
    r"\d[\d,]*\.\d+|\d ?%|\d{1,3}(?:,\d{3})+"  # decimals, percentages, large counts
    rf"|\b{COUNT}[- ](?:fold|times)\b|\bfactors? (?:of )?{COUNT}\b"
    r"|\bfew (?:tenths|hundredths|thousandths)\b",
)
NUMBERS = r"\d\.\d{1,3}(?:,? (?:(?:and|to) )?\d\.\d{1,3})*"
ALLOWED = {  # what is no result, and why: where (a part of the name), what
    ("", r"\b(?:90|95|99)%"): "levels of confidence",
    ("", r"\b(?:Python|Sections?(?: \d,?(?: and)?)?) " + NUMBERS): "names of sections and versions",
    ("", r"\bCC BY 4\.0|## 0\.1\.0"): "names of licences and editions",
    ("", r"\b(?:rate|keep|fractions|noise|r =|r from) " + NUMBERS): "settings of the experiments",
    ("", r"\b(?:10|50|60),000 (?:for|images|colour|paired runs)"): "sizes of data sets and runs",
    ("data", r"1,797 handwritten"): "size of a data set",
    ("README", r"five times that learning rate"): "setting of Figure 6",
    ("02", r"\bat most 5%|Thin line: 5%"): "the chance of failure asked for",
    ("03", r"\boverlap (?:of|is near) 0\.9|line at 0\.9"): "the register's threshold",
    ("03", r"x = 1\.2, y = 0\.6"): "the function that is drawn",
    ("03", r"fifty times that size"): "size of the data sets of a check",
    ("04", r"4\.5 or above 4\.5"): "the tenth that is kept of inputs from -5 to 5",
    ("06", r"a factor two apart"): "step sizes that are tried",
    ("07", r"within 0\.1 of|deeper than 10?%"): "the register's thresholds",
    ("07", r"11 and 11\.5|equal to 0\.4|over all …, 0\.1 to 0\.7"): "starts, rate and fractions",
    ("08", r"hundred times as exactly"): "tolerance of a check",
    ("09", r"0\.9 and 0\.0001"): "momentum and weight decay",
    ("11", r"five times as long"): "epochs of the long runs",
    ("errata", r"0\.9; 0\.0001"): "momentum and weight decay",
    ("errata", r"50,000 images"): "size of CIFAR-10",
    ("errata", r"no factor 2"): "a step of the proof",
    ("errata", r"0\.2 and 0\.5"): "the paper's fractions",
}
WRITTEN = prose.written()  # of code, which takes seconds to read, in the test alone


def test_no_word_is_misspelt():
    command = [sys.executable, "-m", "codespell_lib", *CHECKED]
    found = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.parametrize("read", [prose.written, prose.in_code])
def test_spelling_is_british(read):
    words = read()
    pattern = re.compile("|".join(AMERICAN), re.IGNORECASE)
    texts = {name: re.sub(NOT_OURS, "", text, flags=re.I) for name, text in words.items()}
    found = {name: pattern.findall(text) for name, text in texts.items() if pattern.search(text)}
    assert not found


@pytest.mark.parametrize("name", WRITTEN)
def test_no_result_is_typed_by_hand(name):
    text = WRITTEN[name]
    for where, what in ALLOWED:
        if where in name:
            text = re.sub(what, "", text)
    around = [text[max(m.start() - 40, 0) : m.end() + 40] for m in RESULTS.finditer(text)]
    assert not around


@pytest.mark.parametrize(("where", "what"), ALLOWED)
def test_what_is_allowed_stands_somewhere(where, what):
    assert any(re.search(what, text) for name, text in WRITTEN.items() if where in name)
