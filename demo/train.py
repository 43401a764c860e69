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
from network import Inspector
from torch import Tensor, nn

SEED = 20261122
EPOCHS, BATCH, PEAK_RATE, WEIGHT_DECAY = 18, 64, 4e-3, 0.02
TRAINING, VALIDATION, TEST = 15_000, 1_200, 2_400


def scaled(pictures: Tensor) -> Tensor:
    """(n, 96, 96, 3) uint8 to (n, 3, 96, 96) float32 in -1..1, as model.toml's [preprocess] says."""
    return ((pictures.float() - 127.5) / 127.5).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)


def turned(pictures: Tensor, dice: torch.Generator) -> Tensor:
    """Each batch mirrored and turned by quarters at random, and each picture a little brighter or darker."""
    flips = torch.randint(0, 2, (3,), generator=dice).tolist()
    axes = [axis for axis, chosen in zip((2, 3), flips, strict=False) if chosen]
    pictures = torch.flip(pictures, axes) if axes else pictures
    pictures = pictures.transpose(2, 3) if flips[2] else pictures
    gain = 1 + 0.15 * (2 * torch.rand((len(pictures), 3, 1, 1), generator=dice) - 1)
    return (((pictures + 1) * gain).clamp(0, 2) - 1).contiguous(memory_format=torch.channels_last)


def rate(step: int, steps: int) -> float:
    """Learning rate: a short linear rise, then a cosine down to zero."""
    rise = 0.05 * steps
    return PEAK_RATE * (step / rise if step < rise else 0.5 + 0.5 * math.cos(math.pi * (step - rise) / (steps - rise)))


def accuracy(network: Inspector, pictures: Tensor, labels: Tensor) -> float:
    network.eval()
    with torch.inference_mode():
        guesses = torch.cat([network(scaled(batch)).argmax(1) for batch in pictures.split(200)])
    return float((guesses == labels).float().mean())


def train(cache: Path, epochs: int) -> Inspector:
    torch.manual_seed(SEED)
    dice = torch.Generator().manual_seed(SEED)
    pictures, labels = (torch.from_numpy(array) for array in pool.pool("train", TRAINING, cache))
    unseen, unseen_labels = (torch.from_numpy(array) for array in pool.pool("validation", VALIDATION, cache))
    network = Inspector(len(parts.LABELS)).to(memory_format=torch.channels_last)
    # Twice as fast on a CPU: the element-wise work between convolutions becomes one loop. Needs a C++ compiler.
    learner = torch.compile(network)
    optimizer = torch.optim.AdamW(network.parameters(), lr=PEAK_RATE, weight_decay=WEIGHT_DECAY)
    loss_of = nn.CrossEntropyLoss(label_smoothing=0.05)
    per_epoch = len(pictures) // BATCH
    started = time.monotonic()
    for epoch in range(epochs):
        learner.train()
        total = 0.0
        order = torch.randperm(len(pictures), generator=dice)
        for number, chosen in enumerate(order[: per_epoch * BATCH].split(BATCH)):
            for group in optimizer.param_groups:
                group["lr"] = rate(epoch * per_epoch + number, epochs * per_epoch)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                loss = loss_of(learner(turned(scaled(pictures[chosen]), dice)).float(), labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
        right = accuracy(network, unseen, unseen_labels)
        print(f"epoch {epoch + 1:2d}/{epochs}  loss {total / per_epoch:.3f}  validation {right:.4f}  "
              f"{time.monotonic() - started:.0f} s", flush=True)  # fmt: skip
        torch.save(network.state_dict(), cache / "weights-latest.pt")
    return network


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--cache", type=Path, default=Path("build/demo"), help="pictures and weights between runs")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("bundle"), help="the bundle's folder")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--threads", type=int, default=2)
    wanted = parser.parse_args()
    torch.set_num_threads(wanted.threads)
    weights = wanted.cache / f"weights-{wanted.epochs}.pt"
    if weights.exists():
        network = Inspector(len(parts.LABELS))
        network.load_state_dict(torch.load(weights, weights_only=True))
    else:
        network = train(wanted.cache, wanted.epochs)
        torch.save(network.state_dict(), weights)
    calibration, _ = pool.pool("validation", VALIDATION, wanted.cache)
    test, labels = pool.pool("test", TEST, wanted.cache)
    export.bundle(network, calibration, test, labels, pool.TEST, wanted.out)


if __name__ == "__main__":
    main()
