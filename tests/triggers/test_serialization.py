from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest
from airflow.models.trigger import Trigger

from airflow_provider_qlik_assets.sandbox import Sandbox
from airflow_provider_qlik_assets.triggers.data_freshness import QlikDataFreshnessTrigger

MakeTrigger = Callable[..., QlikDataFreshnessTrigger]

ARGUMENTS: list[dict[str, Any]] = [
    {},
    {
        "data_asset_ids": ("a", "b"),
        "match": "any",
        "data_store_ids": ("s",),
        "poll_interval": 5.0,
        "deadline": "2026-03-01T00:00:00.000Z",
        "missing_ok": True,
    },
]
each = pytest.mark.parametrize("arguments", ARGUMENTS)


def rebuilt(class_path: str, arguments: dict[str, Any]) -> Any:
    module, _, name = class_path.rpartition(".")
    return getattr(import_module(module), name)(**arguments)


@each
def test_goes_through_json(make_trigger: MakeTrigger, arguments: dict[str, Any]) -> None:
    trigger = make_trigger(**arguments)
    class_path, kept = trigger.serialize()
    copied = rebuilt(class_path, json.loads(json.dumps(kept)))

    assert class_path == "airflow_provider_qlik_assets.triggers.data_freshness.QlikDataFreshnessTrigger"
    assert type(copied) is type(trigger)
    assert copied.serialize() == trigger.serialize()
    assert copied.condition == trigger.condition


@each
def test_goes_through_airflows_database(make_trigger: MakeTrigger, arguments: dict[str, Any]) -> None:
    trigger = make_trigger(**arguments)
    row = Trigger.from_object(trigger)

    assert rebuilt(row.classpath, row.kwargs).serialize() == trigger.serialize()


def test_holds_no_secret(make_trigger: MakeTrigger, qlik_sandbox: Sandbox) -> None:
    assert qlik_sandbox.api_key not in json.dumps(make_trigger().serialize())


def test_serializing_names_every_argument_of_the_constructor(make_trigger: MakeTrigger) -> None:
    trigger = make_trigger(**ARGUMENTS[1])

    assert set(trigger.serialize()[1]) == set(QlikDataFreshnessTrigger.__init__.__annotations__) - {"return"}


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda trigger: pickle.loads(pickle.dumps(trigger))])
def test_can_be_copied(make_trigger: MakeTrigger, duplicate: Callable[[Any], Any]) -> None:
    trigger = make_trigger()

    assert duplicate(trigger).serialize() == trigger.serialize()
