"""Plans, computed from wishes and data assets without any request."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_qlik_assets.catalog.deletion_guards import DeletionGuards
from airflow_provider_qlik_assets.catalog.sync.desired import parse_desired
from airflow_provider_qlik_assets.catalog.sync.plan import Plan, make_plan
from airflow_provider_qlik_assets.client import DataAsset


def actual(key: str, name: str | None = None, /, **fields: Any) -> DataAsset:
    document = {
        "id": key,
        "technicalName": name or key,
        "appType": "airflow",
        "version": 1,
        "createdTime": "2026-01-01T00:00:00.000Z",
        "dataStoreInfo": {"id": "store", "name": "Store"},
        **fields,
    }
    return DataAsset.from_json({key: value for key, value in document.items() if value is not None})


def wish(name: str, /, **fields: Any) -> dict[str, Any]:
    return {"technicalName": name, "appType": "airflow", **fields}


def plan_for(wishes: list[dict[str, Any]], assets: list[DataAsset], **options: Any) -> Plan:
    return make_plan("store", parse_desired(wishes, "store"), assets, **options)


def ids(assets: Any) -> list[str | None]:
    return [asset.id for asset in assets]


def test_what_is_not_there_is_to_be_created() -> None:
    plan = plan_for([wish("a", name="A")], [])

    assert [new.technical_name for new in plan.to_create] == ["a"]
    assert not plan.is_empty


def test_what_is_as_wished_is_unchanged_and_the_plan_empty() -> None:
    plan = plan_for(
        [wish("a", tags=["x", "y"])], [actual("1", "a", tags=["y", "x"], description="steward's")]
    )

    assert ids(plan.unchanged) == ["1"]
    assert plan.is_empty


def test_an_update_says_what_was_and_what_will_be() -> None:
    before = actual("1", "a", name="old", properties={"rows": 1, "a/b": 2, "gone": True}, tags=["x"])
    wished = wish("a", name="new", properties={"rows": 5, "a/b": 3, "gone": None}, tags=None, description="d")

    (update,) = plan_for([wished], [before]).to_update

    assert {change.field: (change.before, change.after) for change in update.changes} == {
        "name": ("old", "new"),
        "properties.rows": (1, 5),
        "properties.a/b": (2, 3),
        "properties.gone": (True, None),
        "tags": (["x"], None),
        "description": (None, "d"),
    }
    assert update.fields == ("description", "name", "properties", "tags")


def test_first_properties_are_one_change() -> None:
    (update,) = plan_for([wish("a", properties={"rows": 5})], [actual("1", "a")]).to_update

    assert [str(change) for change in update.changes] == ['properties: unset → {"rows": 5}']


def test_freshness_never_goes_back() -> None:
    fresh = actual("1", "a", dataFreshness="2026-02-01T00:00:00.000Z")

    assert plan_for([wish("a", dataFreshness="2026-01-01T00:00:00Z")], [fresh]).is_empty


def test_the_oldest_of_a_name_counts_and_the_others_are_in_conflict() -> None:
    assets = [
        actual("young", "a", createdTime="2026-03-01T00:00:00.000Z"),
        actual("old", "a", createdTime="2026-01-01T00:00:00.000Z"),
        actual("middle", "a", createdTime="2026-02-01T00:00:00.000Z"),
    ]

    plan = plan_for([wish("a", name="new")], assets, delete_unlisted=True)

    assert [update.actual.id for update in plan.to_update] == ["old"]
    assert [(conflict.kept.id, ids(conflict.others)) for conflict in plan.conflicts] == [
        ("old", ["middle", "young"])
    ]
    assert plan.to_delete == ()


def test_unlisted_data_assets_are_left_alone_unless_they_are_to_be_deleted() -> None:
    assets = [actual("1", "a"), actual("2", "b")]

    assert plan_for([wish("a")], assets).is_empty
    assert ids(plan_for([wish("a")], assets, delete_unlisted=True).to_delete) == ["2"]


def test_protected_data_assets_are_not_to_be_deleted() -> None:
    assets = [actual("1", "a"), actual("2", "b", tags=["keep"])]
    guards = DeletionGuards(protected_tags=frozenset({"keep"}))

    plan = plan_for([wish("a")], assets, delete_unlisted=True, guards=guards)

    assert plan.is_empty
    assert ids(plan.protected) == ["2"]


def test_a_data_asset_without_a_name_is_protected() -> None:
    """Whoever may not see the name cannot say that nobody wishes it."""
    nameless = DataAsset.from_json({"id": "1", "version": 1})

    assert ids(plan_for([wish("a")], [nameless], delete_unlisted=True).protected) == ["1"]


def everything() -> Plan:
    return plan_for(
        [wish("new", name="New"), wish("changed", name="b"), wish("same"), wish("double")],
        [
            actual("1", "changed", name="a"),
            actual("2", "same"),
            actual("3", "double"),
            actual("4", "double"),
            actual("5", "unlisted", dataFreshness="2026-01-31T06:30:00Z"),
            actual("6", "kept", tags=["keep"]),
        ],
        delete_unlisted=True,
        guards=DeletionGuards(protected_tags=frozenset({"keep"})),
    )


def test_json_holds_everything() -> None:
    document = everything().to_json()

    assert json.loads(json.dumps(document)) == document
    assert document == {
        "data_store_id": "store",
        "total": 6,
        "to_create": [
            {"technicalName": "new", "appType": "airflow", "name": "New", "dataStoreInfo": {"id": "store"}}
        ],
        "to_update": [
            {
                "id": "1",
                "technical_name": "changed",
                "version": 1,
                "changes": [{"field": "name", "before": "a", "after": "b"}],
            }
        ],
        "unchanged": [
            {"id": "2", "technical_name": "same", "version": 1},
            {"id": "3", "technical_name": "double", "version": 1},
        ],
        "to_delete": [{"id": "5", "technical_name": "unlisted", "version": 1}],
        "protected": [{"id": "6", "technical_name": "kept", "version": 1}],
        "conflicts": [{"technical_name": "double", "kept": "3", "left_alone": ["4"]}],
    }


def test_the_table_shows_everything_but_what_stays() -> None:
    plan = everything()

    assert plan.summary().endswith(
        "1 to create, 1 to update, 2 unchanged, 1 to delete, 1 protected, 1 in conflict."
    )
    assert str(plan).splitlines() == [
        plan.summary(),
        "  create     new",
        '  update     changed   name: "a" → "b"',
        "  delete     unlisted  id 5, fresh as of 2026-01-31T06:30:00.000Z",
        '  protected  kept      ["keep"]',
        "  conflict   double    3 is the oldest and counts; delete the others: 4",
    ]


def test_rows_say_what_would_be_done() -> None:
    rows = everything().to_rows()

    assert [(row["action"], row["id"], row["technical_name"]) for row in rows] == [
        ("created", None, "new"),
        ("updated", "1", "changed"),
        ("unchanged", "2", "same"),
        ("unchanged", "3", "double"),
        ("deleted", "5", "unlisted"),
        ("skipped", "6", "kept"),
        ("skipped", "4", "double"),
    ]
    assert rows[1]["changed_fields"] == ["name"]


def test_the_table_of_a_large_plan_is_short() -> None:
    long = "x" * 1024
    wishes = [wish(f"table_{number:04}", description=long, name=long[:255]) for number in range(5000)]
    assets = [actual(str(number), f"table_{number:04}") for number in range(2500)]

    lines = plan_for(wishes, assets).table().splitlines()

    assert lines[0] == "Plan for data store store: 2,500 to create, 2,500 to update."
    assert lines[-1] == "  ... and 4,900 more"
    assert len(lines) == 102
    assert max(map(len, lines)) < 400


@pytest.mark.parametrize("number", [99, 100])
def test_a_table_that_just_fits_leaves_nothing_out(number: int) -> None:
    lines = plan_for([wish(f"t{index}") for index in range(number)], []).table().splitlines()

    assert len(lines) == number + 1
    assert "more" not in lines[-1]


def test_the_table_holds_no_control_characters() -> None:
    """They could forge lines of the log."""
    plan = plan_for([wish("a\nERROR", name="x\x1b[2J\ny\u2028z")], [actual("1", "a\nERROR", name="old")])

    assert len(plan.table().splitlines()) == 2
    assert all(character.isprintable() for character in plan.table().replace("\n", ""))
