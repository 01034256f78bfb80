"""JSON Patch operations: what RFC 6902 allows, what may be repeated, and what changes nothing."""

from __future__ import annotations

from typing import Any

import jsonpatch
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_qlik_assets.client import JsonPatchOperation, QlikValidationError
from airflow_provider_qlik_assets.client.json_patch import (
    changed_fields,
    effective_operations,
    holds_already,
    is_safe_to_repeat,
    parse_operations,
    test_version,
)

test_version.__test__ = False  # type: ignore[attr-defined]

Json = dict[str, Any]


def op(name: str, path: str, *value: Any, **members: Any) -> Json:
    return {"op": name, "path": path, **({"value": value[0]} if value else {}), **members}


def parsed(*operations: Json) -> list[JsonPatchOperation]:
    return parse_operations(operations)


@pytest.mark.parametrize(
    "operation",
    [
        op("add", "/name", "a"),
        op("add", "/tags/-", "a"),
        op("add", "/properties/a~1b~0c", None),
        op("add", "/properties/", 1),
        op("remove", "/description"),
        op("replace", "/dataFreshness", "2026-01-31T06:30:00Z"),
        op("move", "/name", **{"from": "/description"}),
        op("move", "/name", **{"from": "/name"}),
        op("copy", "/properties/a/b", **{"from": "/properties/a"}),
        op("copy", "/name", **{"from": "/id"}),
        op("test", "/version", 3),
        op("test", "", {}),
        op("test", "/id", "a1"),
    ],
)
def test_a_valid_operation_is_sent_as_it_was_given(operation: Json) -> None:
    assert JsonPatchOperation.parse(operation).to_json() == operation


@pytest.mark.parametrize(
    ("operation", "message"),
    [
        ("add", "A JSON Patch operation must be an object (dict), not str."),
        (None, "A JSON Patch operation must be an object (dict), not NoneType."),
        ({}, "op: field required; path: field required"),
        (
            op("append", "/tags", "a"),
            "op: input should be 'add', 'remove', 'replace', 'move', 'copy' or 'test'",
        ),
        (op("Add", "/tags", "a"), "op: input should be"),
        (op("add", "name", "a"), "'name' is not a JSON Pointer"),
        (
            op("add", "/na~me", "a"),
            "'/na~me' is not a JSON Pointer: it must start with '/', and '~' is written '~0'",
        ),
        (op("add", "/name~", "a"), "is not a JSON Pointer"),
        (op("move", "/name", **{"from": "description"}), "'description' is not a JSON Pointer"),
        (op("add", "/name"), "'add' needs a value"),
        (op("replace", "/name"), "'replace' needs a value"),
        (op("test", "/name"), "'test' needs a value"),
        (op("remove", "/name", "a"), "'remove' takes no value"),
        (op("move", "/name", "a", **{"from": "/description"}), "'move' takes no value"),
        (op("copy", "/name"), "'copy' needs 'from'"),
        (op("move", "/name"), "'move' needs 'from'"),
        (op("add", "/name", "a", **{"from": "/id"}), "'add' takes no 'from'"),
        (op("move", "/properties/a/b", **{"from": "/properties/a"}), "a value cannot be moved into itself"),
        (op("add", "/name", "a", vaule=1), "unknown field 'vaule' (did you mean 'value'?)"),
        (op("add", "/name", object()), "value: input was not a valid JSON value"),
        (op("add", "/properties/a", -(2**63) - 1), "the value contains an integer of more than 64 bits"),
        (op("add", "/properties", {"a": ["\udc00"]}), "the value contains a null character or half of"),
        (op("add", "/properties", {"a": float("nan")}), "the value contains NaN or infinity"),
        (op("add", 5, "a"), "path: input should be a valid string"),  # type: ignore[arg-type]
    ]
    + [
        (op(name, path, "a"), "cannot be changed: Qlik Cloud sets it")
        for name in ("add", "replace")
        for path in ("", "/id", "/version", "/tenantId", "/createdBy", "/createdTime")
    ]
    + [
        (op("remove", "/lastModifiedBy"), "/lastModifiedBy cannot be changed"),
        (op("move", "/lastModifiedTime", **{"from": "/name"}), "/lastModifiedTime cannot be changed"),
        (op("move", "/name", **{"from": "/id"}), "/id cannot be moved: Qlik Cloud sets it"),
    ],
)
def test_an_invalid_operation_is_named(operation: Any, message: str) -> None:
    with pytest.raises(QlikValidationError) as caught:
        JsonPatchOperation.parse(operation)

    assert message in str(caught.value)


