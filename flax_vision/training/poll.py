"""Decisions that all processes of a run take together, at most about twice a second."""

import time

from flax_vision.runtime import multihost

INTERVAL_SECONDS = 0.5
"""Time between two decisions of several processes."""

_MAX_STEPS = 1 << 20


class Poll:
    """Chooses the steps at which the processes of a run agree whether to stop, print or save.

    One process decides at every step. Several processes decide every N steps, because agreeing is a
    collective. The first process measures how many steps `INTERVAL_SECONDS` takes and tells N to
    the others at each decision. N at most doubles, so a wrong measurement costs little.
    """

    def __init__(self) -> None:
        self._steps = self._steps_left = 1
        self._decided_at = time.monotonic()

    def is_due(self) -> bool:
        """Counts a step and returns whether its caller must decide."""
        self._steps_left -= 1
        return self._steps_left <= 0

    def decide(self, value: int) -> int:
        """Returns the largest value of all processes, and chooses the next step to decide at.

        All processes call it at the same step.
        """
        if multihost.process_count() == 1:
            return value
        decision, self._steps = multihost.all_max(value, self._next_steps())
        self._steps_left, self._decided_at = self._steps, time.monotonic()
        return decision

    def _next_steps(self) -> int:
        if not multihost.is_primary():
            return 1
        seconds = time.monotonic() - self._decided_at
        fitting = int(self._steps * INTERVAL_SECONDS / max(seconds, 1e-6))
        return max(1, min(fitting, 2 * self._steps, _MAX_STEPS))
