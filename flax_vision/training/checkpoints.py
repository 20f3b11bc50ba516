"""The checkpoints of a run, written by Orbax."""

import errno
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import preservation_policy

from flax_vision.errors import UserError, add_file_name
from flax_vision.runtime import multihost
from flax_vision.runtime.checksums import write_checksums
from flax_vision.text import counted
from flax_vision.weights import run_checkpoints
from flax_vision.weights.array_tree import disk_errors
from flax_vision.weights.best_epoch import best_first
from flax_vision.weights.run_checkpoints import CorruptCheckpointError, History

_OVERHEAD_BYTES = 1 << 16
"""Upper bound for a checkpoint's metadata, history and checksums."""


class Checkpoints:
    """The checkpoints of a run: the newest few and the best.

    Each is written in the background, and becomes visible when it is complete. It includes the
    checksums of its files, because Orbax does not notice a flipped bit, and its threads print pages
    about a truncated file.
    """

    def __init__(self, directory: Path, max_to_keep: int, best: Callable[[], int | None]) -> None:
        """Opens or creates the directory, and removes incomplete checkpoints.

        Args:
          directory: Directory of the checkpoints.
          max_to_keep: Number of the newest checkpoints to keep.
          best: Function that returns another step to keep, called at each save.
        """
        self._directory = directory.absolute()
        policies = [preservation_policy.LatestN(max_to_keep), _PreserveBest(best)]
        options = ocp.CheckpointManagerOptions(
            preservation_policy=preservation_policy.AnyPreservationPolicy(policies),
            cleanup_tmp_directories=True,
            async_options=ocp.AsyncOptions(post_finalization_callback=self._add_checksums),
        )
        with add_file_name(self._directory):
            self._manager = ocp.CheckpointManager(self._directory, options=options)

    def close(self) -> None:
        """Waits until everything is on the disk, and ends the background threads."""
        with add_file_name(self._directory), disk_errors():
            self._manager.close()

    def save(self, step: int, state: Any, history: History) -> None:
        """Starts to save; the caller may donate `state` afterwards.

        Raises:
          OSError: The disk is full, or an earlier checkpoint could not be written.
          UserError: Orbax refuses the step.
        """
        if step in self._manager.all_steps():
            return
        self.wait()  # the checkpoint before takes room too
        self._check_room(sum(leaf.nbytes for leaf in jax.tree.leaves(state)) + _OVERHEAD_BYTES)
        # A copy, because Orbax writes the JSON later, when the history may have grown.
        saved_history = ocp.args.JsonSave(list(history))
        items = ocp.args.Composite(state=ocp.args.StandardSave(state), history=saved_history)
        with add_file_name(self._directory), disk_errors():
            is_saved = self._manager.save(step, args=items)
        if not is_saved:
            raise UserError(
                f"Orbax does not save step {step:,}: {self._directory} has the steps "
                f"{', '.join(map(str, self.steps()))}. Remove the steps of other runs, and give "
                "the same command again to resume."
            )

    def wait(self) -> None:
        """Waits until everything is on the disk.

        Raises:
          OSError: A checkpoint could not be written.
        """
        with add_file_name(self._directory), disk_errors():
            self._manager.wait_until_finished()

    def steps(self) -> Sequence[int]:
        """Returns the steps of the complete checkpoints, oldest first."""
        return sorted(self._manager.all_steps())

    def restore(self, step: int, abstract_state: Any) -> tuple[Any, History]:
        """Returns the state and the history of one checkpoint.

        Args:
          step: One of `steps()`.
          abstract_state: Shapes, types and shardings of the state.

        Raises:
          CorruptCheckpointError: The checkpoint has changed since it was saved.
        """
        items = ocp.args.Composite(
            state=ocp.args.StandardRestore(abstract_state), history=ocp.args.JsonRestore()
        )
        try:
            run_checkpoints.check_files(self._directory / str(step))
            restored = self._manager.restore(step, args=items)
        except Exception as error:  # Orbax raises anything for a damaged file, even Exception
            raise CorruptCheckpointError(step, error) from error
        return restored.state, restored.history

    def restore_newest(
        self, abstract_state: Any, warn: Callable[[str], None]
    ) -> tuple[Any, History] | None:
        """Returns the newest undamaged checkpoint; None if there are no checkpoints.

        Newer, damaged checkpoints are moved to `checkpoints.damaged` beside the directory.

        Args:
          abstract_state: Shapes, types and shardings of the state.
          warn: Function that gets a line about each damaged checkpoint.

        Raises:
          UserError: All checkpoints are damaged; none is moved.
        """
        damaged: list[CorruptCheckpointError] = []
        for step in reversed(self.steps()):
            try:
                restored = self.restore(step, abstract_state)
            except CorruptCheckpointError as error:
                damaged.append(error)
                continue
            for damage in damaged:
                moved = self._set_aside(damage.step)
                warn(f"{damage}; resuming from step {step:,} (it was moved to {moved})")
            return restored
        if damaged:
            raise UserError(
                f"none of {counted(len(damaged), 'checkpoint')} in {self._directory} can be read "
                f"({damaged[0]}); nothing was changed. Give another --workdir to start again."
            )
        return None

    def restore_best(
        self, history: History, abstract_state: Any, warn: Callable[[str], None]
    ) -> tuple[dict[str, Any], Any]:
        """Returns the record and the state of the best epoch with an undamaged checkpoint.

        Args:
          history: Records of the finished epochs.
          abstract_state: Shapes, types and shardings of the state.
          warn: Function that gets a line about each damaged checkpoint.

        Raises:
          UserError: No finished epoch has an undamaged checkpoint.
        """
        for record in best_first(history):
            if record["step"] in self.steps():
                try:
                    state, _ = self.restore(record["step"], abstract_state)
                except CorruptCheckpointError as damage:
                    warn(f"{damage}; taking the next best epoch")
                else:
                    return record, state
        raise UserError(
            f"no checkpoint of a finished epoch in {self._directory.parent} can be read; the same "
            "command resumes from the newest undamaged one."
        )

    def set_aside_after(self, step: int, warn: Callable[[str], None]) -> None:
        """Moves later checkpoints, which belong to another run, to `checkpoints.damaged`.

        Orbax saves no step before the latest one.

        Args:
          step: Step at which the run resumes.
          warn: Function that gets a line about each checkpoint.
        """
        for later in self.steps():
            if later > step:
                moved = self._set_aside(later)
                warn(f"checkpoint {later} is later than step {step:,}; it was moved to {moved}")

    def _add_checksums(self) -> None:
        """Adds the checksums to a complete checkpoint before it becomes visible."""
        for folder in self._directory.glob("*.orbax-checkpoint-tmp*"):
            write_checksums(folder, run_checkpoints.CHECKED_ITEMS)

    def _check_room(self, needed: int) -> None:
        # On a full disk, Orbax's threads print a page of tracebacks.
        free = shutil.disk_usage(self._directory).free
        if free < needed:
            reason = f"a checkpoint takes {needed / 1e6:,.2f} MB, and {free / 1e6:,.2f} MB are free"
            text = f"{os.strerror(errno.ENOSPC)}: {reason}"
            raise OSError(errno.ENOSPC, text, str(self._directory))

    def _set_aside(self, step: int) -> Path:
        target = self._directory.with_name("checkpoints.damaged") / str(step)

        def move() -> None:
            shutil.rmtree(target, ignore_errors=True)
            (self._directory / str(step)).rename(target)

        target.parent.mkdir(exist_ok=True)
        multihost.primary_only(move)
        self._manager.reload()
        return target


class _PreserveBest(preservation_policy.PreservationPolicy):
    """Preserves the checkpoint of the step that a function returns."""

    def __init__(self, best: Callable[[], int | None]) -> None:
        self._best = best

    def should_preserve(
        self, checkpoints: Sequence[Any], *, context: preservation_policy.PreservationContext
    ) -> Sequence[bool]:
        del context
        best = self._best()
        return [checkpoint.step == best for checkpoint in checkpoints]
