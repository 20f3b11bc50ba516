"""Rules that end a run before its last epoch."""

import math
from collections.abc import Sequence

from ml_collections import ConfigDict

from flax_vision.text import counted
from flax_vision.weights.best_epoch import record_metric, score
from flax_vision.weights.run_checkpoints import History


def epochs_without_improvement(scores: Sequence[float], min_delta: float) -> int:
    """Returns the number of epochs since the last improvement.

    Args:
      scores: Number for each epoch; larger is better.
      min_delta: Difference to the best score that an improvement must exceed.
    """
    best, since = -math.inf, 0
    for number in scores:
        since += 1
        if number > best + min_delta:
            best, since = number, 0
    return since


def patience_reason(config: ConfigDict, history: History) -> str:
    """Returns the reason for early stopping after the last epoch; empty if there is none.

    The reason depends on the history alone, so a resumed run ends after the same epoch.

    Args:
      config: Section `stop` of a checked configuration.
      history: Records of the finished epochs.
    """
    if not config.patience or not history or "validation/top1" not in history[-1]:
        return ""
    metric = record_metric(history[-1]) if config.metric == "best" else config.metric
    scores = [score(record, metric) for record in history]
    since = epochs_without_improvement(scores, config.min_delta)
    if since < config.patience:
        return ""
    return f"no better {metric} for {counted(since, 'epoch')}"


def immediate_end(config: ConfigDict, history: History) -> str:
    """Returns why a continued run would end at once, with advice; empty if it would not.

    Args:
      config: Section `stop` of a checked configuration.
      history: Records of the finished epochs.
    """
    if reason := patience_reason(config, history):
        return f"{reason} would end it again at once; give a larger --config.stop.patience, or 0"
    if is_time_over(config, history, 0.0):
        return f"{time_reason(config)}; give a larger --config.stop.after_minutes, or 0"
    return ""


def time_reason(config: ConfigDict) -> str:
    """Returns the reason for early stopping at the time limit."""
    return f"{config.after_minutes:g} minutes of training are over"


def is_time_over(config: ConfigDict, history: History, seconds: float) -> bool:
    """Returns whether a run has reached its time limit, after its first epoch.

    Args:
      config: Section `stop` of a checked configuration.
      history: Records of the finished epochs, of all launches.
      seconds: Training time since the last of them, in this launch.
    """
    if not config.after_minutes or not history:
        return False
    total = sum(record["epoch_seconds"] for record in history) + seconds
    return bool(total >= 60 * config.after_minutes)
