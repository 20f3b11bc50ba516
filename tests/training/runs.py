"""Helpers for tests of whole runs."""

import json
import os
import signal

from flax_vision.training.progress import TrainingObserver
from flax_vision.training.step import TrainFunctions


class LineRecorder(TrainingObserver):
    """An observer that keeps the lines about a run."""

    def __init__(self):
        self.text = ""

    def line(self, text):
        self.text += f"{text}\n"


def read_metrics(workdir):
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def stop_at(monkeypatch, step: int, number: signal.Signals = signal.SIGTERM) -> None:
    """Sends this process a signal in the middle of a step."""
    compile_steps = TrainFunctions.compile

    def compile_and_count(self):
        compile_steps(self)
        train_step = self.train_step

        def counted(state, batch):
            if int(state.step) == step - 1:
                os.kill(os.getpid(), number)
            return train_step(state, batch)

        self.train_step = counted

    monkeypatch.setattr(TrainFunctions, "compile", compile_and_count)
