"""Reading wishes from files: the same from YAML and JSON, and mistakes named by their place alone."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_qlik_assets.catalog.wish_files import is_file_name, read_wish_file
from airflow_provider_qlik_assets.client import QlikValidationError

ENTRIES = [{"technicalName": "orders", "tags": ["sales"], "properties": {"rows": 5}}]


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", ["c.json", "c.JSON", "c.yaml", "c.yml"])
@pytest.mark.parametrize("document", [ENTRIES, {"data_assets": ENTRIES}])
def test_json_is_read_from_any_file(tmp_path: Path, name: str, document: Any) -> None:
    assert read_wish_file(write(tmp_path / name, json.dumps(document))) == document


def test_yaml_as_people_write_it(tmp_path: Path) -> None:
    text = """
    x-defaults: &defaults {appType: airflow, tags: [sales]}
    data_assets:
      - {<<: *defaults, technicalName: orders}
      - <<: *defaults
        technicalName: Größen
        dataFreshness: 2026-01-31T06:30:00Z
    """
    document = read_wish_file(write(tmp_path / "c.yaml", text))

    orders, sizes = document["data_assets"]
    assert orders == {"appType": "airflow", "tags": ["sales"], "technicalName": "orders"}
    assert sizes["technicalName"] == "Größen"
    assert sizes["dataFreshness"] == datetime(2026, 1, 31, 6, 30, tzinfo=UTC)


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    assert read_wish_file(write(tmp_path / "c.json", "\ufeff[]")) == []


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("c.json", '[\n{"a": s3cret}\n]', "malformed at line 2: Expecting value"),
        ("c.json", '[{"name": "s3cret", "name": "b"}]', "the key 'name' is there twice in an object"),
        ("c.json", "", "malformed at line 1"),
        ("c.yaml", "- a: s3cret\n  b: ]", "malformed at line 2"),
        ("c.yaml", "- name: s3cret\n  name: b\n", "line 1: the key 'name' is there twice in an object"),
        ("c.yaml", "- !!python/object/apply:os.system [s3cret]", "malformed at line 1"),
        ("c.yaml", "- \x01s3cret", "malformed: it is not YAML"),
        ("c.yaml", "- 2026-13-45", "malformed"),
    ],
)
def test_mistakes_are_named_by_their_place_and_quote_nothing(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    with pytest.raises(QlikValidationError) as raised:
        read_wish_file(write(tmp_path / name, text))

    assert message in str(raised.value)
    assert str(tmp_path / name) in str(raised.value)
    assert "s3cret" not in str(raised.value)


@pytest.mark.parametrize("suffix", ["yaml", "json"])
def test_what_is_no_text_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"c.{suffix}"
    path.write_bytes(b"\xff\xfe\x00")

    with pytest.raises(QlikValidationError, match="cannot be read: it is not UTF-8 text"):
        read_wish_file(path)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(QlikValidationError, match="cannot be read: No such file"):
        read_wish_file(tmp_path / "c.yaml")


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
