"""Time a training step and inference of WS-3DVG (Group-Free 3D) beside the published composition.

    python tests/benchmarks/ws3dvg.py [--threads 1] [--rounds 3] [--points 40000] [--only training]

Training: 2 scenes with 8 sentences each, the joint loss, backward and AdamW. Inference: 16 sentences about one scene;
ours encodes the scene once and reads all sentences in one batch, published code runs everything for each sentence. The
published composition (tests/support/plain_ws3dvg.py, with the detector of tests/support/plain_detectors.py) has the
same weights: three readings of the sentences, one pass of the teacher for each of the 8 candidates, logits of 3235
words at every position, kept in one tensor. Sentences have about 20 words, as ScanRefer's have.

Variants take turns in every round; ratios are medians over rounds. CPU seconds count all threads and are the fairer
figure on a busy machine. Peak memory is the resident memory of a process of its own that makes two steps, with the
figure of its libraries before it has a network or a batch as `start`. The bound is the operation
count of matrix products over the speed of a large one, measured in the same run.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parents[1]))

from detectors import gemm_speed, measure, room  # the benchmark beside this file
from support.plain_ws3dvg import PlainWS3DVG

from g3d.systems.ws3dvg.answers import answers, student_scores
from g3d.systems.ws3dvg.losses import Truth, losses
from g3d.systems.ws3dvg.model import WS3DVG, Sentences
from g3d.systems.ws3dvg.model_config import AblationConfig, LossConfig, ModelConfig

CONFIG = ModelConfig(vocabulary=3235)
VARIANTS = ("published", "ours")


def network(variant: str) -> WS3DVG | PlainWS3DVG:
    """The network in training mode; both variants have the same weights."""
    torch.manual_seed(0)
    ours = WS3DVG(CONFIG).train()
    return ours if variant == "ours" else PlainWS3DVG(ours)


def clouds(points: int, scenes: int) -> tuple[Tensor, Tensor]:
    """Points (B, N, 3) and image features (B, N, 128)."""
    return room(points, scenes), torch.randn(scenes, points, CONFIG.view_features)


def sentences(scenes: int, count: int) -> Sentences:
    """Sentences of 6 to 45 words, 20 in the mean, of which a fifth are keywords."""
    g = torch.Generator().manual_seed(0)
    lengths = (20 + 8 * torch.randn(scenes, count, generator=g)).long().clamp(6, 45)
    shape = (scenes, count, int(lengths.max()))
    inside = torch.arange(shape[2]) < lengths[..., None]
    mask = torch.where(inside, (torch.rand(shape, generator=g) < 0.2).long(), 2)
    vectors = torch.randn(*shape, CONFIG.word_channels, generator=g) * inside[..., None]
    ids = torch.randint(4, CONFIG.vocabulary, shape, generator=g) * inside
    return Sentences(vectors, lengths, torch.full((scenes,), count), ids, mask, vectors[0, 0, 0])


def step_of(variant: str, points: int, epoch: int) -> Callable[[], object]:
    """Return a training step of 2 scenes with 8 sentences each."""
    model = network(variant)
    given, (xyz, views) = sentences(2, 8), clouds(points, 2)
    classes = torch.arange(16).view(2, 8)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, 1e-4, weight_decay=5e-4, fused=variant == "ours", foreach=False)

    def step() -> None:
        if isinstance(model, WS3DVG):
            found = model(xyz, views, given)
            total = losses(found, Truth(given.counts, classes), epoch, LossConfig(), AblationConfig())["total"]
        else:
            total = model(xyz, views, given, classes, epoch)["total"]
        total.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def inference_of(variant: str, points: int, count: int) -> Callable[[], object]:
    """Return the answers of the student to sentences about one scene."""
    model: nn.Module = network(variant).eval()
    given, (xyz, views) = sentences(1, count), clouds(points, 1)

    def single(k: int) -> Sentences:
        length = int(given.lengths[0, k])
        return Sentences(given.vectors[:, k : k + 1, :length], given.lengths[:, k : k + 1], torch.ones(1).long())

    @torch.inference_mode()
    def run() -> None:
        if isinstance(model, WS3DVG):
            found = model(xyz, views, given, teach=False)
            answers(student_scores(found.student, found.scenes.proposals.objects))
            return
        assert isinstance(model, PlainWS3DVG)
        for k in range(count):
            model.scores(xyz, views, single(k)).argmax(1)

    return run


def peak_of(variant: str, options: argparse.Namespace) -> dict[str, float]:
    """Resident gigabytes of a process before it has a network, and at the peak of two training steps."""
    numbers = [f"--{name}={getattr(options, name)}" for name in ("points", "threads", "epoch")]
    command = [sys.executable, __file__, "--peak", variant, *numbers]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def resident() -> float:
    """Peak resident gigabytes of this program; getrusage would count those of the process that started it too."""
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith("VmHWM:"))
    return int(line.split()[1]) / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--points", type=int, default=40_000)
    parser.add_argument("--epoch", type=int, default=3, help="0 to 2 train all candidates, later the better half")
    parser.add_argument("--sentences", type=int, default=16, help="of inference")
    parser.add_argument("--only", choices=["training", "inference"], help="measure one of the two")
    parser.add_argument("--peak", choices=VARIANTS, help="only print the peak memory of a variant, as JSON")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.peak:
        start, step = resident(), step_of(options.peak, options.points, options.epoch)
        step()
        step()
        print(json.dumps({"start": start, "peak": resident()}))
        return
    speed = gemm_speed()
    report: dict[str, dict[str, float]] = {}
    if options.only != "inference":
        found = measure(
            {name: step_of(name, options.points, options.epoch) for name in VARIANTS}, options.rounds, speed
        )
        report |= {f"training, {name}": row | peak_of(name, options) for name, row in found.items()}
    if options.only != "training":
        runs = {name: inference_of(name, options.points, options.sentences) for name in VARIANTS}
        report |= {f"inference, {name}": row for name, row in measure(runs, options.rounds, speed).items()}
    if options.json:
        print(json.dumps(report | {"gemm": {"fp32": speed / 1e9}}, indent=1))
        return
    print(f"{options.points} points, {options.threads} threads; training: 2 scenes x 8 sentences; inference: 1 scene x "
          f"{options.sentences}")  # fmt: skip
    print(f"matrix products: {speed / 1e9:.0f} GFLOP/s float32")
    names = ("median s", "best s", "CPU s", "GFLOP", "bound s", "times faster", "by CPU s", "start GB", "peak GB")
    print(f"{'':<22}" + "".join(f"{name:>13}" for name in names))
    for name, row in report.items():
        print(f"{name:<22}" + "".join(f"{value:>13.3f}" for value in row.values()))


if __name__ == "__main__":
    main()
