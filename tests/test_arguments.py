from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from types import MappingProxyType
from typing import Any

import pytest

from airflow_provider_qlik_assets.arguments import (
    as_bool,
    as_fraction,
    as_id,
    as_ids,
    as_int,
    as_seconds,
    as_texts,
    check_known_fields,
    check_known_operations,
    check_when_parsed,
    from_rendered,
    is_known,
    plain,
    templatable,
)
from airflow_provider_qlik_assets.client import DataAsset, JsonPatchOperation
from airflow_provider_qlik_assets.client.errors import QlikValidationError

UNKNOWN = object()  # stands for the output of another task

# --- templatable -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        ("{{ ds }}", "{{ ds }}"),
        (None, None),
        ({"b", "c", "a"}, ["a", "b", "c"]),
        (frozenset({"b", "a"}), ["a", "b"]),
        ({"b": 1, "a": 2}.keys(), ["b", "a"]),
        ({"x": "b", "y": "a"}.values(), ["b", "a"]),
        ((letter for letter in "ba"), ["b", "a"]),
        (DataAsset(technical_name="t"), {"technicalName": "t"}),
        (
            [JsonPatchOperation(op="add", path="/name", value=None)],
            [{"op": "add", "path": "/name", "value": None}],
        ),
        ({"tags": ("a",), "properties": {"x": {1}}}, {"tags": ("a",), "properties": {"x": [1]}}),
        (MappingProxyType({"name": "n"}), {"name": "n"}),
    ],
)
def test_templatable_holds_dicts_and_lists(value: Any, plain: Any) -> None:
    assert templatable(value) == plain


@pytest.mark.parametrize(
    "value", [["a", {"b": ["c"]}], ("a", ("b",)), {"tags": ("a",), "properties": {"x": [1, None]}}, {}, []]
)
def test_what_airflow_renders_is_left_as_the_very_object(value: Any) -> None:
    assert templatable(value) is value


def test_plain_holds_no_tuples() -> None:
    assert plain({"tags": ("a", {"b"}), "x": DataAsset(tags=["t"])}) == {
        "tags": ["a", ["b"]],
        "x": {"tags": ["t"]},
    }


def test_templatable_leaves_a_task_output_alone() -> None:
    assert templatable({"id": UNKNOWN}) == {"id": UNKNOWN}


def test_a_set_has_the_same_order_in_every_process() -> None:
    """Otherwise Airflow would see another version of the DAG each time that it parses the file."""
    script = (
        "from airflow_provider_qlik_assets.arguments import templatable;"
        "print(templatable({'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'}))"
    )
    orders = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }

    assert len(orders) == 1


# --- is_known and what is checked while the DAG is parsed ------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        "text",
        "single { brace }",
        1,
        1.5,
        True,
        None,
        date(2026, 1, 1),
        datetime(2026, 1, 1, tzinfo=UTC),
        timedelta(1),
        ["a", {"b": ("c",)}],
    ],
)
def test_known(value: Any) -> None:
    assert is_known(value)


@pytest.mark.parametrize(
    "value",
    ["{{ ds }}", "{% if x %}", "{# x #}", UNKNOWN, ["a", "{{ b }}"], {"a": {"b": UNKNOWN}}, {"{{ a }}": 1}],
)
def test_not_known(value: Any) -> None:
    assert not is_known(value)


