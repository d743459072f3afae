#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The speed of dtrain's network in PyTorch's DistributedDataParallel over gloo, one process a rank.

Started once a rank, on one host or several, by mpirun, srun or torchrun, whose variables tell it its rank; or by
hand with --rank and --ranks. Rank 0 prints one JSON line. --batch is the global batch. Batch normalisation takes
each rank's own part, since PyTorch has no synchronised form on the CPU.
"""

import datetime
import os
import pathlib
import sys

import measure
import torch
import torch_step

# Rank, number of ranks, rank on the host: as torchrun, Open MPI and Slurm call them.
VARIABLES = (
    ("RANK", "WORLD_SIZE", "LOCAL_RANK"),
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"),
    ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID"),
)
PATIENCE = datetime.timedelta(seconds=120)


def place_of(options):
    """Returns rank, number of ranks and rank on this host; None where neither options nor launcher say it."""
    if options.rank is not None and options.ranks is not None:
        return options.rank, options.ranks, options.rank if options.local_rank is None else options.local_rank
    for names in VARIABLES:
        if all(name in os.environ for name in names):
            return tuple(int(os.environ[name]) for name in names)
    return None


def sent_bytes(interface):
    """Returns what the interface has sent so far; None without one."""
    if not interface:
        return None
    return int(pathlib.Path(f"/sys/class/net/{interface}/statistics/tx_bytes").read_text())


def run(options, rank, local_rank):
    """Measures as rank `rank`; rank 0 reports."""
    measure.confine(options.threads, local_rank * options.threads)
    torch.set_num_threads(options.threads)
    torch.set_num_interop_threads(1)
    torch.distributed.init_process_group(
        "gloo", f"tcp://{options.master}", rank=rank, world_size=options.ranks, timeout=PATIENCE
    )
    before = sent_bytes(options.interface)
    seconds, parameters = torch_step.measured(options, options.batch // options.ranks)
    after = sent_bytes(options.interface)
    torch.distributed.barrier()
    if rank == 0:
        more = {"ranks": options.ranks, "parameters": parameters, "version": torch.__version__}
        more["isa"] = torch.backends.cpu.get_cpu_capability()
        if before is not None:
            # Everything on the interface: on a host of its own, the traffic of this rank.
            more["bytes_sent_a_step"] = round((after - before) / (options.steps + options.warmup))
        measure.report(options, seconds, framework="PyTorch DDP", **more)
    torch.distributed.destroy_process_group()


def options_of_call():
    parser = measure.parser(__doc__, torch_step.VARIANTS, torch_step.NORMS)
    parser.set_defaults(threads=1)
    parser.add_argument("--rank", type=int, help="of this process (default: as the launcher says)")
    parser.add_argument("--ranks", type=measure.positive, help="processes in all (default: as the launcher says)")
    parser.add_argument("--local-rank", type=int, help="among the ranks of this host (default: --rank)")
    parser.add_argument("--master", default="127.0.0.1:29511", help="address and port of rank 0 (default: %(default)s)")
    parser.add_argument(
        "--interface", help="network interface for gloo; its bytes are counted (default: gloo chooses, nothing counted)"
    )
    options = parser.parse_args()
    place = place_of(options)
    if place is None:
        parser.error("no rank: start it with mpirun, srun or torchrun, or say --rank and --ranks")
    rank, options.ranks, local_rank = place
    if not 0 <= rank < options.ranks:
        parser.error(f"rank {rank} is not below {options.ranks}")
    if options.mode != "train":
        parser.error("only training steps need other ranks")
    if options.batch % options.ranks:
        parser.error(f"a batch of {options.batch} does not split over {options.ranks} ranks")
    if options.interface and not pathlib.Path("/sys/class/net", options.interface).exists():
        parser.error(f"there is no network interface {options.interface}")
    return options, rank, local_rank


def main():
    options, rank, local_rank = options_of_call()
    if options.interface:
        os.environ["GLOO_SOCKET_IFNAME"] = options.interface
    try:
        run(options, rank, local_rank)
    except RuntimeError as error:
        sys.exit(f"ddp_torch.py: rank {rank}: {str(error).splitlines()[0]}")


if __name__ == "__main__":
    main()
