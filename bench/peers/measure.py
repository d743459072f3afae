# SPDX-License-Identifier: BSD-3-Clause
"""What torch_step.py and keras_step.py share: their options, the clock, and the JSON line they print."""

import argparse
import json
import math
import os
import resource
import time

# Direct counting of the network in docs/architecture.md: a multiply-add is two operations, and conv1
# needs no gradient for its input. The same figures stand behind build/bench/step.
GFLOP_AN_IMAGE = {"train": 1.389, "infer": 0.4672}

CONVOLUTIONS = (  # filters, kernel edge, pooled afterwards
    (64, 11, True),
    (192, 5, True),
    (384, 3, False),
    (384, 3, False),
    (256, 3, True),
)
ROWS_AFTER = (14, 7, 7, 7, 3)
HIDDEN = 4096
CLASSES = 10
EDGE = 28
DROPOUT = 0.5
ADAM = {"lr": 1e-3, "eps": 1e-8}
MOMENTUM = 0.99
EPSILON = 1e-3


def positive(text):
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1: {text}")
    return value


def parser(description, variants, norms):
    """Returns the options that every program here has."""
    options = argparse.ArgumentParser(description=description)
    options.add_argument("--batch", type=positive, default=64, help="images of a step (default: 64)")
    options.add_argument(
        "--threads", type=positive, default=os.cpu_count(), help="threads of a rank (default: all cores)"
    )
    options.add_argument("--steps", type=positive, default=10, help="timed steps (default: 10)")
    options.add_argument("--warmup", type=int, default=3, help="steps before them (default: 3)")
    options.add_argument("--mode", choices=("train", "infer"), default="train")
    options.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    options.add_argument("--variant", choices=variants, default=variants[0])
    options.add_argument("--norm", choices=norms, default=norms[0], help="axis and form of batch normalisation")
    return options


def confine(threads, first=0):
    """Binds the process to `threads` of its cores, from number `first` on.

    XLA takes the number of its threads from there and from nowhere else.
    """
    cores = sorted(os.sched_getaffinity(0))
    chosen = [cores[(first + i) % len(cores)] for i in range(threads)]
    os.sched_setaffinity(0, chosen)


def seconds_a_step(step, finish, steps, warmup):
    """Returns the mean time of `steps` calls of step(); finish() waits for all of them and returns the last loss."""
    for _ in range(warmup):
        step()
    if warmup:
        finish()
    start = time.perf_counter()
    for _ in range(steps):
        step()
    value = finish()
    seconds = (time.perf_counter() - start) / steps
    if not math.isfinite(value):
        raise SystemExit(f"the result is not finite: {value}")
    return seconds


def report(options, seconds, **more):
    """Prints the measurement as one JSON line."""
    images = options.batch / seconds
    line = {
        "images_per_s": round(images, 2),
        "seconds_a_step": round(seconds, 5),
        "gflops": round(images * GFLOP_AN_IMAGE[options.mode], 2),
        "batch": options.batch,
        "threads": options.threads,
        "mode": options.mode,
        "precision": options.precision,
        "variant": options.variant,
        "norm": options.norm,
        "memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6),
    }
    print(json.dumps({**line, **more}), flush=True)
