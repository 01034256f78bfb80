"""The names that Airflow 2.11 and 3.x have in different places, each imported on first use."""

from __future__ import annotations

from datetime import datetime
from importlib import import_module
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async

if TYPE_CHECKING:
    from airflow.sdk import DAG as DAG
    from airflow.sdk import Asset as Asset
    from airflow.sdk import BaseHook as BaseHook
    from airflow.sdk import BaseOperator as BaseOperator
    from airflow.sdk import BaseSensorOperator as BaseSensorOperator
    from airflow.sdk import Connection as Connection
    from airflow.sdk import Context as Context
    from airflow.sdk import PokeReturnValue as PokeReturnValue
    from airflow.sdk import task as task
    from airflow.sdk.configuration import conf as conf
    from airflow.sdk.exceptions import AirflowException as AirflowException
    from airflow.sdk.exceptions import AirflowFailException as AirflowFailException
    from airflow.sdk.exceptions import AirflowNotFoundException as AirflowNotFoundException
    from airflow.sdk.exceptions import AirflowRescheduleException as AirflowRescheduleException
    from airflow.sdk.exceptions import AirflowSensorTimeout as AirflowSensorTimeout
    from airflow.sdk.exceptions import AirflowSkipException as AirflowSkipException
    from airflow.sdk.exceptions import AirflowTaskTimeout as AirflowTaskTimeout
    from airflow.sdk.exceptions import TaskDeferred as TaskDeferred
    from airflow.sdk.listener import get_listener_manager as get_listener_manager
    from airflow.sdk.log import mask_secret as mask_secret
    from airflow.sdk.log import redact as redact  # type: ignore[attr-defined]
    from airflow.triggers.base import BaseEventTrigger as BaseEventTrigger

_EXCEPTIONS = ("airflow.sdk.exceptions", "airflow.exceptions")
_MASKER = ("airflow.sdk.log", "airflow.sdk.execution_time.secrets_masker", "airflow.utils.log.secrets_masker")

# The newest place first: later versions of Airflow still have the older ones, but warn about them.
HOMES = {
    "AirflowException": _EXCEPTIONS,
    "AirflowFailException": _EXCEPTIONS,
    "AirflowNotFoundException": _EXCEPTIONS,
    "AirflowRescheduleException": _EXCEPTIONS,
    "AirflowSensorTimeout": _EXCEPTIONS,
    "AirflowSkipException": _EXCEPTIONS,
    "AirflowTaskTimeout": _EXCEPTIONS,
    "Asset": ("airflow.sdk", "airflow.datasets:Dataset"),
    "BaseEventTrigger": ("airflow.triggers.base", "airflow.triggers.base:BaseTrigger"),
    "BaseHook": ("airflow.sdk", "airflow.hooks.base"),
    "BaseOperator": ("airflow.sdk", "airflow.models.baseoperator"),
    "BaseSensorOperator": ("airflow.sdk", "airflow.sensors.base"),
    "Connection": ("airflow.sdk", "airflow.models.connection"),
    "Context": ("airflow.sdk", "airflow.utils.context"),
    "DAG": ("airflow.sdk", "airflow.models.dag"),
    "PokeReturnValue": ("airflow.sdk", "airflow.sensors.base"),
    "TaskDeferred": _EXCEPTIONS,
    "conf": ("airflow.sdk.configuration", "airflow.configuration"),
    "get_listener_manager": ("airflow.sdk.listener", "airflow.listeners.listener"),
    "mask_secret": _MASKER,
    "redact": _MASKER,
    "task": ("airflow.sdk", "airflow.decorators"),
}


def __getattr__(name: str) -> Any:
    """Import a name from the first module that has it.

    :raises AttributeError: if the name is not one of this module.
    :raises ImportError: if no module has it.
    """
    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    problems = []
    for home in HOMES[name]:
        module, _, old_name = home.partition(":")
        try:
            found = globals()[name] = getattr(import_module(module), old_name or name)
        except (ImportError, AttributeError) as error:
            problems.append(str(error))
        else:
            return found
    raise ImportError(f"This version of Airflow has no {name}: {'; '.join(problems)}")


def first_poke_at(sensor: BaseSensorOperator, context: Context) -> datetime | None:
    """Return when a sensor in reschedule mode was first poked; ``None`` if that is now."""
    ti: Any = context["ti"]
    first: datetime | None
    if hasattr(ti, "get_first_reschedule_date"):
        first = ti.get_first_reschedule_date(context)
    else:  # Airflow 2
        first_try = (ti.max_tries or 0) - (sensor.retries or 0) + 1
        look_up = import_module("airflow.sensors.base")._orig_start_date
        first = look_up(ti.dag_id, ti.task_id, ti.run_id, ti.map_index, first_try)
    return first


async def get_async_connection(conn_id: str, hook: BaseHook) -> Connection:
    """Return an Airflow connection without blocking the event loop.

    Before Airflow 3.3.2, which added ``aextra_dejson``, ``aget_connection`` does not exist, or masks secrets
    with a blocking call to the supervisor. That raises ``DeadlockImminentError`` if another call of the event
    loop is in progress. In a triggerer, only asgiref's threads reach the supervisor in every supported
    version of Airflow.

    :param conn_id: id of the connection.
    :param hook: the hook that looks it up, so that overrides of a subclass are used.
    """
    if hasattr(__getattr__("Connection"), "aextra_dejson"):
        return await hook.aget_connection(conn_id)
    return await sync_to_async(hook.get_connection)(conn_id)
