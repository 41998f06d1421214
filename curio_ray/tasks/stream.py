"""The endless, seeded and resumable stream of training users."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from curio_ray.dialogue import User


class UserStream:
    """Every user once an epoch, each epoch in a fresh order that only the seed decides."""

    def __init__(self, users: Sequence[User], seed: int) -> None:
        if not users:
            raise ValueError("a user stream needs at least one user")
        self._users = tuple(users)
        self._seed = seed
        self._epoch = 0
        self._position = 0
        self._order = self._shuffled()

    def next(self) -> User:
        """The next user of the epoch, or the first of a new one."""
        if self._position == len(self._users):
            self._epoch += 1
            self._position = 0
            self._order = self._shuffled()
        user = self._users[self._order[self._position]]
        self._position += 1
        return user

    def take(self, count: int, repeat: int = 1) -> list[User]:
        """The users of `count` dialogues: each drawn user comes `repeat` times in a row.

        Raises:
            ValueError: `count` does not divide into groups of `repeat`.
        """
        if repeat < 1 or count % repeat:
            raise ValueError(f"{count} dialogues do not divide into groups of {repeat}")
        return [user for _ in range(count // repeat) for user in [self.next()] * repeat]

    def state(self) -> dict[str, int]:
        """What `restore` needs, as plain numbers."""
        return {
            "users": len(self._users),
            "seed": self._seed,
            "epoch": self._epoch,
            "position": self._position,
        }

    def restore(self, state: Mapping[str, int]) -> None:
        """Go on exactly where the stream stood when `state` was taken.

        Raises:
            ValueError: the state is of a stream with another seed or number of users.
        """
        for name, own in (("users", len(self._users)), ("seed", self._seed)):
            if state[name] != own:
                raise ValueError(f"the saved user stream has {name} {state[name]}, this one {own}")
        self._epoch, self._position = state["epoch"], state["position"]
        self._order = self._shuffled()

    def _shuffled(self) -> np.ndarray:
        return np.random.default_rng((self._seed, self._epoch)).permutation(len(self._users))
