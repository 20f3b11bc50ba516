"""Runs steps of one of our models, or products of two large matrices, on request.

    python benchmarks/worker_jax.py resnet50_v1_5 training --batch-size 16 --image-size 224

See `interleaved.serve`. GoogLeNet has no auxiliary heads.
"""

from flax_vision.runtime import environment

environment.configure_process()  # before JAX is imported

import argparse
import time

from interleaved import serve

from flax_vision.analysis.benchmark import (
    compile_step,
    create_model_and_batch,
    flops,
    matrix_product,
)

MATRIX_PRODUCT = "matrix_product"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", help=f"model, or {MATRIX_PRODUCT}")
    parser.add_argument("mode", nargs="?", choices=["training", "inference"], default="inference")
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument("--image-size", type=int)
    options = parser.parse_args()
    if options.name == MATRIX_PRODUCT:
        multiply, count = matrix_product()
        return serve(multiply, {"operations": count})
    heads = {"auxiliary_heads": False} if options.name.startswith("googlenet") else {}
    model, batch = create_model_and_batch(
        options.name, options.batch_size, options.image_size, heads
    )
    begun = time.monotonic()
    step, _ = compile_step(model, options.mode, batch)
    compiled = time.monotonic()
    step()
    about = {"operations": flops(model, options.mode, batch.images.shape)}
    return serve(step, about | {"compile_seconds": compiled - begun})


if __name__ == "__main__":
    main()
