"""Runs of Python programs in a process of their own."""

import os
import subprocess
import sys


def run_program(program, *arguments, **environment):
    """Runs a Python program on a CPU, without the settings of this process.

    Args:
      program: Source code.
      *arguments: Command-line arguments.
      **environment: Additional environment variables.

    Returns:
      Its standard output and its standard error.
    """
    others = ("JAX_", "GLIBC_", "LD_", "FLAX_VISION_")
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(others)}
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env={**inherited, "JAX_PLATFORMS": "cpu", **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout, done.stderr
