"""Trains the demo's network on drawn parts and writes the bundle: see README.md beside this file.

    python demo/train.py --cache build/demo --out demo/bundle

Everything that can be kept between runs (pictures, trained weights) lies in the cache folder; delete a file there
to make it anew.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path

import export
import parts
import pool
import torch
from network import CELLS, Inspector
from torch import Tensor, distributed, multiprocessing, nn

SEED = 20261122
EPOCHS, BATCH, PEAK_RATE, WEIGHT_DECAY = 20, 64, 3e-3, 0.02
TRAINING, VALIDATION, TEST = 15_000, 1_200, 2_400


def scaled(pictures: Tensor) -> Tensor:
    """(n, 96, 96, 3) uint8 to (n, 3, 96, 96) float32 in -1..1, as model.toml's [preprocess] says."""
    return ((pictures.float() - 127.5) / 127.5).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)


def turned(pictures: Tensor, maps: Tensor, dice: torch.Generator) -> tuple[Tensor, Tensor]:
    """Each batch mirrored and turned by quarters at random, and each picture a little brighter or darker."""
    flips = torch.randint(0, 2, (3,), generator=dice).tolist()
    axes = [axis for axis, chosen in zip((2, 3), flips, strict=False) if chosen]
    if axes:
        pictures, maps = pictures.flip(axes), maps.flip(axes)
    if flips[2]:
        pictures, maps = pictures.transpose(2, 3), maps.transpose(2, 3)
    gain = 1 + 0.15 * (2 * torch.rand((len(pictures), 3, 1, 1), generator=dice) - 1)
    return (((pictures + 1) * gain).clamp(0, 2) - 1).contiguous(memory_format=torch.channels_last), maps


def kinds_of_damage(maps: Tensor, labels: Tensor) -> Tensor:
    """(n, cells, cells) and labels to (n, 3, cells, cells) float: one map each for scratched, chipped, hole missing."""
    kinds = torch.arange(1, len(parts.STATES))
    mine = (labels % len(parts.STATES))[:, None] == kinds
    return maps[:, None].float() * mine[:, :, None, None]


class Lesson(nn.Module):
    """Loss of a batch: the label, and where the damage is, which the generator knows.

    Without the second part the network first learns what fills the picture and for many epochs nothing of scratches,
    which are a hundredth of it.
    """

    def __init__(self, network: Inspector) -> None:
        super().__init__()
        self.network = network
        self.label = nn.CrossEntropyLoss(label_smoothing=0.05)
        self.place = nn.BCEWithLogitsLoss(pos_weight=torch.tensor(4.0))

    def forward(self, pictures: Tensor, labels: Tensor, maps: Tensor) -> Tensor:
        label, place = self.network.explained(pictures)
        return self.label(label, labels) + 2 * self.place(place, maps)


def rate(step: int, steps: int) -> float:
    """Learning rate: a short linear rise, then a cosine down to zero."""
    rise = 0.05 * steps
    return PEAK_RATE * (step / rise if step < rise else 0.5 + 0.5 * math.cos(math.pi * (step - rise) / (steps - rise)))


def accuracy(network: Inspector, pictures: Tensor, labels: Tensor) -> float:
    network.eval()
    with torch.inference_mode():
        guesses = torch.cat([network(scaled(batch)).argmax(1) for batch in pictures.split(200)])
    return float((guesses == labels).float().mean())


def train(rank: int, workers: int, cache: Path, epochs: int) -> None:
    """One of `workers` processes of one thread each; they share every batch and average its gradients.

    Two processes lose less than two threads when others use the cores too: they wait for each other once a step.
    Leaves the weights in cache/weights.pt, and takes up an interrupted run from cache/unfinished.pt.
    """
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=f"file://{cache.resolve()}/meeting", rank=rank, world_size=workers
    )
    torch.manual_seed(SEED)
    pictures, labels = (torch.from_numpy(array) for array in pool.pool("train", TRAINING, cache))
    damage = torch.from_numpy(pool.damage_maps(TRAINING, CELLS, cache))
    unseen, unseen_labels = (torch.from_numpy(array) for array in pool.pool("validation", VALIDATION, cache))
    network = Inspector(len(parts.LABELS)).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), lr=PEAK_RATE, weight_decay=WEIGHT_DECAY)
    unfinished = cache / "unfinished.pt"
    done = 0
    if unfinished.exists():
        state = torch.load(unfinished, weights_only=True)
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        done = state["epochs"]
    learner = torch.compile(Lesson(network))
    per_epoch = len(pictures) // BATCH
    started = time.monotonic()
    for epoch in range(done, epochs):
        learner.train()
        total = 0.0
        order = torch.randperm(len(pictures), generator=torch.Generator().manual_seed(SEED + epoch))
        dice = torch.Generator().manual_seed(SEED + 1000 * (rank + 1) + epoch)
        for number, batch in enumerate(order[: per_epoch * BATCH].split(BATCH)):
            chosen = batch[rank::workers]
            for group in optimizer.param_groups:
                group["lr"] = rate(epoch * per_epoch + number, epochs * per_epoch)
            maps = kinds_of_damage(damage[chosen], labels[chosen])
            seen, maps = turned(scaled(pictures[chosen]), maps, dice)
            loss = learner(seen, labels[chosen], maps)
            optimizer.zero_grad()
            loss.backward()
            average([parameter.grad for parameter in network.parameters() if parameter.grad is not None])
            optimizer.step()
            total += loss.item()
        average([buffer for buffer in network.buffers() if buffer.is_floating_point()])
        if rank == 0:
            right = accuracy(network, unseen, unseen_labels)
            print(f"epoch {epoch + 1:2d}/{epochs}  loss {total / per_epoch:.3f}  validation {right:.4f}  "
                  f"{time.monotonic() - started:.0f} s", flush=True)  # fmt: skip
            state = {"network": network.state_dict(), "optimizer": optimizer.state_dict(), "epochs": epoch + 1}
            torch.save(state, unfinished)
    distributed.destroy_process_group()
    if rank == 0:
        torch.save(network.state_dict(), cache / "weights.pt")
        unfinished.unlink()


def average(tensors: list[Tensor]) -> None:
    """Make each tensor the mean over the processes, all in one exchange."""
    flat = torch.cat([tensor.flatten() for tensor in tensors])
    distributed.all_reduce(flat)
    flat /= distributed.get_world_size()
    for tensor, mean in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
        tensor.copy_(mean.view_as(tensor))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--cache", type=Path, default=Path("build/demo"), help="pictures and weights between runs")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("bundle"), help="the bundle's folder")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--workers", type=int, default=2, help="training processes of one thread each")
    wanted = parser.parse_args()
    torch.set_num_threads(1)
    calibration, _ = pool.pool("validation", VALIDATION, wanted.cache)
    test, labels = pool.pool("test", TEST, wanted.cache)
    pool.pool("train", TRAINING, wanted.cache)
    pool.damage_maps(TRAINING, CELLS, wanted.cache)
    weights = wanted.cache / "weights.pt"
    if not weights.exists():
        (wanted.cache / "meeting").unlink(missing_ok=True)
        multiprocessing.spawn(train, (wanted.workers, wanted.cache, wanted.epochs), wanted.workers)
    network = Inspector(len(parts.LABELS))
    network.load_state_dict(torch.load(weights, weights_only=True))
    export.bundle(network, calibration, test, labels, pool.TEST, wanted.out)


if __name__ == "__main__":
    main()
