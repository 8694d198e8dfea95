"""One pass of a denoiser on a GPU with PyTorch's fused attention, as a researcher's script runs it with hooks.

Prints one line of JSON: seconds of every warm pass and the peak of the GPU's memory.
"""

import argparse
import json
import time
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from stages import PRACTICAL, hooked

TYPES = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--dtype", choices=TYPES, default="bf16")
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--modules", nargs="*", default=list(PRACTICAL.values()))
    parser.add_argument("--device", default="cuda:0")
    arguments = parser.parse_args()
    kind, device = TYPES[arguments.dtype], torch.device(arguments.device)
    network = UNet2DConditionModel.from_pretrained(arguments.model / "unet", torch_dtype=kind).eval().to(device)
    hooked(network, arguments.modules)
    side = arguments.side // 8
    inputs = {
        "sample": torch.randn(1, 4, side, side, dtype=kind, device=device),
        "encoder_hidden_states": torch.randn(1, 77, network.config.cross_attention_dim, dtype=kind, device=device),
    }
    if network.config.addition_embed_type == "text_time":
        inputs["added_cond_kwargs"] = {
            "text_embeds": torch.randn(1, 1280, dtype=kind, device=device),
            "time_ids": torch.zeros(1, 6, dtype=kind, device=device),
        }
    wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    seconds = []
    with torch.inference_mode():
        for repeat in range(arguments.repeats + 2):
            wait()
            began = time.perf_counter()
            network(timestep=51, **inputs)
            wait()
            # The first two choose algorithms.
            if repeat >= 2:
                seconds.append(time.perf_counter() - began)
    peak = torch.cuda.max_memory_allocated() / 2**20 if device.type == "cuda" else None
    print(json.dumps({"what": "peer pass", "dtype": arguments.dtype, "seconds": seconds, "peak_mib": peak}))


if __name__ == "__main__":
    main()
