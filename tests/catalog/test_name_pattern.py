"""Patterns of technical names: they mean what they mean in ``re``, and none takes long."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_qlik_assets.catalog.name_pattern import NamePattern


@pytest.mark.parametrize(
    "pattern",
    [
        "([a-z0-9]+_?)+",
        "(a+)+",
        "(a|a)*",
        "(a|aa)+",
        "(.*)*b",
        ".*.*.*.*.*.*.*.*b",
        "(a?){30}a{30}",
        "((a*)*)*b",
    ],
)
def test_no_pattern_takes_long(pattern: str) -> None:
    started = time.process_time()
    matcher = NamePattern(pattern)

    for name in ("a" * 27 + "!", "a" * 255 + "!", "a" * 5_000 + "!"):
        assert not matcher.matches(name)

    assert time.process_time() - started < 15


@pytest.mark.parametrize(
    ("pattern", "names", "others"),
    [
        ("tmp_.*", ["tmp_", "tmp_a"], ["a_tmp_", "tmp", "tmp_\n"]),
        ("^tmp_.*$", ["tmp_", "tmp_a"], ["a_tmp_"]),
        (r"dwh\.(sales|hr)\.\w+", ["dwh.sales.orders", "dwh.hr.x"], ["dwhxsales.orders", "dwh.sales."]),
        (r"[a-c\]]{2,3}", ["ab", "a]c"], ["a", "abca", "ad"]),
        ("[^]a]+", ["b"], ["a", "]"]),
        ("a{2}|b{,2}|c{1,}", ["aa", "", "bb", "c", "ccc"], ["a", "bbb"]),
        ("a{x}", ["a{x}"], ["a"]),
        ("ba{,}", ["b", "ba", "baaa"], ["a", "ba{,}"]),
        ("a{}", ["a{}"], ["a"]),
        ("(()|a){3}b", ["b", "ab", "aaab"], ["aaaab"]),
        ("(){5}a(()*){2,}", ["a"], ["", "aa"]),
        ("(?:a|)b+?", ["b", "abb"], ["a"]),
        (r"\$\d\D\S\t", ["$1ab\t"], ["$aab\t"]),
        ("Größe.", ["Größen"], ["Grossen"]),
        ("a|", ["a", ""], ["b"]),
        ("(?i)TMP_[a-c]Ö", ["tmp_bö", "TMP_Bö"], ["tmp_d"]),
    ],
)
def test_patterns_mean_what_they_mean_in_re(pattern: str, names: list[str], others: list[str]) -> None:
    matcher = NamePattern(pattern)

    for name in [*names, *others]:
        assert matcher.matches(name) is (name in names) is bool(re.fullmatch(pattern, name))


PIECES = st.sampled_from(
    [*"ab.|()*+?[]^$", "{2}", "{,}", "{1,}", "[ab]", "[^a]", "(a|b)", "(?:ab)", r"\w", r"\.", "_"]
)


@settings(max_examples=5 * settings().max_examples)
@given(
    st.lists(PIECES, min_size=1, max_size=7).map("".join), st.lists(st.text("ab_.", max_size=6), max_size=4)
)
@pytest.mark.filterwarnings("ignore:Possible")
def test_what_is_accepted_agrees_with_re(pattern: str, names: list[str]) -> None:
    try:
        matcher = NamePattern(pattern)
    except ValueError:
        return

    for name in names:
        assert matcher.matches(name) is bool(re.fullmatch(pattern, name)), (pattern, name)


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("", "a string of 1 to 1000 characters"),
        ("a" * 1001, "a string of 1 to 1000 characters"),
        ("(a", r"missing \)"),
        (r"(a)\1", r"\\1 cannot be matched in linear time"),
        ("a(?=b)", r"\(\?= cannot be matched"),
        ("a(?i:b)", r"\(\?i cannot be matched"),
        ("(?P<x>a)", r"\(\?P cannot be matched"),
        (r"\ba", r"\\b cannot be matched"),
        ("a^b", r"\^ cannot be matched"),
        ("a$b", r"\$ cannot be matched"),
        ("a*+", "a possessive repetition cannot be matched"),
        ("((a{50}){50}){50}", "too large"),
        ("a{100000}", "a repetition count is too high"),
        ("(" * 30 + "a" + ")" * 30, "nested more than 20 deep"),
    ],
)
def test_what_cannot_be_matched_is_refused(pattern: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        NamePattern(pattern)


@pytest.mark.parametrize(
    "pattern", ["(((){600}){600}){600}", "((()*){600}){600}", "((|){600}|a{0}){2}", "(.?){290}x", ".{1,255}"]
)
def test_no_pattern_takes_long_to_prepare_or_to_match_once(pattern: str) -> None:
    started = time.process_time()
    try:
        matcher = NamePattern(pattern)
    except ValueError:
        pass
    else:
        for number in range(10):
            matcher.matches(f"{number}" * 255)

    # Some 0.3 s of the processor, much more while coverage is measured; without bounds it takes minutes.
    assert time.process_time() - started < 15
