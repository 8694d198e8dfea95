"""Writes a Flux.1 dev of full size with random weights: the transformer as Q8_0 in a GGUF file (12.6 GB) or in bf16 (23.8 GB),
a T5-XXL in fp8 (4.9 GB), a CLIP-L, and the autoencoder and tokenizers of a small model.

    python flux.py SMALL OUT [--bf16]         # SMALL: the folder of a small Flux in the hub's layout, such as the tests' tiny-flux-dev
    featscope extract --model OUT+OUT/flux1-dev.gguf --weights-memory 6GiB ...

Numbers are drawn block by block and repeated inside large tensors: reading, widening and multiplying them takes as long as it
does with trained ones.
"""

import argparse
import json
import shutil
import struct
from pathlib import Path

import numpy as np

WIDTH, HEADS_WIDTH, INNER, TEXT, POOLED, PACKED = 3072, 128, 12288, 4096, 768, 64
DOUBLE, SINGLE = 19, 38
BLOCK = 32  # numbers in a block of Q8_0
F32, Q8_0 = 0, 8
ALIGNMENT = 32
PERIOD = 1 << 22  # numbers after which those of a tensor repeat

random = np.random.default_rng(0)


def denoiser():
    """(name, shape) of every tensor, in the authors' names."""
    for name, into in [("img_in", PACKED), ("txt_in", TEXT)]:
        yield f"{name}.weight", (WIDTH, into)
        yield f"{name}.bias", (WIDTH,)
    for name, into in [("time_in", 256), ("guidance_in", 256), ("vector_in", POOLED)]:
        for layer, width in [("in_layer", into), ("out_layer", WIDTH)]:
            yield f"{name}.{layer}.weight", (WIDTH, width)
            yield f"{name}.{layer}.bias", (WIDTH,)

    def linear(name, out, into):
        yield f"{name}.weight", (out, into)
        yield f"{name}.bias", (out,)

    for block in range(DOUBLE):
        for stream in ["img", "txt"]:
            at = f"double_blocks.{block}.{stream}"
            yield from linear(f"{at}_mod.lin", 6 * WIDTH, WIDTH)
            yield from linear(f"{at}_attn.qkv", 3 * WIDTH, WIDTH)
            yield from linear(f"{at}_attn.proj", WIDTH, WIDTH)
            yield f"{at}_attn.norm.query_norm.scale", (HEADS_WIDTH,)
            yield f"{at}_attn.norm.key_norm.scale", (HEADS_WIDTH,)
            yield from linear(f"{at}_mlp.0", INNER, WIDTH)
            yield from linear(f"{at}_mlp.2", WIDTH, INNER)
    for block in range(SINGLE):
        at = f"single_blocks.{block}"
        yield from linear(f"{at}.linear1", 3 * WIDTH + INNER, WIDTH)
        yield from linear(f"{at}.linear2", WIDTH, WIDTH + INNER)
        yield from linear(f"{at}.modulation.lin", 3 * WIDTH, WIDTH)
        yield f"{at}.norm.query_norm.scale", (HEADS_WIDTH,)
        yield f"{at}.norm.key_norm.scale", (HEADS_WIDTH,)
    yield from linear("final_layer.linear", PACKED, WIDTH)
    yield from linear("final_layer.adaLN_modulation.1", 2 * WIDTH, WIDTH)


def plain(shape):
    """Numbers of a vector or a small matrix."""
    count = int(np.prod(shape))
    if len(shape) == 1:
        return (1 + 0.1 * random.standard_normal(count)).astype(np.float32)
    return (random.standard_normal(count) / np.sqrt(shape[-1])).astype(np.float32)


def repeated(part, count):
    whole = part[: min(len(part), count)]
    for start in range(0, count, len(whole)):
        yield whole[: count - start]


def write_gguf(path):
    tensors = list(denoiser())
    infos, offset = [], 0
    for name, shape in tensors:
        count = int(np.prod(shape))
        quantised = len(shape) > 1
        size = count // BLOCK * (2 + BLOCK) if quantised else 4 * count
        infos.append((name, shape, Q8_0 if quantised else F32, offset, size))
        offset += (size + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT

    def text(words):
        return struct.pack("<Q", len(words)) + words.encode()

    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), 1)
    head += text("general.architecture") + struct.pack("<I", 8) + text("flux")
    for name, shape, kind, at, _ in infos:
        head += text(name) + struct.pack("<I", len(shape))
        head += b"".join(struct.pack("<Q", side) for side in reversed(shape)) + struct.pack("<IQ", kind, at)
    head += b"\0" * (-len(head) % ALIGNMENT)
    blocks = PERIOD // BLOCK
    with open(path, "wb") as file:
        file.write(head)
        for _, shape, kind, _, size in infos:
            if kind == F32:
                file.write(plain(shape).tobytes())
            else:
                part = np.empty((blocks, 2 + BLOCK), np.uint8)
                # Bytes of every size alike have a standard deviation of 73.9.
                scale = np.full(blocks, 1 / (73.9 * np.sqrt(shape[-1])), np.float16)
                part[:, :2] = scale.view(np.uint8).reshape(-1, 2)
                part[:, 2:] = random.integers(0, 256, (blocks, BLOCK), np.uint8)
                for piece in repeated(part, int(np.prod(shape)) // BLOCK):
                    file.write(piece.tobytes())
            file.write(b"\0" * (-size % ALIGNMENT))


def write_safetensors(path, tensors, numbers, dtype, width):
    header, offset = {}, 0
    for name, shape in tensors:
        size = int(np.prod(shape)) * width
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [offset, offset + size]}
        offset += size
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(head)) + head)
        for _, shape in tensors:
            for piece in repeated(numbers(shape), int(np.prod(shape))):
                file.write(piece.tobytes())


