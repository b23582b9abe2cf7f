"""A board that all workers of a run read and write, in an actor of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

CALL_TIMEOUT_SECONDS = 30.0


class BoardOnRay:
    """What `make` makes, with its methods `take` and `tell`, shared by those who have this object.

    Where the actor is lost, or does not answer, each worker goes on with a board of its own: what others know is then
    found again, and nothing else is lost.
    """

    def __init__(self, make: Callable[[], Any]) -> None:
        """Needs a cluster. The actor ends with `end`, or with the process that made this."""
        import ray

        self._make = make
        self._own: Any = None
        self._has_ended = False
        self._actor: Any = ray.remote(num_cpus=0)(make).remote()

    def take(self, film: str, wanted: Sequence[int]) -> Any:
        """What is known of `wanted`, and which of them is to be found by who asked."""
        return self._call("take", film, list(wanted))

    def tell(self, film: str, number: int, found: Any) -> None:
        """What was found; None: nothing after all."""
        self._call("tell", film, number, found)

    def end(self) -> None:
        """Ends the actor, once, and waits for nothing."""
        import ray

        if not self._has_ended:
            self._has_ended = True
            ray.kill(self._actor)

    def _call(self, method: str, *arguments: Any) -> Any:
        import ray
        from ray.exceptions import ActorDiedError, ActorUnavailableError, GetTimeoutError

        if self._own is None:
            try:
                return ray.get(getattr(self._actor, method).remote(*arguments), timeout=CALL_TIMEOUT_SECONDS)
            except (ActorDiedError, ActorUnavailableError, GetTimeoutError):
                self._own = self._make()
        return getattr(self._own, method)(*arguments)
