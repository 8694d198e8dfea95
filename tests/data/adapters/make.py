#!/usr/bin/env python3
"""Writes the adapters of this folder and what LyCORIS and PEFT make of the tiny models with them.

Needs torch, diffusers 0.32, transformers, peft and lycoris-lora. Run it in this folder. Numbers are random with fixed seeds and rounded to half
precision before anything is computed with them. `expected.safetensors` has, for an adapter NAME at a scale S, the U-Net's output under
`NAME@S.unet` and the text encoder's last states under `NAME@S.text`; `given.*` is what went in.
"""
import json
import os
import shutil
import zlib

import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import save_file
from transformers import CLIPTextModel, CLIPTextModelWithProjection

HERE = os.path.dirname(os.path.abspath(__file__))
MODELS = os.path.join(HERE, "..", "models")
LINEAR = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
WIDE = "mid_block.attentions.0.transformer_blocks.0.ff.net.0.proj"
POINT = "up_blocks.1.attentions.0.proj_in"
CONV = "down_blocks.1.resnets.0.conv1"
STRIDED = "down_blocks.0.downsamplers.0.conv"
TEXT = "text_model.encoder.layers.0.mlp.fc1"
LAYERS = [LINEAR, WIDE, POINT, CONV, STRIDED]
expected = {}


def seeded(name):
    torch.manual_seed(zlib.crc32(name.encode()) % 2**31)


def half(x):
    return x.half().float()


def unet(model="tiny-sd15"):
    return UNet2DConditionModel.from_pretrained(f"{MODELS}/{model}/unet").eval().requires_grad_(False)


def text(model="tiny-sd15", folder="text_encoder"):
    kind = CLIPTextModelWithProjection if folder.endswith("2") else CLIPTextModel
    variant = "fp16" if os.path.exists(f"{MODELS}/{model}/{folder}/model.fp16.safetensors") else None
    return kind.from_pretrained(f"{MODELS}/{model}/{folder}", variant=variant, torch_dtype=torch.float32).eval().requires_grad_(False)


def ids(encoder):
    return torch.tensor([[3, 1, 4, 1, 5, 9, 2, encoder.config.vocab_size - 1]])


def given():
    torch.manual_seed(1)
    net = unet()
    expected["given.x"] = torch.randn(1, net.config.in_channels, 8, 8)
    expected["given.states"] = torch.randn(1, 5, net.config.cross_attention_dim)
    expected["given.ids"] = ids(text()).float()


@torch.no_grad()
def run(name, net=None, encoder=None):
    if net is not None:
        x, states = expected["given.x"], expected["given.states"]
        expected[f"{name}.unet"] = net(x, torch.tensor([51]), encoder_hidden_states=states).sample
    if encoder is not None:
        expected[f"{name}.text"] = encoder(ids(encoder)).last_hidden_state


# ---- LyCORIS

def shaken(module, size):
    for name, parameter in module.named_parameters():
        if name == "scalar":
            continue
        parameter.data = half(parameter.data + torch.randn_like(parameter) * size)
    return module


def lycoris(name, made, files=None):
    """made(lora_name, layer) gives the module for a layer, or None."""
    for scale in (1.0, 0.6):
        tensors, count = {}, 0
        net, encoder = unet(), text()
        seeded(name)
        for prefix, model, layers in (("lora_unet", net, None), ("lora_te", encoder, None)):
            for path, layer in list(model.named_modules()):
                flat = f"{prefix}_{path.replace('.', '_')}"
                module = made(path, flat, layer)
                if module is None:
                    continue
                module.multiplier = scale
                state = module.custom_state_dict() if hasattr(module, "custom_state_dict") else None
                state = state or {k: v for k, v in module.state_dict().items() if "org_" not in k and k != "scalar"}
                for key, value in state.items():
                    tensors[f"{flat}.{key}"] = value.detach().half().contiguous()
                module.apply_to()
                count += 1
        assert count, name
        run(f"{name}@{scale:g}", net, encoder)
    save_file(tensors, f"{HERE}/{name}.safetensors")


def on(layers, kind, size=0.3, **options):
    def made(path, flat, layer):
        if path not in layers:
            return None
        seeded(path)
        module = kind(flat, layer, 1.0, **options)
        return shaken(module, size).eval()
    return made


