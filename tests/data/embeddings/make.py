#!/usr/bin/env python3
"""Makes the embeddings beside it and what diffusers 0.32.2 computes with them (torch, transformers, safetensors).

expected.safetensors: for each prompt N `sd15.N.states` (the first 24 of the text states), for N = 1 also activations of the U-Net at
t 51 on the input of cases/sd15-all-64; `sdxl.N.states` and `sdxl.N.pooled`. prompts.json: the prompts, and the files each knows."""
import json, os
import torch
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline
from safetensors.torch import load_file, save_file

HERE = os.path.dirname(os.path.abspath(__file__))
DATA = os.path.dirname(HERE)
SHOWN = 24
torch.manual_seed(5)

def vectors(*shape):
    return torch.randn(*shape) * 0.5

files = {
    "cat-toy.bin": {"<cat-toy>": vectors(32)},
    "style.safetensors": {"<style>": vectors(3, 32)},
    "webui.pt": {
        "string_to_token": {"*": 265}, "string_to_param": {"*": vectors(2, 32)}, "name": "neg-emb", "step": 1500,
        "sd_checkpoint": "0123abcd", "sd_checkpoint_name": "none",
    },
    "easy.safetensors": {"emb_params": vectors(2, 32).half()},
    "bare.pt": vectors(1, 32),
    "pair.safetensors": {"clip_l": vectors(2, 24), "clip_g": vectors(3, 40)},
}
for name, content in files.items():
    path = os.path.join(HERE, name)
    save_file(content, path) if name.endswith(".safetensors") else torch.save(content, path)

prompts = {
    "sd15": [
        "a photo of <cat-toy> on a table",
        "a <style> photo, <style>-like, with xneg-embx and easypeasy, Easy <STYLE>",
        "<style>_1 and <style>_2 bare <style>",
    ],
    "sdxl": ["a photo of pair on a pair of pairs"],
}
known = {"sd15": ["cat-toy.bin", "style.safetensors", "webui.pt", "easy.safetensors", "bare.pt"], "sdxl": ["pair.safetensors"]}
json.dump({"prompts": prompts, "files": known}, open(os.path.join(HERE, "prompts.json"), "w"), indent=1)
expected = {}

model = os.path.join(DATA, "models", "tiny-sd15")
pipe = StableDiffusionPipeline.from_pretrained(model, safety_checker=None, feature_extractor=None, torch_dtype=torch.float32)
pipe.load_textual_inversion(os.path.join(HERE, "cat-toy.bin"))
pipe.load_textual_inversion(os.path.join(HERE, "style.safetensors"))
pipe.load_textual_inversion(os.path.join(HERE, "webui.pt"))
pipe.load_textual_inversion(load_file(os.path.join(HERE, "easy.safetensors"))["emb_params"], token="easy")
pipe.load_textual_inversion(torch.load(os.path.join(HERE, "bare.pt")), token="bare")
with torch.no_grad():
    for number, prompt in enumerate(prompts["sd15"]):
        states, _ = pipe.encode_prompt(prompt, "cpu", 1, False)
        expected[f"sd15.{number}.states"] = states[:, :SHOWN].contiguous()
        if number == 1:
            case = load_file(os.path.join(DATA, "cases", "sd15-all-64", "expected.safetensors"))
            met = {}
            def keep(name):
                return lambda _module, _input, output: met.__setitem__(name, output if torch.is_tensor(output) else output[0])
            pipe.unet.mid_block.attentions[0].register_forward_hook(keep("mid-vit-out"))
            pipe.unet.up_blocks[1].resnets[1].register_forward_hook(keep("up-level1-repeat1-res-out"))
            met["unet-out"] = pipe.unet(case["mid.unet_in"], 51, states).sample
            expected |= {f"feat.{name}": tensor.contiguous() for name, tensor in met.items()}

model = os.path.join(DATA, "models", "tiny-sdxl")
pipe = StableDiffusionXLPipeline.from_pretrained(model, variant="fp16", torch_dtype=torch.float32)
pair = load_file(os.path.join(HERE, "pair.safetensors"))
pipe.load_textual_inversion(pair["clip_l"], token="pair", text_encoder=pipe.text_encoder, tokenizer=pipe.tokenizer)
pipe.load_textual_inversion(pair["clip_g"], token="pair", text_encoder=pipe.text_encoder_2, tokenizer=pipe.tokenizer_2)
with torch.no_grad():
    for number, prompt in enumerate(prompts["sdxl"]):
        states, _, pooled, _ = pipe.encode_prompt(prompt, device="cpu", do_classifier_free_guidance=False)
        expected[f"sdxl.{number}.states"] = states[:, :SHOWN].contiguous()
        expected[f"sdxl.{number}.pooled"] = pooled.contiguous()
save_file(expected, os.path.join(HERE, "expected.safetensors"))
