"""Reading wishes from files: the same from YAML and JSON, and mistakes named by their place alone."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_qlik_assets.catalog.sync.desired import parse_desired
from airflow_provider_qlik_assets.catalog.sync.desired_files import is_file_name, read_desired_file
from airflow_provider_qlik_assets.client import QlikValidationError

ENTRIES = [{"technicalName": "orders", "tags": ["sales"], "properties": {"rows": 5}}]


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", ["c.json", "c.JSON", "c.yaml", "c.yml"])
@pytest.mark.parametrize("document", [ENTRIES, {"data_assets": ENTRIES}])
def test_json_is_read_from_any_file(tmp_path: Path, name: str, document: Any) -> None:
    assert read_desired_file(write(tmp_path / name, json.dumps(document))) == document


def test_yaml_as_people_write_it(tmp_path: Path) -> None:
    text = """
    x-defaults: &defaults {appType: airflow, tags: [sales]}
    data_assets:
      - {<<: *defaults, technicalName: orders}
      - <<: *defaults
        technicalName: Größen
        dataFreshness: 2026-01-31T06:30:00Z
    """
    document = read_desired_file(write(tmp_path / "c.yaml", text))

    orders, sizes = document["data_assets"]
    assert orders == {"appType": "airflow", "tags": ["sales"], "technicalName": "orders"}
    assert sizes["technicalName"] == "Größen"
    assert sizes["dataFreshness"] == datetime(2026, 1, 31, 6, 30, tzinfo=UTC)


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    assert read_desired_file(write(tmp_path / "c.json", "\ufeff[]")) == []


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("c.json", '[\n{"a": s3cret}\n]', "malformed at line 2: Expecting value"),
        ("c.json", '[{"name": "s3cret", "name": "b"}]', "the key 'name' occurs twice in an object"),
        ("c.json", "", "malformed at line 1"),
        ("c.yaml", "- a: s3cret\n  b: ]", "malformed at line 2"),
        ("c.json", '{"s3cret": 1, "s3cret": 2}', "malformed: a key occurs twice in an object"),
        ("c.json", '{"rows": ' + "9" * 5_000 + "}", "malformed: a number is too large, too long or NaN"),
        ("c.yaml", "- name: s3cret\n  name: b\n", "line 2: the key 'name' occurs twice in an object"),
        ("c.yaml", "- s3cret: 1\n  s3cret: 2\n", "line 2: a key occurs twice in an object"),
        ("c.yaml", "- {<<: {a: s3cret}, <<: {b: 1}}\n", "line 1: a key occurs twice in an object"),
        ("c.json", '{"rows": 1e9999}', "malformed: a number is too large, too long or NaN"),
        ("c.json", '{"rows": -Infinity}', "malformed: a number is too large, too long or NaN"),
        ("c.json", '{"rows": NaN}', "malformed: a number is too large, too long or NaN"),
        ("c.yaml", "- *s3cret\n", "line 1: found undefined alias …"),
        ("c.yaml", "- &s3cret a\n- &s3cret b\n", "line 2: second occurrence"),
        ("c.yaml", "- !s3cret a\n", "line 1: could not determine a constructor for the tag …"),
        ("c.yaml", "- s3cret: b: c\n", "line 1: mapping values are not allowed"),
        ("c.yaml", "- &a [*a]\n", "line 1: an alias stands for something that contains it"),
        ("c.yaml", "- " + "9" * 5_000, "line 1: a number is too long"),
        ("c.yaml", "- !!int s3cret", "a value is not what its tag says"),
        ("c.yaml", "- !!timestamp s3cret", "a value is not what its tag says"),
        ("c.yaml", "a: 1\n---\ns3cret: 2", "line 2: but found another document"),
        ("c.yaml", "- !!python/object/apply:os.system [s3cret]", "malformed at line 1"),
        ("c.yaml", "- \x01s3cret", "malformed: it is not YAML"),
        ("c.yaml", "- ? [s3cret]\n  : 1", "line 1: found unhashable key"),
        ("c.yaml", "- 2026-13-45", "malformed"),
    ],
)
def test_mistakes_are_named_by_their_place_and_quote_nothing(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    with pytest.raises(QlikValidationError) as raised:
        read_desired_file(write(tmp_path / name, text))

    assert message in str(raised.value)
    assert str(tmp_path / name) in str(raised.value)
    assert "s3cret" not in str(raised.value)


@pytest.mark.parametrize("suffix", ["yaml", "json"])
def test_what_is_no_text_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"c.{suffix}"
    path.write_bytes(b"\xff\xfe\x00")

    with pytest.raises(QlikValidationError, match="cannot be read: it is not UTF-8 text"):
        read_desired_file(path)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(QlikValidationError, match="cannot be read: No such file"):
        read_desired_file(tmp_path / "c.yaml")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("catalog/sales.yaml", True),
        (" sales.YML\n", True),
        ("/etc/sales.json", True),
        ("sales.txt", False),
        ('[{"technicalName": "a"}]', False),
        ([], False),
        (None, False),
    ],
)
def test_file_names_are_told_from_lists(value: Any, expected: bool) -> None:
    assert is_file_name(value) is expected


# --- files that mean harm --------------------------------------------------------------------------------

READ = """
import resource, sys, time
from pathlib import Path
from airflow_provider_qlik_assets.catalog.sync.desired_files import read_desired_file
from airflow_provider_qlik_assets.client import QlikValidationError
import airflow_provider_qlik_assets.catalog.sync.bounded_yaml
before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
try:
    read_desired_file(Path(sys.argv[1]))
