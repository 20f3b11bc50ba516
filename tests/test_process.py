import subprocess
import sys

import jax
import pytest


@pytest.mark.parametrize(
    ("before", "devices"),
    [("import jax", len(jax.devices())), ("import flax_vision.cli", 3)],
)
def test_devices_are_emulated_unless_jax_is_there_already(before, devices):
    program = (
        f"{before}\nfrom flax_vision import process; process.emulate_devices(3)\n"
        "import jax; print(len(jax.devices()), jax.default_backend())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"{devices} cpu\n"