@pytest.mark.parametrize("operation", [op("add", "x" * 1_000_000, 1), op("y" * 1_000_000, "/name", 1)])
def test_a_huge_mistake_gets_a_short_message(operation: Json) -> None:
    with pytest.raises(QlikValidationError) as caught:
        JsonPatchOperation.parse(operation)

    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("operations", [op("add", "/name", "a"), "add", 5, None])
def test_a_patch_is_a_list(operations: Any) -> None:
    with pytest.raises(QlikValidationError, match="A JSON Patch must be a list of operations"):
        parse_operations(operations)


def test_an_empty_patch_is_refused() -> None:
    with pytest.raises(QlikValidationError, match="needs at least one operation"):
        parse_operations([])


def test_an_operation_is_its_own_parse() -> None:
    operation = test_version(3)

    assert parse_operations(iter([operation]))[0] is operation


@pytest.mark.parametrize(
    ("operations", "safe"),
    [
        ([op("add", "/name", "a")], True),
        ([op("replace", "/name", "a")], True),
        ([op("test", "/name", "a"), op("add", "/name", "b")], True),
        ([op("add", "/properties/a", 1)], True),
        ([op("add", "/tags", ["a"])], True),
        ([op("add", "/properties/a1", 1)], True),
        ([op("add", "/properties/01", 1)], True),
        ([op("add", "/tags/-", "a")], False),
        ([op("add", "/tags/0", "a")], False),
        ([op("replace", "/tags/12", "a")], False),
        ([op("remove", "/name")], False),
        ([op("move", "/name", **{"from": "/description"})], False),
        ([op("copy", "/name", **{"from": "/description"})], False),
        ([op("add", "/name", "a"), op("add", "/tags/-", "a")], False),
        ([op("test", "/version", 3), op("add", "/tags/-", "a")], True),
        ([op("add", "/tags/-", "a"), op("test", "/version", 3)], False),
        ([op("test", "/version", 3), op("move", "/name", **{"from": "/description"})], True),
    ],
)
def test_what_may_be_repeated_although_it_may_have_been_done(operations: list[Json], safe: bool) -> None:
    assert is_safe_to_repeat(parsed(*operations)) is safe


def test_the_changed_fields_are_those_of_all_but_the_tests() -> None:
    operations = parsed(
        op("test", "/version", 3),
        op("add", "/properties/a", 1),
        op("remove", "/description"),
        op("move", "/name", **{"from": "/technicalDescription"}),
        op("copy", "/name", **{"from": "/technicalName"}),
    )

    assert changed_fields(operations) == ("description", "name", "properties", "technicalDescription")


DOCUMENT = {
    "name": "a",
    "tags": ["x", "y"],
    "properties": {"n": 1, "deep": {"flag": True}},
    "dataFreshness": "2026-01-31T06:30:00.000Z",
    "description": None,
}


@pytest.mark.parametrize(
    "operation",
    [
        op("add", "/name", "a"),
        op("replace", "/name", "a"),
        op("remove", "/technicalDescription"),
        op("remove", "/description"),
        op("add", "/description", None),
        op("add", "/technicalDescription", None),
        op("replace", "/description", None),
        op("remove", "/properties/other"),
        op("remove", "/properties/other/deeper"),
        op("replace", "/properties/n", 1.0),
        op("replace", "/properties", {"deep": {"flag": True}, "n": 1}),
        op("replace", "/tags/1", "y"),
        op("move", "/name", **{"from": "/name"}),
        op("add", "/dataFreshness", "2026-01-31T07:30:00+01:00"),
        op("add", "/dataFreshness", "2026-01-31T06:30:00.000999Z"),
        op("test", "/name", "whatever"),
    ],
)
def test_an_operation_that_changes_nothing_is_left_out(operation: Json) -> None:
    assert effective_operations(DOCUMENT, parsed(operation))[0] == []


@pytest.mark.parametrize(
    "operation",
    [
        op("add", "/name", "b"),
        op("add", "/tags/-", "y"),
        op("replace", "/tags", ["y", "x"]),
        op("replace", "/properties/n", True),
        op("replace", "/properties/n", None),
        op("replace", "/properties/deep", {"flag": 1}),
        op("replace", "/properties/deep/flag", 1),
        op("add", "/properties/new", None),
        op("add", "/description", "new"),
        op("add", "/dataFreshness", "2026-01-31T06:30:00+01:00"),
        op("add", "/dataFreshness", None),
    ],
)
def test_an_operation_that_changes_something_is_kept(operation: Json) -> None:
    assert [kept.to_json() for kept in effective_operations(DOCUMENT, parsed(operation))[0]] == [operation]


