"""The loop of a run: epochs, validation, checkpoints, and the final test and export."""

import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np
from jax.errors import JaxRuntimeError

from flax_vision.data.batches import Batch, evaluation_batches
from flax_vision.data.dataset import Dataset
from flax_vision.data.splits import unreadable_warning
from flax_vision.errors import UserError, add_file_name
from flax_vision.evaluation.class_metrics import EvalTotals
from flax_vision.evaluation.metrics import Totals, sum_batches, with_prefix
from flax_vision.ops import backend
from flax_vision.runtime import environment, multihost
from flax_vision.training import build, poll, precise_bn, progress, run_dir, signals, throughput
from flax_vision.training.checkpoints import Checkpoints
from flax_vision.training.epoch_history import EpochHistory
from flax_vision.training.histograms import Histograms
from flax_vision.training.state import TrainState, is_finite, not_finite_error
from flax_vision.weights import saved_model


@dataclass
class Trainer:
    """A run: call `start`, `train` and `finish` in this order.

    Attributes:
      experiment: Data, model and functions.
      directory: Directory of the run.
      display: Display of the progress.
      interruption: Signals that ask the run to stop.
    """

    experiment: build.Experiment
    directory: run_dir.RunDirectory
    display: progress.TrainingObserver
    interruption: signals.Interruption

    def __post_init__(self) -> None:
        self._config, self._functions = self.experiment.config, self.experiment.functions
        self._partitioner = self._functions.partitioner
        self._histograms = Histograms(self.experiment)
        self._precise_bn = precise_bn.PreciseBatchNorm(self.experiment)
        self._history = EpochHistory(self._config, self.experiment.splits.train.imbalance)
        self._state: TrainState
        self._step = 0
        # Two, because a step of training may take many times as long as one of evaluation.
        self._train_poll, self._eval_poll = poll.Poll(), poll.Poll()
        self.directory.check_exists()
        max_to_keep, best = self._config.checkpoint.max_to_keep, self._history.best_step
        self._checkpoints = Checkpoints(self.directory.checkpoints, max_to_keep, best)
        self._saved_at = self._epoch_started_at = time.monotonic()

    def __enter__(self) -> "Trainer":
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        is_lost = kind is not None and issubclass(kind, JaxRuntimeError)
        try:
            if not is_lost or multihost.process_count() == 1:  # a save may wait forever
                self._checkpoints.close()
        finally:
            self.directory.check_exists()  # this error explains the others

    def start(self) -> None:
        """Restores the newest checkpoint or initializes the state, and compiles the functions."""
        functions, experiment, display = self._functions, self.experiment, self.display
        restored = self._checkpoints.restore_newest(functions.state, display.warning)
        if restored is None:
            self._state = self._init_state()
        else:
            self._state, records = restored
            self._history.restore(records)
            self._step = int(self._state.step)
            self._checkpoints.set_aside_after(self._step, display.warning)
            display.line(f"resuming from step {self._step:,}")
            self._continue()
        self.directory.start(experiment.metadata, self._history.records)
        hardware = f"{backend.describe()}; {environment.describe()}"
        for line in (experiment.summary(), *experiment.notes, hardware):
            display.line(line)
        if self._partitioner.mesh.size > 1:
            display.line(f"mesh: {self._partitioner.describe(functions.state.params)}")
        if (imbalance := experiment.splits.train.imbalance) is not None:
            display.imbalance(imbalance)
        display.compiling()
        functions.compile()
        display.begin(self._step)
        self._epoch_started_at = time.monotonic()

    def _continue(self) -> None:
        """Prints changed settings, and restarts the plateau of a changed schedule."""
        if self.directory.continuation:
            self.display.line(self.directory.continuation.describe(self._config.epochs))
        if self.directory.rescheduled_at == self._step:
            self._state = self._state.restart_plateau(self._functions.spec.plateau)

    def _init_state(self) -> TrainState:
        variables = self.experiment.init_variables
        if variables is None:
            raise UserError(
                f"{self.directory.checkpoints} has no checkpoint to resume from; give another "
                "--workdir to start again."
            )
        return self._functions.init(self._config.seed).init_from(variables)

    def train(self) -> None:
        """Trains and validates the remaining epochs, up to early stopping."""
        while not self._history.has_ended:
            record = self._train_epoch(len(self._history))
            if self._history.stopped_early:
                break
            record |= self._evaluate_epoch()
            seconds = time.monotonic() - self._epoch_started_at
            self._epoch_started_at += seconds
            self._end_epoch(record | {"epoch_seconds": seconds})
        self._save()
        if end := self._history.describe_end():
            self.display.line(end)

    def _end_epoch(self, record: dict[str, Any]) -> None:
        self._history.add(record)
        error = np.float32(1 - record.get("validation/top1", np.nan))
        self._state = self._functions.end_epoch(self._state, error)
        self.directory.log(record)
        self.directory.log_histograms(self._step, self._histograms(self._state))
        self.display.epoch(record, self._config.epochs, self.experiment.total_steps)
        self.display.left_out(unreadable_warning(self.experiment.splits))
        is_best = "validation/top1" in record and self._history.best_step() == self._step
        decisions = (is_best or self._is_save_due, self._is_time_over, self.display.ends_run)
        saves, is_over, is_ended = multihost.all_max(*decisions)
        if saves:
            self._save()
        if is_over:
            self._history.end_by_time()
        if is_ended:
            self._history.end_by_callback()

    def finish(self) -> dict[str, Any]:
        """Tests and exports the best model, and returns the result of the run."""
        self._checkpoints.wait()
        arguments = self._history.records, self._functions.state, self.display.warning
        best, state = self._checkpoints.restore_best(*arguments)
        state = self._precise_bn(state, self._stop_if_due)
        splits, names = self.experiment.splits, self.experiment.metadata.class_names
        totals = self._evaluate(state.variables, splits.test)
        self.display.left_out(unreadable_warning(splits))
        result = {
            "step": self._step,
            "best_epoch": best["epoch"],
            **{name: value for name, value in best.items() if name.startswith("validation/")},
            **with_prefix("test", totals.averages()),
            "test/images": int(totals.count),
            **self._history.totals(),
        }
        self._export(state, result)
        # The metrics of the export are numbers.
        result |= self._history.early_end() | {"test/per_class": totals.classes.by_class(names)}
        self.directory.finish(result)
        return result

    def _export(self, state: TrainState, result: dict[str, Any]) -> None:
        metadata = replace(self.experiment.metadata, metrics=result)
        variables = self._partitioner.all_gather(state.variables)
        if multihost.is_primary():
            with add_file_name(self.directory.export):
                saved_model.save(self.directory.export, metadata, variables)

    def _train_epoch(self, epoch: int) -> dict[str, Any]:
        """Trains the rest of an epoch and returns its record.

        Loss and accuracy cover the whole epoch. The throughput covers the steps of this process, if
        there are any.
        """
        meter = throughput.ThroughputMeter()
        for batch in meter.timed(self._train_batches(epoch), self._is_device_idle):
            if is_poll := self._train_poll.is_due():
                self._stop_if_asked(self._train_poll)
            self._train_step(batch)
            if is_poll:
                is_shown = self.display.due_at(self._step)
                decisions = (is_shown, self._is_save_due, self._is_time_over)
                shows, saves, is_over = multihost.all_max(*decisions)
                if shows:
                    self._show_progress(epoch, meter)
                if saves:
                    self._save()
                if is_over:
                    self._history.end_by_time()
                    return {}
        # On the host, because the new step is not on the devices of all processes.
        plateau = jax.device_get(self._state.plateau)
        last = self._state.replace(step=np.int32(self._step - 1), plateau=plateau)
        return {
            "epoch": epoch + 1,
            "step": self._step,
            "learning_rate": float(self._functions.learning_rate(last)),
            **with_prefix("train", self._finite_totals().averages()),
            **meter.record(),
        }

    def _train_step(self, batch: Batch) -> None:
        if batch.labels.ndim == 1:
            self._state = self._functions.train_step(self._state, batch)
            self._step += 1
        else:
            self._state = self._functions.train_steps(self._state, batch)
            self._step += len(batch.labels)
        if not self.experiment.splits.train.in_memory:
            # Queued steps would hold their images and hide how long the next batch takes.
            jax.block_until_ready(self._state.step)

    def _is_device_idle(self) -> bool:
        step: Any = self._state.step
        return step.is_ready()

    def _train_batches(self, epoch: int) -> Iterator[Batch]:
        """Yields the rest of an epoch's batches on the devices."""
        start = self._step - epoch * self.experiment.steps_per_epoch
        if self._config.optimizer.name == "levenberg_marquardt" and not start:
            samples = self.experiment.curvature_batch(epoch)
            self._state = self._functions.begin_epoch(self._state, samples)
        return self.experiment.train_batches(epoch, start, self._config.steps_per_call)

    def _evaluate_epoch(self) -> dict[str, float]:
        """Returns the validation metrics, and the test metrics in an epoch with a test."""
        splits = self.experiment.splits
        names = ["validation", "test"] if self._history.is_test_due else ["validation"]
        parts = {name: images for name in names if len(images := getattr(splits, name))}
        variables = self._precise_bn(self._state, self._stop_if_due).variables if parts else {}
        metrics: dict[str, float] = {}
        for name, images in parts.items():
            metrics |= with_prefix(name, self._evaluate(variables, images).averages())
        return metrics

    def _evaluate(self, variables: Any, images: Dataset) -> EvalTotals:
        size, partitioner = self._config.batch_size, self._partitioner
        batches = evaluation_batches(images, size, partitioner.local_rows(size))
        sharded = map(partitioner.shard_batch, batches)
        return sum_batches(self._functions.eval_step, variables, sharded, self._stop_if_due)

    def _show_progress(self, epoch: int, meter: throughput.ThroughputMeter) -> None:
        name, steps = f"{epoch + 1}/{self._config.epochs}", self.experiment.total_steps
        record = self._finite_totals().averages() | meter.record()
        self.display.training(name, self._step, steps, record)

    def _finite_totals(self) -> Totals:
        """Returns the totals of the epoch so far; raises a UserError for a loss not finite."""
        totals, bad_step = jax.device_get((self._state.totals, self._state.bad_step))
        if bad_step:
            raise self._not_finite(int(bad_step))
        return totals

    @property
    def _is_time_over(self) -> bool:
        return self._history.is_time_over(time.monotonic() - self._epoch_started_at)

    @property
    def _is_save_due(self) -> bool:
        return time.monotonic() - self._saved_at >= self._config.checkpoint.save_interval_secs

    def _save(self) -> None:
        if not is_finite(self._state):
            raise self._not_finite(int(self._state.bad_step) or self._step)
        self.directory.restore_config()
        self._checkpoints.save(self._step, self._state, self._history.records)
        self._saved_at = time.monotonic()

    def _stop_if_due(self) -> None:
        if self._eval_poll.is_due():
            self._stop_if_asked(self._eval_poll)

    def _stop_if_asked(self, decisions: poll.Poll) -> None:
        number = decisions.decide(self.interruption.signal or 0)
        if not number:
            return
        self._save()
        self._checkpoints.wait()
        stopped_by = signal.Signals(number)
        raise signals.Interrupted(
            stopped_by,
            f"stopped by {stopped_by.name} after step {self._step:,} of "
            f"{self.experiment.total_steps:,}; all of it is saved in {self.directory.path}. "
            + signals.RESUME_ADVICE,
            is_common=True,
        )

    def _not_finite(self, step: int) -> UserError:
        self._checkpoints.wait()
        epoch = (step - 1) // self.experiment.steps_per_epoch + 1
        return not_finite_error(step, epoch, self._config.schedule.lr, self._checkpoints.steps())
