"""Where the choice between the plain and the fast forms is made."""

import jax


def prefers_fast_forms() -> bool:
    """Whether the default backend is one on which the fast forms are the faster ones: a CPU."""
    return jax.default_backend() == "cpu"
