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
from flax_vision.weights.array_tree import disk_errors
from flax_vision.weights.run_checkpoints import (
    CHECKED_ITEMS,
    CorruptCheckpointError,
    History,
    check_files,
)

_SMALL_FILES = 1 << 16
"""Bytes of a checkpoint's metadata, history and checksums, more than there are."""


class Checkpoints:
    """The checkpoints of a run: the newest few, and the best.

    Each is written in the background and becomes visible when it is whole, with the checksums of
    its files: Orbax does not notice a flipped bit, and its threads are loud about a cut file.
    """

    def __init__(self, directory: Path, keep: int, best: Callable[[], int | None]) -> None:
        """Opens or creates the directory, and clears away what was half written.

        Args:
          directory: for these checkpoints alone.
          keep: how many of the newest to keep.
          best: called at each saving; the step whose checkpoint is to be kept besides.
        """
        self._directory = directory.absolute()
        with add_file_name(self._directory):
            self._manager = self._open(keep, best)

    def _open(self, keep: int, best: Callable[[], int | None]) -> ocp.CheckpointManager:
        policies = [preservation_policy.LatestN(keep), _Step(best)]
        return ocp.CheckpointManager(
            self._directory,
            options=ocp.CheckpointManagerOptions(
                preservation_policy=preservation_policy.AnyPreservationPolicy(policies),
                cleanup_tmp_directories=True,
                async_options=ocp.AsyncOptions(post_finalization_callback=self._add_checksums),
            ),
        )

    def close(self) -> None:
        """Waits until everything is on the disk, and ends the background threads."""
        with add_file_name(self._directory), disk_errors():
            self._manager.close()

    def save(self, step: int, state: Any, history: History) -> None:
        """Starts to save; returns when `state` may be changed again.

        Raises:
          OSError: there is no room for a checkpoint, or an earlier one could not be written.
          UserError: Orbax does not save it.
        """
        if step in self._manager.all_steps():
            return
        self.wait()  # as Orbax would: the room that the one before takes is not free any more
        self._check_room(sum(leaf.nbytes for leaf in jax.tree.leaves(state)) + _SMALL_FILES)
        # A copy: Orbax turns it into JSON later, when the caller may have added to it.
        items = {
            "state": ocp.args.StandardSave(state),
            "history": ocp.args.JsonSave(list(history)),
        }
        with add_file_name(self._directory), disk_errors():
            is_saved = self._manager.save(step, args=ocp.args.Composite(**items))
        if not is_saved:
            raise UserError(
                f"Orbax does not save step {step:,}: {self._directory} has the steps "
                f"{', '.join(map(str, self.steps()))}. Remove the steps of other runs, and give "
                "the same command again to go on."
            )

    def wait(self) -> None:
        """Returns when everything is on the disk.

        Raises:
          OSError: it could not be written.
        """
        with add_file_name(self._directory), disk_errors():
            self._manager.wait_until_finished()

    def steps(self) -> Sequence[int]:
        """Returns the steps of the whole checkpoints, oldest first."""
        return sorted(self._manager.all_steps())

    def restore(self, step: int, abstract_state: Any) -> tuple[Any, History]:
        """Returns the state and the history of one checkpoint.

        Args:
          step: one of `steps()`.
          abstract_state: the shapes, types and shardings of the state.

        Raises:
          CorruptCheckpointError: anything in the checkpoint is not as it was written.
        """
        try:
            check_files(self._directory / str(step))
            items = {
                "state": ocp.args.StandardRestore(abstract_state),
                "history": ocp.args.JsonRestore(),
            }
            restored = self._manager.restore(step, args=ocp.args.Composite(**items))
        except Exception as error:  # Orbax raises anything for a damaged file, even Exception
            raise CorruptCheckpointError(step, error) from error
        return restored.state, restored.history

    def restore_newest(
        self, abstract_state: Any, warn: Callable[[str], None]
    ) -> tuple[Any, History] | None:
        """Returns the newest whole checkpoint, or None where there is none at all.

        Newer ones that are damaged are moved to `checkpoints.damaged` beside the directory.

        Args:
          abstract_state: the shapes, types and shardings of the state.
          warn: called with a line about each damaged checkpoint.

        Raises:
          UserError: there are checkpoints, but none can be read; all stay where they are.
        """
        damaged: list[CorruptCheckpointError] = []
        for step in reversed(self.steps()):
            try:
                found = self.restore(step, abstract_state)
            except CorruptCheckpointError as error:
                damaged.append(error)
                continue
            for damage in damaged:
                moved = self._set_aside(damage.step)
                warn(f"{damage}; going on from step {step:,} (it was moved to {moved})")
            return found
        if damaged:
            raise UserError(
                f"{self._directory} has {counted(len(damaged), 'checkpoint')}, of which none can "
                f"be read; all is left as it is ({damaged[0]}). Give another --workdir to start "
                "afresh."
            )
        return None

    def set_aside_after(self, step: int, warn: Callable[[str], None]) -> None:
        """Moves later checkpoints, which belong to another run, to `checkpoints.damaged`.

        Orbax saves no step before the latest one.

        Args:
          step: Step at which the run resumes.
          warn: Function that gets a line about each checkpoint.
        """
        for later in [other for other in self.steps() if other > step]:
            moved = self._set_aside(later)
            warn(f"checkpoint {later} is of another run; this one is at step {step:,}: see {moved}")

    def _add_checksums(self) -> None:
        """Adds the checksums to the checkpoint that is complete, but not yet visible."""
        for folder in self._directory.glob("*.orbax-checkpoint-tmp*"):
            write_checksums(folder, CHECKED_ITEMS)

    def _check_room(self, needed: int) -> None:
        # Found out by Orbax's own threads, a full disk is a page of their tracebacks.
        free = shutil.disk_usage(self._directory).free
        if free < needed:
            reason = f"a checkpoint takes {needed / 1e6:,.2f} MB, and {free / 1e6:,.2f} MB are free"
            text = f"{os.strerror(errno.ENOSPC)}: {reason}"
            raise OSError(errno.ENOSPC, text, str(self._directory))

    def _set_aside(self, step: int) -> Path:
        target = self._directory.with_name("checkpoints.damaged") / str(step)
        target.parent.mkdir(exist_ok=True)
        multihost.primary_only(lambda: self._move(step, target))
        self._manager.reload()
        return target

    def _move(self, step: int, target: Path) -> None:
        shutil.rmtree(target, ignore_errors=True)
        (self._directory / str(step)).rename(target)


class _Step(preservation_policy.PreservationPolicy):
    """Keeps the checkpoint of the step that a function names."""

    def __init__(self, step: Callable[[], int | None]) -> None:
        self._step = step

    def should_preserve(
        self,
        checkpoints: Sequence[Any],
        *,
        context: preservation_policy.PreservationContext,
    ) -> Sequence[bool]:
        del context
        return [checkpoint.step == self._step() for checkpoint in checkpoints]
