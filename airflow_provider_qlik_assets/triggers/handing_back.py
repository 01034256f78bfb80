"""How soon a trigger may give its task back to the scheduler."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow.triggers.base import BaseTrigger

# Its executor tells the scheduler that a worker has ended only some seconds after the task has deferred. If
# the task is queued again by then, the scheduler mistakes that report for one about the new try, and fails
# the task.
SHORTEST_DEFERRAL_SECONDS = 10.0


async def until_the_scheduler_is_ready(trigger: BaseTrigger, started: float) -> None:
    """Wait until an event can no longer be too fast for the scheduler.

    Without a triggerer, as in ``dag.test()``, there is no scheduler either, and so no wait.

    :param trigger: the trigger of a deferred task.
    :param started: time of the event loop at which it began to run.
    """
    if trigger.trigger_id is not None:
        await asyncio.sleep(started + SHORTEST_DEFERRAL_SECONDS - asyncio.get_running_loop().time())
