#!/usr/bin/env python3
"""Makes what lies beside it: U-Nets of published shapes, small, with every activation as diffusers 0.32.2 computes it.

    python3 make.py        (torch, diffusers 0.32.2, safetensors, numpy)

NAME.json is a configuration, NAME.safetensors what was computed. The weights are in no file: both sides make them from the
names of the tensors (`weight`). Of every activation so many numbers are kept as `spread` takes, with its standard deviation.
schedules.json has the alphas_cumprod of schedulers."""
import json, math, os
import numpy as np, torch
from diffusers import UNet2DConditionModel
import diffusers
from safetensors.torch import save_file

HERE = os.path.dirname(os.path.abspath(__file__))
MASK = (1 << 64) - 1
GRID, TOKENS, KEPT = (8, 12), 5, 24


def numbers(name, count):
    """splitmix64 from a hash (FNV-1a) of the name: `count` numbers in [-1, 1), exact in f32."""
    seed = 0xCBF29CE484222325
    for byte in name.encode():
        seed = ((seed ^ byte) * 0x100000001B3) & MASK
    with np.errstate(over="ignore"):
        z = np.uint64(seed) + np.uint64(0x9E3779B97F4A7C15) * np.arange(1, count + 1, dtype=np.uint64)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return ((z >> np.uint64(40)).astype(np.float64) / 2**23 - 1).astype(np.float32)


def weight(name, shape):
    """Biases up to 0.1, norms around 1, kernels whose rows have length 1 on average."""
    x = numbers(name, math.prod(shape))
    if len(shape) == 1:
        x = x * np.float32(0.1) + np.float32(1.0 if name.endswith(".weight") else 0.0)
    else:
        x = x * np.float32(math.sqrt(3 / math.prod(shape[1:])))
    return torch.from_numpy(x.reshape(shape))


def given(name, shape):
    return torch.from_numpy(numbers(name, math.prod(shape)).reshape(shape)) * 2


