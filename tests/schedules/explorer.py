"""Go through all ways in which things can happen, by running them again and again with other choices.

Different orders of the same requests often lead to the same state: two reads, say. What follows a state is
gone through once, so that all schedules are covered by far fewer runs.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable
from dataclasses import dataclass


class StateKnownError(BaseException):
    """What follows the state that a run has reached was gone through already.

    Not an :class:`Exception`, so that nothing that the run does takes it for one of its own.
    """


@dataclass
class _Choice:
    """A choice of a run.

    :param state: where it is made.
    :param option: the number of the option that was taken.
    :param options: how many there are.
    :param schedules: how many the options before it lead to.
    """

    state: Hashable
    option: int
    options: int
    schedules: int = 0


class Choices:
    """The choices of one run: those that are given, then the first option of each.

    :param given: numbers of options, in the order of the choices.
    :param generator: chooses at random in place of the first option.
    """

    def __init__(self, given: tuple[int, ...] = (), generator: random.Random | None = None) -> None:
        self._given = given
        self._generator = generator
        self.path: tuple[int, ...] = ()

    def choose(self, options: int, state: Callable[[], Hashable]) -> int:
        """Return the number of the option to take, from 0.

        :param options: how many there are.
        :param state: returns all that decides what may follow.
        """
        if options == 1:
            return 0
        place = len(self.path)
        option = self._given[place] if place < len(self._given) else self._take(options, state)
        self.path += (option,)
        return option

    def _take(self, options: int, state: Callable[[], Hashable]) -> int:
        return self._generator.randrange(options) if self._generator else 0


class _AllChoices(Choices):
    """The choices of the runs that go through all schedules."""

    def __init__(self) -> None:
        super().__init__()
        self.schedules_after: dict[Hashable, int] = {}
        self._made: list[_Choice] = []
        self._known: Hashable = None

    def _take(self, options: int, state: Callable[[], Hashable]) -> int:
        key = state()
        if key in self.schedules_after:
            self._known = key
            raise StateKnownError
        self._made.append(_Choice(key, 0, options))
        return 0

    def go_on(self) -> int | None:
        """Prepare the next run; after the last one, return how many schedules there are."""
        schedules = 1 if self._known is None else self.schedules_after[self._known]
        self._known, self.path = None, ()
        while self._made:
            last = self._made[-1]
            last.schedules += schedules
            if last.option + 1 < last.options:
                last.option += 1
                self._given = tuple(choice.option for choice in self._made)
                return None
            self.schedules_after[last.state] = schedules = last.schedules
            self._made.pop()
        return schedules


@dataclass
class Explored:
    """What an exploration has gone through.

    :param schedules: the number of schedules.
    :param runs: the number of runs that covered them.
    """

    schedules: int
    runs: int


Run = Callable[[Choices], None]
Every = Callable[[Run], Explored]
Some = Callable[[Run, int], Explored]


def explore(run: Run) -> Explored:
    """Cover all choices that a run offers.

    :raises AssertionError: of the first run that fails, with the choices to run it again.
    """
    choices = _AllChoices()
    runs, schedules = 0, None
    while schedules is None:
        replay(run, choices)
        runs += 1
        schedules = choices.go_on()
    return Explored(schedules, runs)


def sample(run: Run, number: int, seed: int) -> Explored:
    """Run something with random choices, some number of times; schedules that come twice count once."""
    generator = random.Random(seed)
    schedules = set()
    for _ in range(number):
        choices = Choices(generator=generator)
        replay(run, choices)
        schedules.add(choices.path)
    return Explored(len(schedules), number)


def replay(run: Run, choices: Choices) -> None:
    """Run something once; an error says with which choices."""
    try:
        run(choices)
    except StateKnownError:
        pass
    except BaseException as error:
        error.add_note(f"Run it again with --schedule {','.join(map(str, choices.path))}")
        raise
