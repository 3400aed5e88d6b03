"""Time a forward pass and a training step of preset jln, and measure their peak memory, beside the published layers.

    python tests/benchmarks/jln.py [--threads 2] [--rounds 3] [--resolution 1280 384] [--only forward] [--json]

Every variant runs in a process of its own, for its peak memory; sentences of 40 words are new in every round, so that
the text encoder works as for a sentence that it never saw; "known" has seen it. A training step is forward, losses,
backward and the optimiser, two images; a forward pass is one image. "Published" is made of the same weights: torch's
MultiheadAttention, deformable attention by its plain PyTorch reference, batch norm as layers, all 110 tokens through
RoBERTa, torch's dropout, one parameter of the optimiser at a time. The bound is the operation count of our graph over
the speed of a large matrix product measured in the same process.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # as the command line does
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, str(Path(__file__).parent))  # beside this file
from monodle_step import gemm_speed

from g3d import config as presets
from g3d.kernels import ms_deform_attn as kernel
from g3d.nn import attention, deformable_attention, dropout, resnet
from g3d.nn.parameter_groups import no_decay_on_biases
from g3d.nn.text_encoder import TextEncoder, Words
from g3d.systems.jln import transformer
from g3d.systems.jln.losses import losses
from g3d.systems.jln.model import JLN, Outputs
from g3d.systems.jln.targets import Targets

VARIANTS = {"forward": ("published", "fp32", "fp32 known", "bf16", "bf16 known"), "step": ("published", "fp32", "bf16")}
SENTENCE = 40


def published_way(model: JLN) -> None:
    """Make this process compute what the published code does, with the same parameters."""

    def attend(self: Any, query: Tensor, key: Tensor, value: Tensor, padding: Tensor | None = None) -> Tensor:
        found, _ = F.multi_head_attention_forward(
            query.transpose(0, 1),
            key.transpose(0, 1),
            value.transpose(0, 1),
            query.shape[2],
            self.heads,
            self.in_proj_weight,
            self.in_proj_bias,
            None,
            None,
            False,
            self.dropout.p,
            self.out_proj.weight,
            self.out_proj.bias,
            self.training,
            padding,
        )
        return found.transpose(0, 1)

    def sample(value: Tensor, shapes: Any, locations: Tensor, weights: Tensor) -> Tensor:
        return kernel.reference(value, [size for shape in shapes for size in shape], locations, weights)

    def encode(self: TextEncoder, expressions: Any) -> Words:
        ids, padding = self.tokenise(expressions)
        with torch.no_grad():
            return Words(self.model(input_ids=ids, attention_mask=(~padding).long()).last_hidden_state, padding)

    attention.Attention.forward = attend  # type: ignore[method-assign]
    dropout.Dropout.forward = nn.Dropout.forward  # type: ignore[method-assign, assignment]
    deformable_attention.ms_deform_attn = sample  # type: ignore[attr-defined]
    resnet.conv_norm = lambda x, convolution, norm: norm(convolution(x))
    transformer.VisualEncoder._recomputed = lambda self, visual: False  # type: ignore[method-assign]
    TextEncoder.forward = encode  # type: ignore[method-assign]


def made_tokenizer(count: int) -> Tensor:
    """Return a tokenizer of `count` numbered words, as the state of a text encoder."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    words = ["<s>", "<pad>", "</s>", "<unk>", *(f"w{k}" for k in range(count))]
    tokenizer = Tokenizer(models.WordLevel({word: k for k, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return torch.frombuffer(bytearray(tokenizer.to_str().encode()), dtype=torch.uint8)


def made_targets(batch: int, resolution: tuple[int, int]) -> Targets:
    width, height = resolution
    positions = sum((width // s) * (height // s) for s in (8, 16, 32, 64))
    ones = torch.ones(batch)
    return Targets(
        label=torch.ones(batch, dtype=torch.int64),
        box=torch.tensor([[0.5, 0.5, 0.1, 0.2]]).repeat(batch, 1),
        box3d=torch.tensor([[0.5, 0.5, 0.05, 0.05, 0.1, 0.1]]).repeat(batch, 1),
        depth=20 * ones,
        size=torch.tensor([[1.5, 1.6, 3.9]]).repeat(batch, 1),
        heading_bin=torch.zeros(batch, dtype=torch.int64),
        heading_res=0 * ones,
        present=torch.ones(batch, dtype=torch.bool),
        regions=torch.zeros(batch, positions, dtype=torch.uint8),
        depth_regions=torch.zeros(batch, (width // 16) * (height // 16), dtype=torch.uint8),
    )


class Workload:
    """The model of a preset of JLN with made images, sentences and targets.

    Args:
        what: "step" for a training step, "forward" for a forward pass.
        variant: one of VARIANTS.
        resolution: width and height of the images, pixels.
        preset: the preset's name.
        batch: images, each with one sentence.
        device: device of the model and of the images.
    """

    def __init__(
        self,
        what: str,
        variant: str,
        resolution: tuple[int, int],
        preset: str = "jln",
        batch: int | None = None,
        device: str = "cpu",
    ) -> None:
        torch.manual_seed(0)
        config: Any = presets.load(preset)
        self.config = config
        self.model = JLN(config.model, config.text).train(what == "step").to(device)
        self.words = min(1000, config.text.architecture["vocab_size"] - 4)  # beside the four special tokens
        self.model.text_encoder.set_extra_state(made_tokenizer(self.words))
        self.bf16, self.known = "bf16" in variant, "known" in variant
        self.batch = batch or (2 if what == "step" else 1)
        self.images = torch.randn(self.batch, 3, resolution[1], resolution[0]).to(device)
        if variant == "published":
            published_way(self.model)
        else:
            self.model = self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            self.images = self.images.contiguous(memory_format=torch.channels_last)
        groups = no_decay_on_biases(self.model, 1e-4)
        self.optimizer = torch.optim.AdamW(groups, lr=1e-4, foreach=False, fused=variant != "published")
        self.targets = made_targets(self.batch, resolution).to(device)
        self.draw = torch.Generator().manual_seed(0)

    def outputs(self) -> Outputs:
        draw = torch.Generator().manual_seed(0) if self.known else self.draw
        sentences = [
            " ".join(f"w{k}" for k in torch.randint(self.words, (SENTENCE,), generator=draw).tolist())
            for _ in range(self.batch)
        ]
        cameras = (
            torch.tensor([[721.5, 0, 609.6, 44.9], [0, 721.5, 172.9, 0.2], [0, 0, 1, 0.003]])
            .expand(self.batch, -1, -1)
            .to(self.images.device)
        )
        sizes = torch.tensor([[1242.0, 375.0]]).expand(self.batch, -1).to(self.images.device)
        with torch.autocast(self.images.device.type, torch.bfloat16, enabled=self.bf16):
            found: Outputs = self.model(self.images, None, cameras, sizes, sentences)
        return found

    def forward(self) -> None:
        with torch.inference_mode():
            self.outputs()

    def step(self) -> None:
        total = losses(self.outputs(), self.targets, self.config.loss, self.config.model.max_depth)["total"]
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()
        self.optimizer.step()


def measure(what: str, variant: str, rounds: int, resolution: tuple[int, int]) -> dict[str, float]:
    """Median and best seconds, least processor seconds of all threads, peak resident gigabytes, and the bound in
    seconds."""
    work = Workload(what, variant, resolution)
    run: Callable[[], None] = getattr(work, what)
    run()
    seconds, busy = [], []
    for _ in range(rounds):
        start, used = time.perf_counter(), time.process_time()
        run()
        seconds.append(time.perf_counter() - start)
        busy.append(time.process_time() - used)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    with FlopCounterMode(display=False) as counter:
        (work.outputs if what == "forward" else run)()  # the counter cannot work in inference mode
    speed = gemm_speed(torch.bfloat16 if work.bf16 else torch.float32)
    return {
        "seconds": statistics.median(seconds),
        "best": min(seconds),
        "cpu": min(busy),
        "gigabytes": peak,
        "bound": counter.get_total_flops() / speed,
        "gflops": counter.get_total_flops() / 1e9,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--resolution", type=int, nargs=2, default=(1280, 384), metavar=("WIDTH", "HEIGHT"))
    parser.add_argument("--only", help="forward or step, or one variant of it: 'step/fp32'")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.here:
        torch.set_num_threads(options.threads)
        what, variant = options.only.split("/")
        print(json.dumps(measure(what, variant, options.rounds, tuple(options.resolution))))
        return
    names = [f"{what}/{variant}" for what, variants in VARIANTS.items() for variant in variants]
    report = {}
    for name in (name for name in names if name.startswith(options.only or "")):
        command = [
            sys.executable,
            __file__,
            "--here",
            "--only",
            name,
            "--threads",
            str(options.threads),
            "--rounds",
            str(options.rounds),
            "--resolution",
            *map(str, options.resolution),
        ]
        report[name] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    if options.json:
        print(json.dumps(report, indent=1))
        return
    print(
        f"{options.resolution[0]}x{options.resolution[1]}, {options.threads} threads; step at batch 2, "
        f"forward at batch 1"
    )
    print(f"{'':<20}{'median s':>10}{'best s':>10}{'CPU s':>10}{'bound s':>10}{'peak GB':>10}{'GFLOP':>10}")
    for name, row in report.items():
        print(
            f"{name:<20}{row['seconds']:>10.2f}{row['best']:>10.2f}{row['cpu']:>10.2f}{row['bound']:>10.2f}{row['gigabytes']:>10.2f}{row['gflops']:>10.0f}"
        )


if __name__ == "__main__":
    main()