def test_check_waits_for_unknown_arguments() -> None:
    called = []

    check_when_parsed(lambda *arguments: called.append(arguments), "a", "{{ b }}")
    check_when_parsed(lambda *arguments: called.append(arguments), "a", "b")

    assert called == [("a", "b")]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"technicalNam": "t", "name": "{{ x }}"}, "technicalNam.*technicalName"),
        ({"name": 5, "description": UNKNOWN}, "name"),
        ({"name": "n" * 256, "description": UNKNOWN}, "256"),
    ],
)
def test_known_part_of_fields_is_checked(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(QlikValidationError, match=message):
        check_known_fields(fields)


@pytest.mark.parametrize(
    "fields", [None, "{{ asset }}", UNKNOWN, {"name": "{{ x }}", "tags": ["{{ y }}"], "properties": UNKNOWN}]
)
def test_unknown_fields_are_not_checked(fields: Any) -> None:
    check_known_fields(fields)


@pytest.mark.parametrize(
    ("operation", "message"),
    [
        ({"op": "ad", "path": "/name", "value": "{{ x }}"}, "op"),
        ({"op": "add", "pth": "/name", "value": "{{ x }}"}, "pth.*path"),
        ({"op": "add", "path": "name", "value": UNKNOWN}, "JSON Pointer"),
        ({"op": "remove", "path": "/name", "value": UNKNOWN}, "takes no value"),
    ],
)
def test_known_part_of_operations_is_checked(operation: dict[str, Any], message: str) -> None:
    fine = {"op": "add", "path": "/description", "value": UNKNOWN}

    with pytest.raises(QlikValidationError, match=message):
        check_known_operations([fine, operation])


@pytest.mark.parametrize(
    "operations",
    [
        None,
        "{{ x }}",
        UNKNOWN,
        [UNKNOWN, {"op": "add", "path": "{{ x }}", "value": 1}],
        [{"op": UNKNOWN, "path": "/name", "value": 1}],
    ],
)
def test_unknown_operations_are_not_checked(operations: Any) -> None:
    check_known_operations(operations)


# --- rendered values -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rendered", "value"),
    [
        ('["a", "b"]', ["a", "b"]),
        (' {"name": "n"}\n', {"name": "n"}),
        ("[]", []),
        ("plain", "plain"),
        ("", ""),
        (["a"], ["a"]),
        (None, None),
    ],
)
def test_rendered_json_is_parsed(rendered: Any, value: Any) -> None:
    assert from_rendered(rendered, "operations") == value


@pytest.mark.parametrize(
    "rendered", ["['a', 'b']", "{'name': None}", "[a, b", "{" * 3, '{"a": 1} x', "[" * 100_000]
)
def test_what_only_looks_like_json_says_what_to_do(rendered: str) -> None:
    with pytest.raises(
        QlikValidationError, match=r"operations was rendered to text that is not JSON.*tojson"
    ):
        from_rendered(rendered, "operations")


@pytest.mark.parametrize(
    ("value", "ids"),
    [
        ("a", ["a"]),
        ('["a", "b", "a"]', ["a", "b"]),
        (["a", "b"], ["a", "b"]),
        (("a",), ["a"]),
        ([], []),
        (iter(["a", "b"]), ["a", "b"]),
    ],
)
def test_ids(value: Any, ids: list[str]) -> None:
    assert as_ids(value, "data_asset_ids") == ids


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "data_asset_ids must be an id or a list of ids, not NoneType"),
        (5, "data_asset_ids must be an id or a list of ids, not int"),
        (
            {"id": "a", "action": "created"},
            r"data_asset_ids must be an id or a list of ids, not dict.*\['id'\]",
        ),
        ('{"id": "a"}', "data_asset_ids must be an id or a list of ids, not dict"),
        ("['a']", "data_asset_ids was rendered to text that is not JSON"),
        (["a", None], r"data_asset_ids\[1\] must be an id, not NoneType"),
        (["a", 5], r"data_asset_ids\[1\] must be an id, not int.*Native rendering"),
        (1e24, "data_asset_ids must be an id or a list of ids, not float.*Native rendering"),
        ("", "is not a valid id"),
        (["a", "*"], r"'\*' is not the id"),
    ],
)
def test_no_ids(value: Any, message: str) -> None:
    with pytest.raises(QlikValidationError, match=message):
        as_ids(value, "data_asset_ids")