def test_tests_are_kept_as_long_as_anything_changes() -> None:
    operations = parsed(op("test", "/version", 3), op("add", "/name", "a"), op("add", "/name", "b"))

    kept, wanted = effective_operations(DOCUMENT, operations)

    assert kept == [operations[0], operations[2]]
    assert wanted["name"] == "b"


@pytest.mark.parametrize(
    ("operation", "message"),
    [
        (op("replace", "/technicalDescription", "a"), "'replace' at /technicalDescription does not fit"),
        (op("add", "/properties/other/deeper", 1), "'add' at /properties/other/deeper does not fit"),
        (op("add", "/tags/9", "a"), "'add' at /tags/9 does not fit"),
        (op("add", "/name/first", "a"), "'add' at /name/first does not fit"),
        (op("move", "/name", **{"from": "/technicalDescription"}), "'move' at /name does not fit"),
        (op("copy", "/name", **{"from": "/tags/x"}), "'copy' at /name does not fit"),
        (op("remove", "/tags/-"), "'remove' at /tags/- does not fit"),
        (op("add", "/properties/" + "x" * 1_000 + "/y", 1), "'add' at /properties/xxx"),
        (op("add", "/dataFreshness", "yesterday"), "'yesterday' is not an instant"),
        (op("add", "/dataFreshness", 5), "An instant must be a datetime or an RFC 3339 string, not int"),
    ],
)
def test_an_operation_that_does_not_fit_the_document_is_named(operation: Json, message: str) -> None:
    with pytest.raises(QlikValidationError) as caught:
        effective_operations(DOCUMENT, parsed(operation))

    assert message in str(caught.value)
    assert len(str(caught.value)) < 500


def test_the_given_document_stays_as_it_was() -> None:
    before = {"properties": {"a": {"b": 1}}}

    effective_operations(before, parsed(op("add", "/properties/a/b", 2)))

    assert before == {"properties": {"a": {"b": 1}}}


@pytest.mark.parametrize(
    ("operations", "holds"),
    [
        ([op("add", "/name", "a")], True),
        ([op("add", "/name", "b")], False),
        ([op("test", "/version", 1), op("add", "/name", "a")], True),
        ([op("remove", "/technicalDescription")], True),
        ([op("remove", "/name")], False),
        ([op("add", "/tags", ["x", "y"]), op("remove", "/description")], True),
        ([op("add", "/tags/1", "y")], False),
        ([op("remove", "/tags/7")], False),
        ([op("copy", "/name", **{"from": "/name"})], False),
        ([op("add", "/name/first", "a")], False),
    ],
)
def test_whether_a_document_is_as_a_patch_would_have_left_it(operations: list[Json], holds: bool) -> None:
    assert holds_already(DOCUMENT, parsed(*operations)) is holds


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from(["", "a"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=6,
)
PATHS = st.sampled_from(
    ["/name", "/properties", "/properties/a", "/properties/a/b", "/tags", "/tags/0", "/x"]
)
OPERATIONS = st.lists(
    st.builds(lambda path, value: op("add", path, value), PATHS, VALUES)
    | st.builds(lambda path: op("remove", path), PATHS),
    min_size=1,
    max_size=4,
)
DOCUMENTS = st.fixed_dictionaries({}, optional={"name": VALUES, "properties": VALUES, "tags": VALUES})


@given(DOCUMENTS, OPERATIONS)
def test_safe_patches_give_the_same_document_twice(document: Json, operations: list[Json]) -> None:
    if not is_safe_to_repeat(parsed(*operations)):
        return
    try:
        once = jsonpatch.apply_patch(document, operations)
        twice = jsonpatch.apply_patch(once, operations)
    except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException, TypeError):
        return

    assert once == twice


@example({}, [op("add", "/name", "")])
@example({}, [op("add", "/name", ""), op("replace", "/name", "a")])
@given(DOCUMENTS, OPERATIONS)
def test_the_effective_operations_lead_to_the_same_document(document: Json, operations: list[Json]) -> None:
    try:
        whole = jsonpatch.apply_patch(document, operations)
        kept, wanted = effective_operations(document, parsed(*operations))
    except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException, TypeError, QlikValidationError):
        return

    def shown(value: Json) -> str:
        return repr(sorted((name, item) for name, item in value.items() if item not in (None, "")))

    reached = jsonpatch.apply_patch(document, [operation.to_json() for operation in kept])
    assert shown(reached) == shown(whole) == shown(wanted)