def all_lycoris():
    from lycoris.modules import (ButterflyOFTModule, DiagOFTModule, FullModule, GLoRAModule, IA3Module, LoConModule,
                                 LohaModule, LokrModule, NormModule)
    layers = LAYERS + [TEXT]
    rank = {"lora_dim": 2, "alpha": 1.5}
    lycoris("locon", on(layers, LoConModule, **rank))
    lycoris("tucker", on(layers, LoConModule, use_tucker=True, **rank))
    lycoris("loha", on(layers, LohaModule, **rank))
    lycoris("loha-tucker", on(layers, LohaModule, use_tucker=True, **rank))
    lycoris("lokr", on(layers, LokrModule, factor=4, **rank))
    lycoris("lokr-both", on(layers, LokrModule, factor=8, decompose_both=True, lora_dim=1, alpha=0.5))
    lycoris("lokr-full", on(layers, LokrModule, factor=4, full_matrix=True, **rank))
    lycoris("lokr-tucker", on(layers, LokrModule, factor=2, use_tucker=True, **rank))
    lycoris("lokr-unbalanced", on(layers, LokrModule, factor=4, unbalanced_factorization=True, **rank))
    lycoris("dora-rows", on(layers, LoConModule, weight_decompose=True, wd_on_out=True, **rank))
    lycoris("dora-columns", on(layers, LoConModule, weight_decompose=True, wd_on_out=False, **rank))
    lycoris("loha-dora", on(layers, LohaModule, weight_decompose=True, wd_on_out=True, **rank))
    lycoris("lokr-dora", on(layers, LokrModule, factor=4, weight_decompose=True, wd_on_out=False, **rank))
    lycoris("full", full(layers[:1] + layers[3:], FullModule))
    norms = ["down_blocks.0.resnets.0.norm1", "down_blocks.0.attentions.0.norm", "conv_norm_out",
             "mid_block.attentions.0.transformer_blocks.0.norm2", "text_model.final_layer_norm",
             "text_model.encoder.layers.1.layer_norm2"]
    lycoris("norms", on(norms, NormModule))
    lycoris("oft", on(layers, DiagOFTModule, lora_dim=4))
    lycoris("oft-constraint", on(layers, DiagOFTModule, size=1.0, lora_dim=4, constraint=2**-7))
    lycoris("oft-rescaled", on(layers, DiagOFTModule, lora_dim=4, rescaled=True))
    lycoris("boft", on(layers, ButterflyOFTModule, lora_dim=4))
    lycoris("boft-rescaled", on(layers, ButterflyOFTModule, lora_dim=8, rescaled=True, constraint=2**-6))
    lycoris("glora", on(layers, GLoRAModule, **rank))
    lycoris("ia3-rows", on(layers, IA3Module))
    lycoris("ia3-columns", on(layers, IA3Module, train_on_input=True))
    several = [on([LINEAR, CONV], LohaModule, **rank), on([WIDE, TEXT], LokrModule, factor=4, **rank),
               on([POINT], DiagOFTModule, lora_dim=4), on([STRIDED], LoConModule, **rank), on(norms[:1], NormModule)]
    lycoris("mixed", lambda *layer: next((found for found in (made(*layer) for made in several) if found), None))


def full(layers, kind):
    """A full difference of a weight and its bias."""
    def made(path, flat, layer):
        if path not in layers:
            return None
        seeded(path)
        module = shaken(kind(flat, layer, 1.0), 0.1).eval()
        state = {"diff": module.weight.data.clone()}
        if module.bias is not None:
            state["diff_b"] = module.bias.data.clone()
        module.custom_state_dict = lambda: state
        return module
    return made


def two_at_once():
    """Both adapters on the same layers, each of the weights as they were read."""
    from lycoris.modules import DiagOFTModule, LohaModule, LoConModule
    net = unet()
    modules = dict(net.named_modules())
    for name, kind, scale, options in (("loha", LohaModule, 0.6, {"lora_dim": 2, "alpha": 1.5}), ("oft", DiagOFTModule, 1.0, {"lora_dim": 4}),
                                       ("locon", LoConModule, -0.5, {"lora_dim": 2, "alpha": 1.5})):
        for path in LAYERS:
            with torch.no_grad():
                layer = modules[path]
                module = on([path], kind, **options)(path, path, layer)
                base = layer.weight.data
                module.multiplier = scale
                changed.setdefault(path, []).append(merged(module) - base)
    for path, differences in changed.items():
        modules[path].weight.data = modules[path].weight.data + sum(differences)
    run("several", net)


changed = {}


def merged(module):
    from lycoris.modules import DiagOFTModule
    if isinstance(module, DiagOFTModule):
        return module.make_weight(scale=module.multiplier) if hasattr(module, "make_weight") else module.get_merged_weight(module.multiplier)[0]
    if module.name == "loha":
        return module.org_weight + module.get_weight(module.shape) * module.multiplier
    return module.org_weight + module.get_diff_weight(module.multiplier)[0]


# ---- PEFT