@pytest.mark.parametrize(
    ("value", "flag"),
    [
        (True, True),
        (False, False),
        ("True", True),
        ("False", False),
        (" false\n", False),
        ("1", True),
        ("0", False),
    ],
)
def test_flag(value: Any, flag: bool) -> None:
    assert as_bool(value, "dry_run") is flag


@pytest.mark.parametrize("value", ["", "None", "yes", None, 1, 0.0, [], "[]"])
def test_no_flag(value: Any) -> None:
    with pytest.raises(QlikValidationError, match="dry_run must be true or false, not"):
        as_bool(value, "dry_run")


@pytest.mark.parametrize(
    ("value", "number"),
    [(5, 5), (0, 0), ("10", 10), (" 10 ", 10), (None, None)],
)
def test_whole_number(value: Any, number: int | None) -> None:
    assert as_int(value, "max_deletions") == number


@pytest.mark.parametrize("value", ["-1", -1, "1.0", 1.5, True, "ten", "٣", [1], "9" * 5000, "", "None"])
def test_no_whole_number(value: Any) -> None:
    with pytest.raises(QlikValidationError, match="max_deletions must be a whole number, not"):
        as_int(value, "max_deletions")


@pytest.mark.parametrize(
    ("value", "seconds"), [(5, 5.0), (0.5, 0.5), ("3600", 3600.0), (timedelta(hours=1), 3600.0)]
)
def test_seconds(value: Any, seconds: float) -> None:
    assert as_seconds(value, "max_age") == seconds


@pytest.mark.parametrize(
    "value",
    [0, -1, True, "", "None", "1:00:00", "nan", "inf", timedelta(0), None, [1], 10**400, 1e300, "1e12"],
)
def test_no_seconds(value: Any) -> None:
    with pytest.raises(
        QlikValidationError, match="max_age must be a timedelta or a number of seconds above 0"
    ):
        as_seconds(value, "max_age")


@pytest.mark.parametrize(
    ("value", "share"),
    [(0.2, 0.2), (0, 0.0), (1, 1.0), ("0.25", 0.25), (" 1 ", 1.0), (None, None)],
)
def test_share(value: Any, share: float | None) -> None:
    assert as_fraction(value, "max_fraction") == share


@pytest.mark.parametrize("value", [-0.1, 1.1, 20, "20 %", "nan", True, [0.5], 10**400, "", "None"])
def test_no_share(value: Any) -> None:
    with pytest.raises(QlikValidationError, match="max_fraction must be a fraction from 0 to 1, not"):
        as_fraction(value, "max_fraction")


@pytest.mark.parametrize(
    ("value", "texts"),
    [
        ("keep", ["keep"]),
        ('["keep", "legal", "keep"]', ["keep", "legal"]),
        (["b", "a"], ["b", "a"]),
        (("a",), ["a"]),
        ([], []),
    ],
)
def test_texts(value: Any, texts: list[str]) -> None:
    assert as_texts(value, "protected_tags") == texts


@pytest.mark.parametrize("value", [None, 5, {"a": 1}, ["a", 5], ["a", " "], "", "['a']"])
def test_no_texts(value: Any) -> None:
    with pytest.raises(QlikValidationError, match="protected_tags"):
        as_texts(value, "protected_tags")


@pytest.mark.parametrize("convert", [as_bool, as_fraction, as_int, as_seconds])
def test_message_is_short(convert: Callable[[Any, str], Any]) -> None:
    with pytest.raises(QlikValidationError) as error:
        convert("x" * 10_000, "name")

    assert len(str(error.value)) < 200


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "data_asset_id must be an id, not NoneType"),
        (["a"], "data_asset_id must be an id, not list"),
        ({"id": "a"}, r"data_asset_id must be an id, not dict.*\['id'\]"),
        (7, "data_asset_id must be an id, not int.*Native rendering"),
        ("", "is not a valid id"),
        ("*", "not the id"),
    ],
)
def test_no_id(value: Any, message: str) -> None:
    with pytest.raises(QlikValidationError, match=message):
        as_id(value, "data_asset_id")
