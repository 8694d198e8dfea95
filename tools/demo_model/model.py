"""The text-free ADM U-Net in guided-diffusion's tensor names, as the program's loader knows it, and its noise schedule."""

import json
import math

import torch
import torch.nn.functional as F
from torch import nn

# The program's own model, and a wider one of 5.5 M parameters for a machine with a GPU.
SMALL = {
    "image_size": 64,
    "patch_size": 2,
    "num_channels": 32,
    "num_res_blocks": 1,
    "channel_mult": "1,2,4",
    "attention_resolutions": "16,8",
    "num_head_channels": 32,
    "num_groups": 16,
    "use_scale_shift_norm": True,
    "resblock_updown": True,
    "use_new_attention_order": False,
    "learn_sigma": False,
    "class_cond": False,
    "diffusion_steps": 1000,
    "noise_schedule": "cosine",
    "rescale_timesteps": False,
    "predict_xstart": True,
}
LARGE = {**SMALL, "num_channels": 48, "channel_mult": "1,2,3", "num_head_channels": 48}
SIZES = {"small": SMALL, "large": LARGE}


class Norm(nn.GroupNorm):
    def __init__(self, config, channels):
        super().__init__(config["num_groups"], channels, eps=1e-5)


def zeroed(module):
    nn.init.zeros_(module.weight)
    nn.init.zeros_(module.bias)
    return module


class Resnet(nn.Module):
    def __init__(self, config, before, after, resample=None):
        super().__init__()
        time_width = 4 * config["num_channels"]
        self.resample = resample
        self.in_layers = nn.Sequential(Norm(config, before), nn.SiLU(), nn.Conv2d(before, after, 3, padding=1))
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(time_width, 2 * after))
        last = zeroed(nn.Conv2d(after, after, 3, padding=1))
        self.out_layers = nn.Sequential(Norm(config, after), nn.SiLU(), nn.Identity(), last)
        if before != after:
            self.skip_connection = nn.Conv2d(before, after, 1)

    def resampled(self, x):
        if self.resample == "up":
            return F.interpolate(x, scale_factor=2, mode="nearest")
        return F.avg_pool2d(x, 2) if self.resample == "down" else x

    def forward(self, x, time):
        norm, silu, conv = self.in_layers
        h = conv(self.resampled(silu(norm(x))))
        scale, shift = self.emb_layers(time)[:, :, None, None].chunk(2, dim=1)
        norm, silu, _, conv = self.out_layers
        h = conv(silu(norm(h) * (1 + scale) + shift))
        x = self.resampled(x)
        return h + (self.skip_connection(x) if hasattr(self, "skip_connection") else x)


class Attention(nn.Module):
    """Legacy order: the channels of `qkv` are heads first, then q, k, v."""

    def __init__(self, config, channels):
        super().__init__()
        self.heads = channels // config["num_head_channels"]
        self.norm = Norm(config, channels)
        self.qkv = nn.Conv1d(channels, 3 * channels, 1)
        self.proj_out = zeroed(nn.Conv1d(channels, channels, 1))

    def forward(self, x, _time):
        batch, channels, height, width = x.shape
        tokens = self.norm(x).reshape(batch, channels, height * width)
        qkv = self.qkv(tokens).reshape(batch, self.heads, 3, channels // self.heads, height * width)
        q, k, v = qkv.transpose(-1, -2).unbind(2)
        attended = F.scaled_dot_product_attention(q, k, v)
        attended = attended.transpose(-1, -2).reshape(batch, channels, height * width)
        return x + self.proj_out(attended).reshape(x.shape)


class Block(nn.Sequential):
    def forward(self, h, time):
        for module in self:
            h = module(h) if isinstance(module, nn.Conv2d) else module(h, time)
        return h


class Adm(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        width, self.patch = config["num_channels"], config.get("patch_size", 1)
        colours = 3 * self.patch**2
        levels = [int(width * float(factor)) for factor in config["channel_mult"].split(",")]
        grid = config["image_size"] // self.patch
        attended = {grid // int(side) for side in config["attention_resolutions"].split(",")}
        self.time_embed = nn.Sequential(nn.Linear(width, 4 * width), nn.SiLU(), nn.Linear(4 * width, 4 * width))

        def block(before, after, level, resample=None):
            modules = [Resnet(config, before, after)]
            if 1 << level in attended:
                modules.append(Attention(config, after))
            if resample:
                modules.append(Resnet(config, after, after, resample))
            return Block(*modules)

        channels = levels[0]
        skips = [channels]
        self.input_blocks = nn.ModuleList([Block(nn.Conv2d(colours, channels, 3, padding=1))])
        for level, after in enumerate(levels):
            for _ in range(config["num_res_blocks"]):
                self.input_blocks.append(block(channels, after, level))
                channels = after
                skips.append(channels)
            if level + 1 < len(levels):
                self.input_blocks.append(Block(Resnet(config, channels, channels, "down")))
                skips.append(channels)
        self.middle_block = Block(
            Resnet(config, channels, channels), Attention(config, channels), Resnet(config, channels, channels)
        )
        self.output_blocks = nn.ModuleList()
        for level, after in reversed(list(enumerate(levels))):
            for repeat in range(config["num_res_blocks"] + 1):
                up = "up" if level > 0 and repeat == config["num_res_blocks"] else None
                self.output_blocks.append(block(channels + skips.pop(), after, level, up))
                channels = after
        self.out = nn.Sequential(Norm(config, channels), nn.SiLU(), zeroed(nn.Conv2d(channels, colours, 3, padding=1)))

    def blocks(self):
        """b1, b2, … in the program's numbering."""
        return [*self.input_blocks, self.middle_block, *self.output_blocks]

    def forward(self, x_t, t, wanted=()):
        """Predicts the clean picture, and lists the outputs of the `wanted` blocks b1, b2, …"""
        half = self.config["num_channels"] // 2
        rates = torch.exp(-math.log(10000) * torch.arange(half, device=t.device) / half)
        angles = t.float()[:, None] * rates
        # Every resnet begins with a SiLU of its own.
        time = self.time_embed(torch.cat([angles.cos(), angles.sin()], 1))
        h = F.pixel_unshuffle(x_t, self.patch)
        kept, found = [], []
        for number, block in enumerate(self.blocks(), 1):
            if number > len(self.input_blocks) + 1:
                h = torch.cat([h, kept.pop()], 1)
            h = block(h, time)
            if number <= len(self.input_blocks):
                kept.append(h)
            if number in wanted:
                found.append(h)
        return F.pixel_shuffle(self.out(h), self.patch), found


def abar_table(steps=1000):
    """The cosine schedule's abar of every timestep."""
    f = torch.cos((torch.arange(steps + 1, dtype=torch.float64) / steps + 0.008) / 1.008 * math.pi / 2) ** 2
    betas = (1 - f[1:] / f[:-1]).clamp(max=0.999)
    return torch.cumprod(1 - betas, 0).float()


def load(folder):
    """A network from config.json and model.safetensors."""
    from safetensors.torch import load_file

    net = Adm(json.loads((folder / "config.json").read_text()))
    net.load_state_dict({name: tensor.float() for name, tensor in load_file(folder / "model.safetensors").items()})
    return net.eval()
