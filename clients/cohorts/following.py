"""Metrics that follow clients which train as one: each looks at all of them in one go where it can."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from torch import Tensor

from clients.following import Following, attempted
from clients.network import Weights
from clients.observers import Observer
from fedlayers.core.schedule import Step
from metrics.tracking.follower import Followers


class FollowingTogether:
    """What looks at stacked clients in place of the followers of each, until it is closed.

    Args:
        observers: of each client.

    Attributes:
        seconds: how long it has looked.
    """

    def __init__(self, observers: Sequence[Sequence[Observer]]) -> None:
        self.seconds = 0.0
        self._followings = [one for own in observers for one in own if isinstance(one, Following)]
        self._followers: dict[str, Followers] = {}
        # What only some clients have looks by itself.
        if len(self._followings) == len(observers):
            for name in sorted(set.intersection(*(set(own.followers) for own in self._followings))):
                self._each(name, partial(self._take_over, name))
            self._hand_over(list(self._followers))

    def start(self, weights: Weights) -> None:
        """Let them look at the weights (K, …) before the first step."""
        for name, followers in list(self._followers.items()):
            self._each(name, partial(followers.start, weights))

    def look(self, steps: Sequence[Step], clients: slice, weights: Weights, gradients: Mapping[str, Tensor]) -> None:
        """Let them look after a step of some clients; see :meth:`metrics.tracking.follower.Followers.look`."""
        for name, followers in list(self._followers.items()):
            if followers.wants(steps[0]):
                self._each(name, partial(followers.look, steps, clients, weights, gradients))

    def close(self) -> None:
        """Give each client's follower what is its own, and let it look by itself again."""
        for name, followers in list(self._followers.items()):
            self._each(name, followers.close)
        self._hand_over([])

    def _hand_over(self, names: Sequence[str]) -> None:
        for following in self._followings:
            following.hand_over(names)

    def _take_over(self, name: str) -> None:
        own = [following.followers[name] for following in self._followings]
        found = type(own[0]).together(own) if len({type(follower) for follower in own}) == 1 else None
        if found is not None:
            self._followers[name] = found

    def _each(self, name: str, work: Callable[[], None]) -> None:
        """Let one of them work, each client taking its share of the time; if it fails, it does so for all."""
        spent = attempted(work, partial(self._failed, name))
        self.seconds += spent
        for following in self._followings:
            following.seconds[name] += spent / len(self._followings)

    def _failed(self, name: str, error: Exception) -> None:
        self._followers.pop(name, None)
        for following in self._followings:
            following.failed(name, error)
