"""The limit on the files that this process may have open."""

import resource

from flax_vision.errors import UserError

_OTHERS = 256
"""Other open files: libraries, checkpoints and connections."""

_DATASETS = 4
"""Open readers of one dataset, such as one for each member of an ensemble."""


def allow_open_files(count: int, owner: str) -> None:
    """Raises the limit on open files of this process (`ulimit -n`), if it is too low.

    Args:
      count: Number of files that will be open at once.
      owner: Owner of these files, for messages.

    Raises:
      UserError: The system does not permit so many.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = count + _OTHERS
    if _is_enough(soft, _DATASETS * needed):
        return
    if not _is_enough(hard, needed):
        raise UserError(
            f"{owner} has {count:,} files, and this process may open only {hard:,} at once; raise "
            f"the hard limit (`ulimit -Hn`) to {needed:,} or more, as the administrator of the "
            "machine or of the container."
        )
    limit = _DATASETS * needed
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit if _is_enough(hard, limit) else hard, hard))


def _is_enough(limit: int, count: int) -> bool:
    return limit == resource.RLIM_INFINITY or limit >= count
