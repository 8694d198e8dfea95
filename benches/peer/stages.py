"""What a researcher's script does with diffusers on PyTorch, timed stage by stage.

Prints one line of JSON: processor seconds (user and system, all threads) and wall seconds of every repeat, and the peak
of resident memory. `extract` is the whole script, which a caller times from the start of the process.
"""

import argparse
import json
import resource
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SIDE = 512
PROMPT = "a photo of a cat"
# The four activations that the program's preset `sd15-practical` names, and how hooks find them.
PRACTICAL = {
    "up-level1-repeat1-vit-block0-cross-q": "up_blocks.1.attentions.1.transformer_blocks.0.attn2.to_q",
    "up-level1-repeat2-res-out": "up_blocks.1.resnets.2",
    "up-level2-repeat1-vit-block0-cross-q": "up_blocks.2.attentions.1.transformer_blocks.0.attn2.to_q",
    "up-level3-repeat0-vit-block0-self-k": "up_blocks.3.attentions.0.transformer_blocks.0.attn1.to_k",
}
EARLY = {"mid-vit-out": "mid_block.attentions.0"}


def hooked(network, names):
    """Records the outputs of modules."""
    kept = {}
    modules = dict(network.named_modules())

    def keep(name):
        def hook(_module, _inputs, output):
            kept[name] = output[0] if isinstance(output, tuple) else output

        return hook

    for name in names:
        modules[name].register_forward_hook(keep(name))
    return kept


def timed(repeats, work):
    """Processor and wall seconds of every repeat, after one to warm up."""
    work()
    found = []
    for _ in range(repeats):
        wall, processor = time.perf_counter(), time.process_time()
        work()
        found.append({"processor": time.process_time() - processor, "wall": time.perf_counter() - wall})
    return found


def picture():
    import numpy as np
    import torch
    from PIL import Image

    file = ROOT / "assets" / "samples" / "photo-cat.png"
    image = Image.open(file).convert("RGB").resize((SIDE, SIDE), Image.BICUBIC)
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float()
    return pixels / 127.5 - 1


def unet(model, names):
    import torch
    from diffusers import UNet2DConditionModel

    network = UNet2DConditionModel.from_pretrained(model / "unet").eval()
    hooked(network, names.values())
    latent, text = torch.randn(1, 4, SIDE // 8, SIDE // 8), torch.randn(1, 77, 768)
    return lambda: network(latent, 51, text)


def vae(model):
    from diffusers import AutoencoderKL

    network = AutoencoderKL.from_pretrained(model / "vae").eval()
    pixels = picture()
    return lambda: network.encode(pixels).latent_dist.mean


def text(model):
    """With reading the weights: the program reads them for a prompt and lets them go."""
    from transformers import CLIPTextModel, CLIPTokenizer

    def work():
        tokenizer = CLIPTokenizer.from_pretrained(model / "tokenizer")
        network = CLIPTextModel.from_pretrained(model / "text_encoder").eval()
        ids = tokenizer(PROMPT, padding="max_length", max_length=77, return_tensors="pt").input_ids
        return network(ids).last_hidden_state

    return work


def adm(model):
    import torch
    from safetensors.torch import load_file

    sys.path.insert(0, str(ROOT / "tools" / "demo_model"))
    from model import Adm

    network = Adm(json.loads((model / "config.json").read_text())).eval()
    # The published network predicts a variance as well.
    width = network.out[2].in_channels
    network.out[2] = torch.nn.Conv2d(width, 6, 3, padding=1)
    network.load_state_dict(load_file(model / "model.safetensors"))
    x, t = torch.randn(1, 3, 256, 256), torch.tensor([101])
    return lambda: network(x, t)


def extract(model, out):
    """The whole script: a picture file in, four activations in a file out."""
    import numpy as np
    import torch
    from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer

    tokenizer = CLIPTokenizer.from_pretrained(model / "tokenizer")
    text_encoder = CLIPTextModel.from_pretrained(model / "text_encoder").eval()
    autoencoder = AutoencoderKL.from_pretrained(model / "vae").eval()
    network = UNet2DConditionModel.from_pretrained(model / "unet").eval()
    scheduler = DDIMScheduler.from_pretrained(model / "scheduler")
    kept = hooked(network, PRACTICAL.values())
    ids = tokenizer(PROMPT, padding="max_length", max_length=77, return_tensors="pt").input_ids
    states = text_encoder(ids).last_hidden_state
    latent = autoencoder.encode(picture()).latent_dist.mean * autoencoder.config.scaling_factor
    noise = torch.randn(latent.shape, generator=torch.Generator().manual_seed(0))
    noisy = scheduler.add_noise(latent, noise, torch.tensor([51]))
    network(noisy, 51, states)
    np.savez(out, **{name: tensor.numpy() for name, tensor in kept.items()})


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stage", choices=["practical", "early", "vae", "text", "adm", "extract"])
    parser.add_argument("models", type=Path, help="the folder that weights.py filled")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--out", type=Path, help="where `extract` writes")
    arguments = parser.parse_args()
    import torch

    torch.set_num_threads(arguments.threads)
    sd15 = arguments.models / "sd15"
    with torch.inference_mode():
        if arguments.stage == "extract":
            extract(sd15, arguments.out)
            found = []
        else:
            work = {
                "practical": lambda: unet(sd15, PRACTICAL),
                "early": lambda: unet(sd15, EARLY),
                "vae": lambda: vae(sd15),
                "text": lambda: text(sd15),
                "adm": lambda: adm(arguments.models / "adm256"),
            }[arguments.stage]()
            found = timed(arguments.repeats, work)
    kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"runs": found, "peak_mib": kib / 1024}))


if __name__ == "__main__":
    main()
