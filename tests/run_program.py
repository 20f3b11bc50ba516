import os
import subprocess
import sys


def run_program(program, *arguments, **environment):
    """Runs a program of Python on a CPU, without the settings that this process may have.

    Returns what it printed, and what it warned of.
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