def peft(name, config, scales=(1.0,), model=unet, kind="unet"):
    from peft import get_peft_model
    folder = f"{HERE}/{name}"
    for scale in scales:
        base = model()
        seeded(name)
        wrapped = get_peft_model(base, config)
        for key, parameter in sorted(wrapped.named_parameters()):
            if parameter.requires_grad:
                parameter.data = half(parameter.data + torch.randn_like(parameter) * 0.2)
        wrapped.eval()
        if scale == scales[0]:
            shutil.rmtree(folder, ignore_errors=True)
            wrapped.save_pretrained(folder, save_embedding_layers=False)
            from safetensors.torch import load_file
            tensors = load_file(f"{folder}/adapter_model.safetensors")
            save_file({k: v.half() for k, v in tensors.items()}, f"{folder}/adapter_model.safetensors", {"format": "pt"})
            # Where the model lay is nobody's business.
            path = f"{folder}/adapter_config.json"
            with open(path) as file:
                settings = json.load(file)
            settings["base_model_name_or_path"] = None
            with open(path, "w") as file:
                json.dump(settings, file, indent=2, sort_keys=True)
            if os.path.exists(f"{folder}/README.md"):
                os.remove(f"{folder}/README.md")
        if scale != 1:
            from peft.tuners.tuners_utils import BaseTunerLayer
            for module in wrapped.modules():
                if isinstance(module, BaseTunerLayer):
                    module.set_scale("default", scale)
        run(f"{name}@{scale:g}", **{("net" if kind == "unet" else "encoder"): wrapped})


def all_peft():
    from peft import IA3Config, LoHaConfig, LoKrConfig, LoraConfig, OFTConfig
    some = [LINEAR, WIDE, CONV, STRIDED]
    peft("peft-patterns", LoraConfig(r=4, lora_alpha=16, target_modules=["attn1.to_q", "attn1.to_k"],
                                     rank_pattern={"attn1.to_k": 2, r"up_blocks\.2.*\.to_q": 1},
                                     alpha_pattern={"mid_block.*to_[qk]": 2, "^down_blocks.0.*to_q": 6}), (1.0, 0.6))
    peft("peft-rslora", LoraConfig(r=4, lora_alpha=3, use_rslora=True, target_modules=some), (1.0, 0.6))
    peft("peft-dora", LoraConfig(r=2, lora_alpha=3, use_dora=True, target_modules=some), (1.0, 0.6))
    peft("peft-lora-bias", LoraConfig(r=2, lora_alpha=3, lora_bias=True, target_modules=some), (1.0, 0.6))
    peft("peft-bias", LoraConfig(r=2, lora_alpha=3, bias="all", target_modules=[LINEAR]))
    peft("peft-saved", LoraConfig(r=2, lora_alpha=3, target_modules=[LINEAR], modules_to_save=["conv_in", "conv_norm_out"]))
    peft("peft-loha", LoHaConfig(r=2, alpha=3, target_modules=some), (1.0, 0.6))
    peft("peft-lokr", LoKrConfig(r=2, alpha=3, decompose_both=True, target_modules=some), (1.0, 0.6))
    peft("peft-lokr-full", LoKrConfig(r=16, alpha=8, target_modules=[LINEAR, CONV]), (1.0, 0.6))
    peft("peft-oft", OFTConfig(r=0, oft_block_size=4, use_cayley_neumann=False, target_modules=[LINEAR, WIDE]))
    peft("peft-oft-series", OFTConfig(r=0, oft_block_size=4, block_share=True, use_cayley_neumann=True, target_modules=[LINEAR, WIDE]))
    peft("peft-ia3", IA3Config(target_modules=[LINEAR, WIDE, "mid_block.attentions.0.transformer_blocks.0.ff.net.2"],
                               feedforward_modules=["mid_block.attentions.0.transformer_blocks.0.ff.net.2"]))
    peft("peft-text", LoraConfig(r=2, lora_alpha=5, target_modules=["q_proj", "fc2", "position_embedding"]), (1.0, 0.6), text, "text")


# ---- SDXL's second encoder

def second_encoder():
    from lycoris.modules import LoConModule
    encoder = text("tiny-sdxl", "text_encoder_2")
    seeded("second")
    tensors = {}
    for path, layer in list(encoder.named_modules()):
        if path in (TEXT, "text_projection"):
            flat = f"lora_te2_{path.replace('.', '_')}"
            module = on([path], LoConModule, lora_dim=2, alpha=1.5)(path, flat, layer)
            for key, value in module.custom_state_dict().items():
                tensors[f"{flat}.{key}"] = value.detach().half().contiguous()
            module.apply_to()
    with torch.no_grad():
        out = encoder(ids(encoder), output_hidden_states=True)
    expected["given.second_ids"] = ids(encoder).float()
    expected["second@1.penultimate"] = out.hidden_states[-2]
    expected["second@1.pooled"] = out.text_embeds
    save_file(tensors, f"{HERE}/second.safetensors")


if __name__ == "__main__":
    given()
    all_lycoris()
    two_at_once()
    all_peft()
    second_encoder()
    save_file({k: v.contiguous() for k, v in expected.items()}, f"{HERE}/expected.safetensors")
