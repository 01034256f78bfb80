"""Go through all ways in which things can happen, by running them again and again with other choices."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator


class Choices:
    """The choices of one run: those that are given, then the first option of each.

    :param given: numbers of options, in the order of the choices.
    :param generator: chooses at random in place of the first option.
    """

    def __init__(self, given: tuple[int, ...] = (), generator: random.Random | None = None) -> None:
        self._given = given
        self._generator = generator
        self.made: list[tuple[int, int]] = []

    def choose(self, options: int) -> int:
        """Return the number of the option to take, from 0.

        :param options: how many there are.
        """
        if options == 1:
            return 0
        place = len(self.made)
        if place < len(self._given):
            choice = self._given[place]
        else:
            choice = self._generator.randrange(options) if self._generator else 0
        self.made.append((choice, options))
        return choice

    @property
    def path(self) -> tuple[int, ...]:
        """The choices as they were made, to be run again."""
        return tuple(choice for choice, _ in self.made)

    @property
    def following(self) -> tuple[int, ...] | None:
        """The choices of the next run; ``None`` after the last one."""
        for place in range(len(self.made) - 1, -1, -1):
            choice, options = self.made[place]
            if choice + 1 < options:
                return (*self.path[:place], choice + 1)
        return None


def explore(run: Callable[[Choices], None]) -> int:
    """Run something with all choices that it offers; return how many runs that took.

    :raises AssertionError: of the first run that fails, with the choices to run it again.
    """
    return sum(1 for _ in _runs(run, iter_all()))


def sample(run: Callable[[Choices], None], number: int, seed: int) -> int:
    """Run something with random choices."""
    generator = random.Random(seed)
    return sum(1 for _ in _runs(run, (Choices(generator=generator) for _ in range(number))))


def iter_all() -> Iterator[Choices]:
    """Yield choices, each after the run with those before it has made its own."""
    following: tuple[int, ...] | None = ()
    while following is not None:
        choices = Choices(following)
        yield choices
        following = choices.following


def _runs(run: Callable[[Choices], None], all_choices: Iterator[Choices]) -> Iterator[None]:
    for choices in all_choices:
        try:
            run(choices)
        except BaseException as error:
            error.add_note(f"Run it again with the choices {choices.path}.")
            raise
        yield
