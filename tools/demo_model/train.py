#!/usr/bin/env python3
"""Trains the network, on a GPU where there is one and on the CPU otherwise.

    python train.py --minutes 140                                   # goes on from a checkpoint if there is one
    python train.py --data . --out . --size large --minutes 25      # a GPU machine: this folder and pictures.* are all it needs

Writes `checkpoint.pt` every minute, whole or not at all, and a line of `train.log` every `--log-every` seconds.
"""

import argparse
import contextlib
import copy
import datetime
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F

import model
from augment import Sampler

CHECKPOINT_SECONDS = 60
WARMUP_STEPS = 200
# The average reaches back over about a tenth of all pictures seen, however many that are.
EMA_POWER = 10
# Loss weight min(1/noise², this).
HEAVIEST = 6.0
# Of --agree: places per drawing, the softmax's temperature, and how wide the right answer is, in halves of a side.
POINTS = 32
TEMPERATURE = 0.07
WIDTH = 0.06
STOP = False


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cache = pathlib.Path.home() / ".cache/featscope-demo"
    parser.add_argument("--data", type=pathlib.Path, default=cache, help="folder of pictures.npz and pictures.json")
    parser.add_argument("--out", type=pathlib.Path, default=cache / "run", help="folder of checkpoint.pt and train.log")
    parser.add_argument("--size", choices=model.SIZES, help="of the network (small on a CPU, large on a GPU)")
    parser.add_argument("--start", type=pathlib.Path, help="folder of config.json and model.safetensors to begin with")
    parser.add_argument("--start-pictures", type=int, default=0, help="pictures that start has seen, for the count")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop after this long, counted from the start")
    parser.add_argument("--pictures", type=int, default=None, help="stop when this many have been seen in all")
    parser.add_argument("--decay", type=float, default=0.0, help="let the rate fall to 0 over this last share of the limit")
    parser.add_argument("--fresh", action="store_true", help="do not go on from checkpoint.pt")
    parser.add_argument("--rate", type=float, help="learning rate")
    parser.add_argument("--batch", type=int, help="pictures per step, over all processes")
    parser.add_argument("--processes", type=int, help="on the CPU, of one thread each")
    parser.add_argument("--agree", type=float, default=0.0, help="weight of the agreement of two views (see README.md)")
    parser.add_argument("--agree-block", type=int, default=11, help="the block b1, b2, … whose output shall agree")
    parser.add_argument("--log-every", type=float, default=60)
    parser.add_argument("--rank", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--meeting", type=pathlib.Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def open_pictures(folder, device):
    index = json.loads((folder / "pictures.json").read_text())
    chosen = [number for number, entry in enumerate(index) if entry["split"] == "train"]
    with np.load(folder / "pictures.npz") as archive:
        pictures = archive["pictures"][chosen]
    return Sampler(torch.from_numpy(pictures).to(device), [index[number] for number in chosen])


def denoising_loss(net, x, t, abar, wanted=()):
    """The loss, the error of each picture, and the outputs of the `wanted` blocks."""
    signal_share, noise_share = abar[t].sqrt()[:, None, None, None], (1 - abar[t]).sqrt()[:, None, None, None]
    predicted, found = net(signal_share * x + noise_share * torch.randn_like(x), t, wanted)
    error = (predicted.float() - x).square().mean((1, 2, 3))
    return (error * (1 / (1 - abar[t])).clamp(max=HEAVIEST)).mean(), error.detach(), found


def agreement_loss(maps, places, weight):
    """How badly each place of a first view (m, C, h, w) is found in the second among all positions, and the other way.

    `maps` holds first the m first views and then the m second ones; `weight`: of each picture."""
    m = places.shape[1]
    maps = F.normalize(maps[: 2 * m].float(), dim=1)
    height, width = maps.shape[-2:]
    x = (torch.arange(width, device=maps.device) + 0.5) / width * 2 - 1
    y = (torch.arange(height, device=maps.device) + 0.5) / height * 2 - 1
    positions = torch.stack(torch.broadcast_tensors(x[None, :], y[:, None]), -1).reshape(-1, 2)
    places = places.flatten(0, 1)
    other = places.roll(m, 0)
    wanted = F.normalize(F.grid_sample(maps, places[:, None], align_corners=False)[:, :, 0], dim=1)
    likeness = wanted.mT @ maps.roll(m, 0).flatten(2) / TEMPERATURE
    right = (-torch.cdist(other, positions).square() / (2 * WIDTH**2)).softmax(-1)
    missed = -(right * likeness.log_softmax(-1)).sum(-1)
    visible = ((places.abs() < 1) & (other.abs() < 1)).all(-1)
    weight = visible * (weight[: 2 * m] * weight[: 2 * m].roll(m, 0))[:, None]
    return (missed * weight).sum() / weight.sum().clamp(min=1e-6)


def save(path, state):
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    os.replace(partial, path)


def sum_gradients(net, world):
    grads = [parameter.grad for parameter in net.parameters()]
    flat = torch._utils._flatten_dense_tensors(grads)
    dist.all_reduce(flat)
    flat /= world
    for grad, whole in zip(grads, torch._utils._unflatten_dense_tensors(flat, grads)):
        grad.copy_(whole)


def agreed(stop, world):
    """Whether process 0 wants to stop; the others follow."""
    if world == 1:
        return stop
    flag = torch.tensor([float(stop)])
    dist.broadcast(flag, 0)
    return bool(flag.item())


def train(rank, world, args):
    begun = time.monotonic()
    cuda = torch.cuda.is_available()
    device = torch.device("cuda" if cuda else "cpu")
    if cuda:
        torch.backends.cudnn.benchmark = True
        torch.set_float32_matmul_precision("high")
    else:
        torch.set_num_threads(1)
    if world > 1:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
        # A process that is paused for hours is not lost.
        patience = datetime.timedelta(days=1)
        meeting = f"file://{args.meeting.resolve()}"
        dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=world, timeout=patience)
    signal.signal(signal.SIGTERM, stop_soon)
    signal.signal(signal.SIGINT, stop_soon)
    size = args.size or ("large" if cuda else "small")
    share = (args.batch or (512 if cuda else 32)) // world
    rate = args.rate or 1e-3
    abar = model.abar_table().to(device)

    path = args.out / "checkpoint.pt"
    state = None
    if path.exists() and not args.fresh:
        state = torch.load(path, map_location=device, weights_only=True)
    torch.manual_seed(rank + 1000 * (state["steps"] if state else 0))
    if state:
        config = state["config"]
    elif args.start:
        config = json.loads((args.start / "config.json").read_text())
    else:
        config = model.SIZES[size]
    net = model.Adm(config).to(device)
    if args.start and not state:
        net.load_state_dict(model.load(args.start).state_dict())
    if cuda:
        net = net.to(memory_format=torch.channels_last)
    elif world > 1 and not state and not args.start:
        for parameter in net.parameters():
            dist.broadcast(parameter.data, 0)
    average = copy.deepcopy(net)
    optimizer = torch.optim.AdamW(net.parameters(), lr=rate, betas=(0.9, 0.99), weight_decay=0.01, fused=cuda)
    steps = seconds = 0
    pictures = args.start_pictures
    if state:
        net.load_state_dict(state["net"])
        average.load_state_dict(state["ema"])
        optimizer.load_state_dict(state["optimizer"])
        steps, pictures, seconds = state["steps"], state["pictures"], state["seconds"]
    first_step, first_pictures = steps, pictures
    sampler = open_pictures(args.data, device)
    run = net
    if cuda:
        torch._dynamo.config.suppress_errors = True
        run = torch.compile(net)
    cast = torch.autocast("cuda", torch.bfloat16) if cuda else contextlib.nullcontext()

    def elapsed():
        return time.monotonic() - begun

    def spent():
        """How much of the limit is used up, from 0 to 1."""
        by_pictures = 0.0
        if args.pictures:
            by_pictures = (pictures - first_pictures) / max(1, args.pictures - first_pictures)
        return max(elapsed() / (60 * args.minutes), by_pictures)

    def checkpoint():
        save(
            path,
            {
                "config": config,
                "net": net.state_dict(),
                "ema": average.state_dict(),
                "optimizer": optimizer.state_dict(),
                "steps": steps,
                "pictures": pictures,
                "seconds": seconds + elapsed(),
            },
        )

    log = open(args.out / "train.log", "a", buffering=1) if rank == 0 else None

    def say(line):
        print(line, flush=True)
        log.write(line + "\n")

    if rank == 0:
        millions = sum(parameter.numel() for parameter in net.parameters()) / 1e6
        say(f"{device}, {world} processes, {millions:.2f} M parameters, {pictures} pictures seen so far")
    saved = logged = time.monotonic()
    logged_pictures, losses, bands, aparts = pictures, [], [], []
    while not agreed(STOP or spent() >= 1, world):
        now = spent()
        warm = min(1.0, (steps - first_step + 1) / WARMUP_STEPS)
        fall = min(1.0, (1 - now) / args.decay) if args.decay else 1.0
        for group in optimizer.param_groups:
            group["lr"] = rate * warm * fall
        x, places = sampler.batch(share, POINTS) if args.agree else (sampler.batch(share), None)
        if cuda:
            x = x.contiguous(memory_format=torch.channels_last)
        # One t in each of as many equal parts of the range as there are pictures.
        part = torch.randperm(share, device=device) * world + rank
        t = ((part + torch.rand(share, device=device)) / (share * world) * len(abar)).long()
        with cast:
            loss, error, found = denoising_loss(run, x, t, abar, (args.agree_block,) if args.agree else ())
        if args.agree:
            apart = agreement_loss(found[0], places, abar[t])
            loss = loss + args.agree * apart
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if world > 1:
            sum_gradients(net, world)
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        steps += 1
        pictures += share * world
        # (1 − 1/n)^power in pictures, never below what a fresh start needs.
        keep = min(1 - EMA_POWER * share * world / pictures, (1 + steps) / (10 + steps))
        with torch.no_grad():
            torch._foreach_lerp_(list(average.parameters()), list(net.parameters()), 1 - max(0.0, keep))
        if rank == 0:
            losses.append(loss.detach())
            if args.agree:
                aparts.append(apart.detach())
            quarters = F.one_hot(t // 250, 4)
            bands.append((error[:, None] * quarters).sum(0) / quarters.sum(0))
            if time.monotonic() - logged >= args.log_every:
                pace = (pictures - logged_pictures) / (time.monotonic() - logged)
                views = f"agreement {torch.stack(aparts).mean().item():.3f}, " if aparts else ""
                by_band = " ".join(f"{value:.4f}" for value in torch.stack(bands).nanmean(0).tolist())
                say(
                    f"{elapsed() / 60:.1f} min, {pictures} pictures, {pace:.1f}/s, loss {torch.stack(losses).mean().item():.4f}, "
                    f"{views}error by quarter of t {by_band}, rate {optimizer.param_groups[0]['lr']:.2e}"
                )
                logged, logged_pictures, losses, bands, aparts = time.monotonic(), pictures, [], [], []
            if time.monotonic() - saved >= CHECKPOINT_SECONDS:
                checkpoint()
                saved = time.monotonic()
    if rank == 0:
        checkpoint()
        say(f"stopped after {elapsed() / 60:.1f} min at {pictures} pictures")
    if world > 1:
        dist.destroy_process_group()


def stop_soon(*_):
    global STOP
    STOP = True


def main():
    args = arguments()
    args.out.mkdir(parents=True, exist_ok=True)
    world = 1 if torch.cuda.is_available() else (args.processes or min(2, os.cpu_count() or 1))
    if args.rank:
        train(args.rank, world, args)
        return
    args.meeting = args.out / f"meeting-{os.getpid()}"
    # The others are this command with a rank.
    more = [sys.executable, *sys.argv, "--meeting", args.meeting, "--rank"]
    others = [subprocess.Popen([*more, str(rank)]) for rank in range(1, world)]
    try:
        train(0, world, args)
        for other in others:
            other.wait()
    finally:
        for other in others:
            other.kill()
        args.meeting.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
