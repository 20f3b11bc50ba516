"""The networks and programs of the parity tests are compiled as users compile them."""

import pytest


@pytest.fixture(scope="module", autouse=True)
def _as_programs_do(full_optimization: None) -> None:
    del full_optimization
