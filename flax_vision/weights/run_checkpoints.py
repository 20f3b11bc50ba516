"""The checkpoints of a run, read by other programs than its trainer; nothing is written."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import orbax.checkpoint as ocp
from flax.traverse_util import flatten_dict, unflatten_dict

from flax_vision.checkpoints import Damaged, History, check_files

_VARIABLES = ("params", "statistics", "average")
"""Parts of the saved state that the model consists of."""


class Checkpoint(NamedTuple):
    """An undamaged checkpoint of a run.

    Attributes:
      folder: Its directory.
      step: Its training step.
      history: Records of the epochs before it.
    """

    folder: Path
    step: int
    history: History


class UsableCheckpoints(NamedTuple):
    """The checkpoints of a run that can be used.

    Attributes:
      newest: The newest checkpoint.
      best: The best finished epoch's checkpoint; the newest where no finished epoch has one.
      damaged: A text for each checkpoint that was passed over.
    """

    newest: Checkpoint
    best: Checkpoint
    damaged: list[str]


def epoch_rank(record: Mapping[str, Any]) -> tuple[float, ...]:
    """Orders epochs by validation accuracy, then loss; without validation the latest is best."""
    if "validation/top1" not in record:
        return (record["epoch"],)
    return record["validation/top1"], -record["validation/loss"]


def saved_steps(run: Path) -> list[int]:
    """Returns the steps of the checkpoints in a run directory, oldest first."""
    names = [folder.name for folder in (run / "checkpoints").glob("*") if folder.is_dir()]
    return sorted(int(name) for name in names if name.isdecimal())


def find_checkpoints(run: Path) -> UsableCheckpoints | None:
    """Returns the newest and the best checkpoint of a run; None where none can be used."""
    damaged: list[str] = []
    newest = _first_undamaged(run, saved_steps(run)[::-1], damaged)
    if newest is None:
        return None
    ranked = sorted(newest.history, key=epoch_rank, reverse=True)
    saved = set(saved_steps(run))
    best = _first_undamaged(run, [x["step"] for x in ranked if x["step"] in saved], damaged)
    return UsableCheckpoints(newest, best or newest, damaged)


def load_variables(checkpoint: Checkpoint) -> dict[str, Any]:
    """Returns the variables that are tested and exported, on the first device.

    Only these are read, whichever devices had them when they were saved.
    """
    handler, folder = ocp.PyTreeCheckpointHandler(), checkpoint.folder / "state"
    saved = handler.metadata(folder).tree
    device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    abstract = jax.tree.map(
        lambda array: jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=device),
        {name: saved[name] for name in _VARIABLES if saved.get(name) is not None},
    )
    arguments = ocp.args.PyTreeRestore(
        abstract,
        restore_args=ocp.checkpoint_utils.construct_restore_args(abstract),
        partial_restore=True,
    )
    state = handler.restore(folder, args=arguments)
    params = flatten_dict(state["params"]) | flatten_dict(state.get("average", {}))
    return {"params": unflatten_dict(params), **state["statistics"]}


def _first_undamaged(run: Path, steps: list[int], damaged: list[str]) -> Checkpoint | None:
    """Returns the first checkpoint that is not damaged, and adds a text for each before it."""
    for step in steps:
        folder = run.absolute() / "checkpoints" / str(step)
        try:
            check_files(folder)
            history = ocp.JsonCheckpointHandler().restore(folder / "history")
        except Exception as error:  # Orbax raises anything for damaged files
            if (text := str(Damaged(step, error))) not in damaged:
                damaged.append(text)
        else:
            return Checkpoint(folder, step, history)
    return None
