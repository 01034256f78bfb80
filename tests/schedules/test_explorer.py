"""What the other tests here rely on: no schedule is left out, and one that fails can be run again."""

from __future__ import annotations

from collections.abc import Callable, Hashable

import pytest

from tests.schedules.explorer import Choices, explore, replay
from tests.schedules.test_creating import MOMENTS, TWO, check
from tests.schedules.world import World


class _Unlike(Choices):
    """Choices that take no state for one that is known."""

    def __init__(self, choices: Choices) -> None:
        self._choices = choices

    def choose(self, options: int, state: Callable[[], Hashable]) -> int:
        return self._choices.choose(options, object)


def test_what_differs_in_the_past_only_is_run_once() -> None:
    ended = []

    def run(choices: Choices) -> None:
        places = [0, 0]
        while left := [task for task in (0, 1) if places[task] < 3]:
            places[left[choices.choose(len(left), lambda: tuple(places))]] += 1
        ended.append(choices.path)

    explored = explore(run)

    assert explored.schedules == 20  # six steps, three of each
    assert len(ended) < explored.runs < 20


@pytest.mark.slow
def test_running_each_schedule_ends_as_covering_all() -> None:
    """A state holds all that matters: to take those that are equal for one leaves out no end."""

    def ends(seen: Callable[[Choices], Choices]) -> tuple[int, set[str]]:
        ends: set[str] = set()

        def run(choices: Choices) -> None:
            world = World(seen(choices), **MOMENTS["one after the other"])
            works = TWO["upsert and sync"]
            tasks = [world.task(name, work(name)) for name, work in works.items()]
            world.run()
            check(world, tasks, {name: name for name in works})
            ends.add(repr([(task.result, world.assets) for task in tasks]))

        return explore(run).schedules, ends

    assert ends(_Unlike) == ends(lambda choices: choices)


def test_a_run_that_fails_says_how_to_run_it_again() -> None:
    def run(choices: Choices) -> None:
        assert [choices.choose(3, object) for _ in range(2)] != [1, 2]

    with pytest.raises(AssertionError) as failed:
        explore(run)

    assert failed.value.__notes__ == ["Run it again with --schedule 1,2"]
    with pytest.raises(AssertionError):
        replay(run, Choices((1, 2)))
