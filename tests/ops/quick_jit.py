from functools import partial

import jax

# For functions that run once: optimizing them takes longer than it saves.
quick_jit = partial(
    jax.jit,
    compiler_options={
        "xla_backend_optimization_level": 0,
        "xla_llvm_disable_expensive_passes": True,
    },
)