def bf16(shape):
    part = plain(shape if len(shape) == 1 else (PERIOD // shape[-1], shape[-1]))
    return (part.view(np.uint32) >> 16).astype(np.uint16)


def fp8(shape):
    """e4m3fn: both signs, sizes from 2^-6 to 2^-4; of vectors 1."""
    if len(shape) == 1:
        return np.full(shape, 0x38, np.uint8)
    sizes = random.integers(0x08, 0x18, PERIOD, np.uint8)
    return sizes | (random.integers(0, 2, PERIOD, np.uint8) << 7)


def t5(config):
    width, inner, heads = config["d_model"], config["d_ff"], config["num_heads"] * config["d_kv"]
    yield "shared.weight", (config["vocab_size"], width)
    for block in range(config["num_layers"]):
        at = f"encoder.block.{block}.layer"
        if block == 0:
            yield f"{at}.0.SelfAttention.relative_attention_bias.weight", (32, config["num_heads"])
        for part in "qkv":
            yield f"{at}.0.SelfAttention.{part}.weight", (heads, width)
        yield f"{at}.0.SelfAttention.o.weight", (width, heads)
        yield f"{at}.0.layer_norm.weight", (width,)
        yield f"{at}.1.DenseReluDense.wi_0.weight", (inner, width)
        yield f"{at}.1.DenseReluDense.wi_1.weight", (inner, width)
        yield f"{at}.1.DenseReluDense.wo.weight", (width, inner)
        yield f"{at}.1.layer_norm.weight", (width,)
    yield "encoder.final_layer_norm.weight", (width,)


def clip(config):
    width, inner = config["hidden_size"], config["intermediate_size"]
    yield "text_model.embeddings.position_embedding.weight", (77, width)
    yield "text_model.embeddings.token_embedding.weight", (config["vocab_size"], width)

    def both(name, *shape):
        yield f"{name}.weight", shape
        yield f"{name}.bias", shape[:1]

    for layer in range(config["num_hidden_layers"]):
        at = f"text_model.encoder.layers.{layer}"
        for norm in ["layer_norm1", "layer_norm2"]:
            yield from both(f"{at}.{norm}", width)
        yield from both(f"{at}.mlp.fc1", inner, width)
        yield from both(f"{at}.mlp.fc2", width, inner)
        for part in ["k_proj", "out_proj", "q_proj", "v_proj"]:
            yield from both(f"{at}.self_attn.{part}", width, width)
    yield from both("text_model.final_layer_norm", width)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("small", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--bf16", action="store_true")
    arguments = parser.parse_args()
    out = arguments.out
    for part in ["model_index.json", "scheduler", "tokenizer", "tokenizer_2", "vae"]:
        source = arguments.small / part
        copy = shutil.copytree if source.is_dir() else shutil.copy
        if not (out / part).exists():
            out.mkdir(parents=True, exist_ok=True)
            copy(source, out / part)

    def config(part, **changes):
        read = json.loads((arguments.small / part / "config.json").read_text()) | changes
        (out / part).mkdir(exist_ok=True)
        (out / part / "config.json").write_text(json.dumps(read))
        return read

    config(
        "transformer", attention_head_dim=HEADS_WIDTH, axes_dims_rope=[16, 56, 56], joint_attention_dim=TEXT, num_layers=DOUBLE,
        num_attention_heads=WIDTH // HEADS_WIDTH, num_single_layers=SINGLE, pooled_projection_dim=POOLED,
    )  # fmt: skip
    sizes = {"d_ff": 10240, "d_kv": 64, "d_model": TEXT, "num_heads": 64, "num_layers": 24, "vocab_size": 32128}
    large = config("text_encoder_2", **sizes)
    write_safetensors(out / "text_encoder_2" / "model.safetensors", list(t5(large)), fp8, "F8_E4M3", 1)
    small = config(
        "text_encoder", hidden_size=POOLED, intermediate_size=4 * POOLED, num_attention_heads=12, num_hidden_layers=12,
        projection_dim=POOLED,
    )  # fmt: skip
    write_safetensors(out / "text_encoder" / "model.safetensors", list(clip(small)), plain, "F32", 4)
    if arguments.bf16:
        write_safetensors(out / "flux1-dev.safetensors", list(denoiser()), bf16, "BF16", 2)
    else:
        write_gguf(out / "flux1-dev.gguf")


if __name__ == "__main__":
    main()
