"""Builds full-size networks with random weights in the hub's layout, once: Stable Diffusion 1.5, ADM at 256 pixels, and
SDXL where it is asked for.

Speed does not depend on what the weights are, only on their shapes; both programs read the same files.
"""

import argparse
import json
import shutil
import sys
from pathlib import Path

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

ROOT = Path(__file__).resolve().parents[2]
ZOO = ROOT / "assets" / "zoo"
SMALL_MODEL = ROOT / "tests" / "data" / "models" / "tiny-sd15"
VAE = {
    "_class_name": "AutoencoderKL",
    "in_channels": 3,
    "out_channels": 3,
    "latent_channels": 4,
    "block_out_channels": [128, 256, 512, 512],
    "layers_per_block": 2,
    "norm_num_groups": 32,
    "act_fn": "silu",
    "scaling_factor": 0.18215,
    "sample_size": 512,
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
}
TEXT = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "vocab_size": 49408,
    "max_position_embeddings": 77,
    "hidden_act": "quick_gelu",
    "projection_dim": 768,
    "bos_token_id": 49406,
    "eos_token_id": 49407,
    "pad_token_id": 49407,
}


def random_tensor(name, shape):
    """Weights that keep the size of what goes through them, so that nothing overflows or becomes denormal."""
    if len(shape) == 1:
        mean = 1.0 if "norm" in name and name.endswith("weight") else 0.0
        return mean + 0.01 * torch.randn(shape)
    fan_in = max(1, torch.Size(shape[1:]).numel())
    return torch.randn(shape) * fan_in**-0.5


def write(file, config_file, shapes, config):
    file.parent.mkdir(parents=True, exist_ok=True)
    tensors = {name: random_tensor(name, shape) for name, shape in shapes.items()}
    save_file(tensors, file)
    config_file.write_text(json.dumps(config, indent=2))
    print(f"{file}: {sum(tensor.numel() for tensor in tensors.values()) / 1e6:.0f} M parameters")


def shapes_of(model):
    return {name: tensor.shape for name, tensor in model.state_dict().items() if "position_ids" not in name}


def build_sd15(out):
    with torch.device("meta"):
        unet_config = json.loads((ZOO / "sd15.unet.json").read_text())
        unet = UNet2DConditionModel.from_config(unet_config)
        vae = AutoencoderKL.from_config(VAE)
        text = CLIPTextModel(CLIPTextConfig(**TEXT))
    for folder, name, model, config in [
        ("unet", "diffusion_pytorch_model", unet, unet_config),
        ("vae", "diffusion_pytorch_model", vae, VAE),
        ("text_encoder", "model", text, {"architectures": ["CLIPTextModel"], "model_type": "clip_text_model", **TEXT}),
    ]:
        write(out / folder / f"{name}.safetensors", out / folder / "config.json", shapes_of(model), config)
    for folder in ("tokenizer", "scheduler"):
        shutil.copytree(SMALL_MODEL / folder, out / folder, dirs_exist_ok=True)
    shutil.copy(SMALL_MODEL / "model_index.json", out)


def build_sdxl(out):
    small = SMALL_MODEL.parent / "tiny-sdxl"
    vae_config = {**VAE, "scaling_factor": 0.13025, "sample_size": 1024}
    large = {
        **TEXT,
        "hidden_size": 1280,
        "intermediate_size": 5120,
        "num_hidden_layers": 32,
        "num_attention_heads": 20,
        "hidden_act": "gelu",
        "projection_dim": 1280,
    }
    with torch.device("meta"):
        unet_config = json.loads((ZOO / "sdxl.unet.json").read_text())
        unet = UNet2DConditionModel.from_config(unet_config)
        vae = AutoencoderKL.from_config(vae_config)
        text = CLIPTextModel(CLIPTextConfig(**TEXT))
        text_2 = CLIPTextModelWithProjection(CLIPTextConfig(**large))
    kind = {"model_type": "clip_text_model"}
    for folder, name, model, config in [
        ("unet", "diffusion_pytorch_model", unet, unet_config),
        ("vae", "diffusion_pytorch_model", vae, vae_config),
        ("text_encoder", "model", text, {"architectures": ["CLIPTextModel"], **kind, **TEXT}),
        ("text_encoder_2", "model", text_2, {"architectures": ["CLIPTextModelWithProjection"], **kind, **large}),
    ]:
        write(out / folder / f"{name}.safetensors", out / folder / "config.json", shapes_of(model), config)
    for folder in ("tokenizer", "tokenizer_2", "scheduler"):
        shutil.copytree(small / folder, out / folder, dirs_exist_ok=True)
    shutil.copy(small / "model_index.json", out)


def build_adm(out):
    sys.path.insert(0, str(ROOT / "tools" / "demo_model"))
    from model import Adm

    config = {"num_groups": 32, **json.loads((ZOO / "adm256.json").read_text())}
    with torch.device("meta"):
        shapes = shapes_of(Adm(config))
    # The published network predicts a variance as well.
    for name in ("out.2.weight", "out.2.bias"):
        shapes[name] = torch.Size([6, *shapes[name][1:]])
    write(out / "model.safetensors", out / "config.json", shapes, config)


BUILDERS = {"sd15": build_sd15, "adm256": build_adm, "sdxl": build_sdxl}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="a folder for about 6.5 GB; 14 GB more for sdxl")
    parser.add_argument("--only", choices=[*BUILDERS], nargs="+", default=["sd15", "adm256"])
    arguments = parser.parse_args()
    out = arguments.out
    torch.manual_seed(0)
    for name in arguments.only:
        build = BUILDERS[name]
        if (out / name / "done").exists():
            print(f"{out / name} is there")
            continue
        build(out / name)
        (out / name / "done").touch()


if __name__ == "__main__":
    main()
