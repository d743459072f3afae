#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The speed of dtrain's network in PyTorch on the CPU: whole training steps, or forward passes."""

import contextlib
import os
import socket

import measure
import torch
from torch import nn
from torch.nn import functional

VARIANTS = ("channels_last", "eager", "compile", "autotune")
NORMS = ("rows", "rows_direct", "channels")


class RowNorm(nn.Module):
    """Batch normalisation with the statistics of each image row, as the seed has it.

    PyTorch's kernel normalises the second dimension; a channels-last tensor seen as N, H, W, C is
    contiguous with the rows there, so that nothing is copied.
    """

    def __init__(self, rows, channels_last):
        super().__init__()
        self.norm = nn.BatchNorm2d(rows, eps=measure.EPSILON, momentum=1 - measure.MOMENTUM)
        self.there, self.back = ((0, 2, 3, 1), (0, 3, 1, 2)) if channels_last else ((0, 2, 1, 3),) * 2

    def forward(self, x):
        return self.norm(x.permute(self.there)).permute(self.back)


class DirectRowNorm(nn.Module):
    """The same from elementary operations, which the compiler can fuse."""

    def __init__(self, rows):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(rows, 1))
        self.bias = nn.Parameter(torch.zeros(rows, 1))
        self.register_buffer("running_mean", torch.zeros(rows, 1))
        self.register_buffer("running_var", torch.ones(rows, 1))

    def statistics(self, x):
        if not self.training:
            return self.running_var, self.running_mean
        variance, mean = torch.var_mean(x.float(), dim=(0, 1, 3), correction=0)
        variance, mean = variance[:, None], mean[:, None]
        with torch.no_grad():
            self.running_mean.lerp_(mean, 1 - measure.MOMENTUM)
            self.running_var.lerp_(variance, 1 - measure.MOMENTUM)
        return variance, mean

    def forward(self, x):
        variance, mean = self.statistics(x)
        scale = self.weight * torch.rsqrt(variance + measure.EPSILON)
        return (x * scale + (self.bias - mean * scale)).to(x.dtype)


def norm(options, rows, channels):
    if options.norm == "rows":
        return RowNorm(rows, options.variant != "eager")
    if options.norm == "rows_direct":
        return DirectRowNorm(rows)
    return nn.BatchNorm2d(channels, eps=measure.EPSILON, momentum=1 - measure.MOMENTUM)


def network(options):
    """Returns the network as a module; its last layer gives logits."""
    layers = []
    depth = 1
    for (filters, edge, pooled), rows in zip(measure.CONVOLUTIONS, measure.ROWS_AFTER):
        layers += [nn.Conv2d(depth, filters, edge, padding="same"), nn.ReLU(inplace=True)]
        layers += [nn.AvgPool2d(2)] if pooled else []
        layers += [norm(options, rows, filters)]
        depth = filters
    layers += [nn.Flatten()]
    width = depth * measure.ROWS_AFTER[-1] ** 2
    for _ in range(2):
        layers += [nn.Linear(width, measure.HIDDEN), nn.ReLU(inplace=True), nn.Dropout(measure.DROPOUT)]
        width = measure.HIDDEN
    return nn.Sequential(*layers, nn.Linear(width, measure.CLASSES))


def prepared(options):
    """Returns the network in the variant's memory layout, and the function to call for a forward pass."""
    module = network(options).train(options.mode == "train")
    if options.variant != "eager":
        module = module.to(memory_format=torch.channels_last)
    if options.ranks > 1:
        module = nn.parallel.DistributedDataParallel(module, gradient_as_bucket_view=True)
    if options.variant not in ("compile", "autotune"):
        return module, module
    import torch._inductor.config as inductor

    # Freezing packs the weights for oneDNN once; it applies to inference alone.
    inductor.freezing = options.mode == "infer"
    mode = "max-autotune-no-cudagraphs" if options.variant == "autotune" else "default"
    return module, torch.compile(module, mode=mode)


def autocast(options):
    if options.precision == "bf16":
        return torch.autocast("cpu", dtype=torch.bfloat16)
    return contextlib.nullcontext()


def training_step(options, module, forward, images, labels):
    """Returns a function that takes one whole step and returns its loss."""
    optimizer = torch.optim.Adam(module.parameters(), fused=options.variant != "eager", **measure.ADAM)

    def step():
        optimizer.zero_grad(set_to_none=True)
        with autocast(options):
            loss = functional.cross_entropy(forward(images), labels)
        loss.backward()
        optimizer.step()
        return loss

    return step


def inference_step(options, forward, images):
    """Returns a function that does one forward pass and returns the sum of its output."""
    # A frozen graph is made under no_grad; inference_mode would switch freezing off.
    free_of_gradients = torch.no_grad if options.variant in ("compile", "autotune") else torch.inference_mode

    def step():
        with free_of_gradients(), autocast(options):
            return forward(images)

    return step


def measured(options, batch):
    """Returns the seconds of a step on `batch` images, and the number of parameters."""
    torch.manual_seed(1)
    module, forward = prepared(options)
    images = torch.rand(batch, 1, measure.EDGE, measure.EDGE)
    labels = torch.randint(measure.CLASSES, (batch,))
    if options.mode == "train":
        step = training_step(options, module, forward, images, labels)
    else:
        step = inference_step(options, forward, images)
    last = [torch.zeros(())]

    def kept():
        last[0] = step()

    seconds = measure.seconds_a_step(kept, lambda: last[0].sum().item(), options.steps, options.warmup)
    return seconds, sum(parameter.numel() for parameter in module.parameters())


def run(rank, options, port):
    """Measures as rank `rank`; rank 0 reports."""
    measure.confine(options.threads, rank * options.threads)
    torch.set_num_threads(options.threads)
    torch.set_num_interop_threads(1)
    if options.ranks > 1:
        rendezvous = f"tcp://127.0.0.1:{port}"
        torch.distributed.init_process_group("gloo", rendezvous, rank=rank, world_size=options.ranks)
    seconds, parameters = measured(options, options.batch // options.ranks)
    if rank == 0:
        isa = torch.backends.cpu.get_cpu_capability()
        more = {"ranks": options.ranks, "parameters": parameters, "isa": isa, "version": torch.__version__}
        measure.report(options, seconds, framework="PyTorch", **more)
    if options.ranks > 1:
        torch.distributed.destroy_process_group()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def main():
    parser = measure.parser(__doc__, VARIANTS, NORMS)
    parser.add_argument(
        "--ranks", type=measure.positive, default=1, help="processes, DistributedDataParallel over gloo (default: 1)"
    )
    options = parser.parse_args()
    if options.batch % options.ranks:
        parser.error(f"a batch of {options.batch} does not split over {options.ranks} ranks")
    if options.ranks == 1:
        run(0, options, None)
        return
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    torch.multiprocessing.spawn(run, (options, free_port()), nprocs=options.ranks)


if __name__ == "__main__":
    main()
