from collections.abc import Iterator

import jax
import pytest


@pytest.fixture
def quick_generator() -> Iterator[None]:
    """Random numbers of a generator that compiles at once.

    The default one takes most of the time that an initialisation takes to compile.
    """
    with jax.default_prng_impl("unsafe_rbg"):
        yield