except QlikValidationError as error:
    print(error)
else:
    print("read")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
print(time.process_time() - start)
"""


def cost(path: Path) -> tuple[str, float, float]:
    """Return how a process fared that read a file, the MiB of memory and the CPU seconds that it took."""
    command = [sys.executable, "-c", READ, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, (done.returncode, done.stderr[-2000:])
    outcome, kib, seconds = done.stdout.splitlines()
    return outcome, int(kib) / 1024, float(seconds)


def aliases() -> str:
    """Return a text that stands for ten to the tenth values."""
    lines = ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
    lines += [
        f"{name}: &{name} [{', '.join([f'*{last}'] * 10)}]"
        for last, name in zip("abcdefghi", "bcdefghij", strict=True)
    ]
    return "\n".join(lines)


def merges() -> str:
    lines = ["a0: &a0 {k: v}"]
    lines += [f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}" for n in range(1, 60)]
    return "\n".join(lines)


def chain() -> str:
    """Return a text that is flat, and whose values are nested 5,000 deep."""
    return "\n".join(["- &a0 [x]", *(f"- &a{n} [*a{n - 1}]" for n in range(1, 5_000))])


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("c.yaml", lambda: "[" * 200_000, "malformed at line 1: it is nested more than 50 deep"),
        ("c.yaml", lambda: "{a: " * 200_000, "malformed at line 1: it is nested more than 50 deep"),
        ("c.yaml", lambda: "- " * 200_000, "malformed at line 1: it is nested more than 50 deep"),
        ("c.json", lambda: "[" * 8_000_000, "malformed: it holds more than 250,000 values"),
        ("c.json", lambda: '{"a":' * 100_000, "malformed: it is nested more than 50 deep"),
        ("c.yaml", aliases, "its aliases expand to too many values"),
        ("c.yaml", merges, "its aliases expand to too many values"),
        ("c.yaml", chain, "it is nested more than 50 deep"),
        ("c.yaml", lambda: "a: " + "1" + ":59" * 500_000, "a number is too long"),
        ("c.yaml", lambda: "%TAG !a! b\n" * 200_000, "it has too many directives"),
        ("c.yaml", lambda: "{" + "".join(f"k{n}: 1, " for n in range(40_000)) + "}", "read"),
        ("c.json", lambda: json.dumps({f"k{n}": 1 for n in range(40_000)}), "read"),
        ("c.yaml", lambda: "[" + "[]," * 700_000 + "]", "it holds more than 250,000 values"),
        ("c.yaml", lambda: "[" + "a," * 240_000 + "]", "read"),
        ("c.json", lambda: "[" + "[]," * 700_000 + "[]]", "it holds more than 250,000 values"),
        ("c.yaml", lambda: "{" + "<<: {}," * 100_000 + "}", "a key occurs twice in an object"),
        ("c.yaml", lambda: "a" * (16 * 1024**2 + 1), "it is larger than 16 MiB"),
        ("c.json", lambda: "a" * (16 * 1024**2 + 1), "it is larger than 16 MiB"),
    ],
    ids=[
        "deep lists", "deep objects", "deep indents", "deep JSON lists", "deep JSON objects", "aliases",
        "merge keys", "chain of aliases", "base 60", "directives", "many keys", "many JSON keys",
        "too many lists", "many texts", "too many JSON lists", "many merge keys",
        "large YAML", "large JSON",
    ],
)  # fmt: skip
@pytest.mark.slow
def test_no_file_costs_much_memory_or_time(
    tmp_path: Path, name: str, text: Callable[[], str], message: str
) -> None:
    outcome, mib, seconds = cost(write(tmp_path / name, text()))

    assert message in outcome
    assert mib < 200
    assert seconds < 10


@pytest.mark.parametrize(("depth", "is_read"), [(50, True), (51, False)])
@pytest.mark.parametrize("name", ["c.yaml", "c.json"])
def test_lists_may_be_nested_50_deep(tmp_path: Path, name: str, depth: int, is_read: bool) -> None:
    path = write(tmp_path / name, "[" * depth + "1" + "]" * depth)

    if is_read:
        assert str(read_desired_file(path)) == "[" * depth + "1" + "]" * depth
    else:
        with pytest.raises(QlikValidationError, match="nested more than 50 deep"):
            read_desired_file(path)


def test_ten_thousand_entries_may_share_their_defaults(tmp_path: Path) -> None:
    shared = "x-defaults: &defaults {" + ", ".join(f"k{n}: {n}" for n in range(10)) + "}\ndata_assets:\n"
    entries = "".join(f"- {{<<: *defaults, technicalName: t{n}}}\n" for n in range(10_000))

    document = read_desired_file(write(tmp_path / "c.yaml", shared + entries))

    assert len(document["data_assets"]) == 10_000
    assert document["data_assets"][-1]["k9"] == 9


@pytest.mark.parametrize(
    ("suffix", "text"),
    [
        ("yaml", lambda count: "".join(f"key_{n}: 1\n" for n in range(count))),
        ("yaml", lambda count: "{" + ", ".join(f"key_{n}: 1" for n in range(count)) + "}"),
        (
            "yaml",
            lambda count: "a: &a {x: 1}\nb:\n  <<: *a\n" + "".join(f"  k{n}: 1\n" for n in range(count)),
        ),
        ("json", lambda count: json.dumps({f"key_{n}": 1 for n in range(count)})),
    ],
    ids=["block", "flow", "merged", "JSON"],
)
def test_ten_times_the_keys_in_one_object_take_about_ten_times_as_long(
    tmp_path: Path, suffix: str, text: Callable[[int], str]
) -> None:
    def seconds(count: int) -> float:
        path = write(tmp_path / f"c.{suffix}", text(count))
        took = []
        for _ in range(2):
            began = time.process_time()
            read_desired_file(path)
            took.append(time.process_time() - began)
        return min(took)

    seconds(10)  # imports

    assert seconds(5_000) < 35 * seconds(500)  # a hundred times, if each key were compared with all others


def test_a_mapping_that_was_merged_may_be_merged_again(tmp_path: Path) -> None:
    text = "a: &a {x: 1, y: 1}\nb: &b {<<: *a, x: 2}\nc: {<<: *b, x: 3}\n"

    assert read_desired_file(write(tmp_path / "c.yaml", text))["c"] == {"x": 3, "y": 1}


def test_half_of_a_surrogate_pair_is_refused_as_in_a_list(tmp_path: Path) -> None:
    text = r'[{"technicalName": "orders", "appType": "x", "description": "\ud83d\ude00 \ud83d"}]'
    with pytest.raises(
        QlikValidationError,
        match=r"entry 0 \('orders'\): description contains a null character or half of a",
    ):
        parse_desired(read_desired_file(write(tmp_path / "c.json", text)), "store")