def spread(x):
    x = x.flatten()
    count = min(KEPT, len(x))
    return x[torch.tensor([i * len(x) // count for i in range(count)])]


SD = dict(
    block_out_channels=[8, 16, 16, 16], norm_num_groups=4, attention_head_dim=2, cross_attention_dim=12, sample_size=64,
    down_block_types=["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"], up_block_types=["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3,
)
SDXL = dict(
    block_out_channels=[8, 16, 16], norm_num_groups=4, attention_head_dim=[1, 2, 2], cross_attention_dim=20, sample_size=128,
    down_block_types=["DownBlock2D"] + ["CrossAttnDownBlock2D"] * 2, up_block_types=["CrossAttnUpBlock2D"] * 2 + ["UpBlock2D"],
    use_linear_projection=True, addition_embed_type="text_time", addition_time_embed_dim=4,
    projection_class_embeddings_input_dim=6 * 4 + 10,
)
THREE = dict(
    block_out_channels=[8, 16, 16], down_block_types=["CrossAttnDownBlock2D"] * 3, up_block_types=["CrossAttnUpBlock2D"] * 3,
)
UNETS = {
    "bk-sdm-base": SD | dict(layers_per_block=1),
    "bk-sdm-small": SD | dict(layers_per_block=1, mid_block_type=None),
    "bk-sdm-tiny": SD | THREE | dict(layers_per_block=1, mid_block_type=None),
    "bk-sdm-v2-tiny": SD | THREE | dict(layers_per_block=1, mid_block_type=None, attention_head_dim=[1, 2, 2],
                                        use_linear_projection=True, upcast_attention=True),
    "ssd-1b": SDXL | dict(mid_block_type="UNetMidBlock2D", transformer_layers_per_block=[1, [2, 2], [4, 4]],
                          reverse_transformer_layers_per_block=[[4, 4, 10], [2, 1, 1], 1]),
    "vega": SDXL | dict(mid_block_type="UNetMidBlock2D", transformer_layers_per_block=[1, [1, 1], [2, 2]],
                        reverse_transformer_layers_per_block=[[2, 2, 2], [1, 1, 1], 1]),
    "koala-700m": SDXL | dict(layers_per_block=[1, 1, 1], mid_block_type=None, transformer_layers_per_block=[0, 2, 5]),
    "koala-1b": SDXL | dict(layers_per_block=1, transformer_layers_per_block=[0, 2, 6]),
    "lcm": SD | dict(time_cond_proj_dim=6, resnet_out_scale_factor=1, norm_eps=1e-5),
    "uneven": SD | dict(layers_per_block=[1, 2, 1, 3], cross_attention_dim=[12, 12, 12, 7], mid_block_type="UNetMidBlock2D",
                        attention_head_dim=[1, 2, 4, 2], transformer_layers_per_block=[2, [1, 3], 1, 1],
                        reverse_transformer_layers_per_block=[1, [2, 1], [1, 2, 3], [3, 1]]),
}


def activations(unet, x, t, text, added):
    """Every activation by its id, as (1, ...)."""
    found, handles = {}, []

    def hook(module, act):
        handles.append(module.register_forward_hook(lambda m, args, out: act(args, out)))

    def keep(name, pick=lambda args, out: out):
        def act(args, out):
            found[name] = pick(args, out).detach().clone()
        return act

    def resnet(module, name):
        hook(module.conv2, keep(f"{name}-res-increment"))
        hook(module, keep(f"{name}-res-out"))

    def transformer(module, name):
        for k, block in enumerate(module.transformer_blocks):
            at = f"{name}-vit-block{k}"
            for part in "qkv":
                hook(getattr(block.attn1, f"to_{part}"), keep(f"{at}-self-{part}"))
            hook(block.attn2.to_q, keep(f"{at}-cross-q"))
            hook(block.attn2.to_k, keep(f"{at}-cross-k"))
            hook(block.ff.net[0], keep(f"{at}-ffn-inner"))
            hook(block, keep(f"{at}-out"))
            heads[f"{at}-self-map"] = heads[f"{at}-cross-map"] = block.attn1.heads
        hook(module, keep(f"{name}-vit-out", lambda args, out: out[0]))
        grids[f"{name}-vit"] = None
        hook(module, lambda args, out: grids.__setitem__(f"{name}-vit", args[0].shape[-2:]))

    heads, grids = {}, {}
    hook(unet.conv_in, keep("unet-in", lambda args, out: args[0]))
    hook(unet.conv_in, keep("unet-after-conv-in"))
    hook(unet.conv_out, keep("unet-out"))
    for stage, blocks in (("down", unet.down_blocks), ("up", unet.up_blocks)):
        for i, block in enumerate(blocks):
            for j, module in enumerate(block.resnets):
                resnet(module, f"{stage}-level{i}-repeat{j}")
            for j, module in enumerate(getattr(block, "attentions", [])):
                transformer(module, f"{stage}-level{i}-repeat{j}")
            for module in getattr(block, f"{stage}samplers", None) or []:
                hook(module, keep(f"{stage}-level{i}-{stage}sampler-out"))
    if unet.mid_block is not None:
        for j, module in enumerate(unet.mid_block.resnets):
            resnet(module, f"mid-repeat{j}")
        for module in unet.mid_block.attentions:
            if module is not None:
                transformer(module, "mid")
    with torch.no_grad():
        unet(x, t, encoder_hidden_states=text, added_cond_kwargs=added)
    for handle in handles:
        handle.remove()
    for name, count in heads.items():
        at = name.rsplit("-", 2)[0]
        q = found[f"{at}-{'self' if name.endswith('self-map') else 'cross'}-q"]
        k = found[f"{at}-{'self' if name.endswith('self-map') else 'cross'}-k"]
        q, k = (v.unflatten(2, (count, -1)).transpose(1, 2) for v in (q, k))
        found[name] = torch.softmax(q @ k.transpose(2, 3) / math.sqrt(q.shape[-1]), dim=-1)
    for name in [name for name in found if name.endswith("cross-k")]:
        del found[name]
    for name, value in found.items():
        if value.ndim == 3:
            found[name] = value.transpose(1, 2).unflatten(2, tuple(grids[name.split("-block")[0]]))
    return found


def unets():
    for name, config in UNETS.items():
        unet = UNet2DConditionModel(**config).eval()
        unet.load_state_dict({key: weight(key, tuple(value.shape)) for key, value in unet.state_dict().items()})
        x, text = given("x", (1, 4, *GRID)), given("text", (1, TOKENS, 12 if "cross_attention_dim" in config and
                                                            config["cross_attention_dim"] != 20 else 20))
        added = None
        if "addition_embed_type" in config:
            added = dict(text_embeds=given("pooled", (1, 10)), time_ids=torch.tensor([[64.0, 96, 0, 0, 64, 96]]))
        found = activations(unet, x, 261, text, added)
        kept = {key: torch.cat([value.std(correction=0).reshape(1), spread(value)]) for key, value in found.items()}
        save_file(kept, f"{HERE}/{name}.safetensors", metadata={"activations": str(len(kept))})
        keys = json.loads(unet.to_json_string())
        keys = {key: value for key, value in keys.items() if key in config or key in ("_class_name", "mid_block_type")}
        with open(f"{HERE}/{name}.json", "w") as file:
            file.write(json.dumps(keys) + "\n")
        print(name, len(kept), f"{min(float(v.std(correction=0)) for v in found.values()):.3g}",
              f"{max(float(v.abs().max()) for v in found.values()):.3g}")


def schedules():
    sd = dict(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    betas = [round(0.001 + 0.0003 * i, 6) for i in range(40)]
    cases = []
    for cls, config in [
        ("DDIMScheduler", sd | dict(rescale_betas_zero_snr=True, prediction_type="v_prediction")),
        ("DDPMScheduler", dict(rescale_betas_zero_snr=True)),
        ("LCMScheduler", sd | dict(rescale_betas_zero_snr=True)),
        ("TCDScheduler", sd | dict(rescale_betas_zero_snr=True)),
        ("EulerDiscreteScheduler", sd | dict(rescale_betas_zero_snr=True)),
        ("EulerAncestralDiscreteScheduler", sd | dict(rescale_betas_zero_snr=True)),
        ("DPMSolverMultistepScheduler", sd | dict(rescale_betas_zero_snr=True)),
        ("UniPCMultistepScheduler", sd | dict(rescale_betas_zero_snr=True)),
        ("DDIMScheduler", dict(trained_betas=betas, num_train_timesteps=len(betas))),
        ("PNDMScheduler", dict(trained_betas=betas, num_train_timesteps=len(betas), beta_schedule="unread")),
        ("DDIMScheduler", dict(trained_betas=betas, num_train_timesteps=len(betas), rescale_betas_zero_snr=True)),
        ("DDIMScheduler", dict(beta_schedule="squaredcos_cap_v2", rescale_betas_zero_snr=True)),
    ]:
        scheduler = getattr(diffusers, cls)(**config)
        bars = scheduler.alphas_cumprod.double().tolist()
        steps = sorted({0, 1, 7, len(bars) // 2, len(bars) - 2, len(bars) - 1})
        cases.append(dict(config=dict(_class_name=cls, **config), steps=len(bars), alphas_cumprod={t: bars[t] for t in steps}))
    with open(f"{HERE}/schedules.json", "w") as file:
        file.write(json.dumps(cases, indent=1) + "\n")


unets()
schedules()
