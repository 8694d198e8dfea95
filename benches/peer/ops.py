"""Times PyTorch's operators at the shapes of benches/ops.rs, on one thread: processor milliseconds, the best of some repeats."""

import argparse
import time

import torch
import torch.nn.functional as F


def best(repeats, work):
    work()
    found = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        found.append(time.process_time() - start)
    return 1000 * min(found)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    torch.set_num_threads(1)
    operators = {}
    for inputs, outputs, side, kernel, stride in [
        (320, 320, 64, 3, 1),
        (1920, 640, 32, 3, 1),
        (1280, 1280, 16, 3, 1),
        (1280, 1280, 8, 3, 1),
        (512, 512, 128, 3, 1),
        (128, 128, 512, 3, 1),
        (320, 320, 64, 3, 2),
        (320, 320, 64, 1, 1),
    ]:
        x, weight = torch.randn(1, inputs, side, side), torch.randn(outputs, inputs, kernel, kernel)
        operators[f"conv/{inputs}-{outputs} {kernel}x{kernel} at {side}, stride {stride}"] = (
            lambda x=x, w=weight, b=torch.randn(outputs), s=stride, p=kernel // 2: F.conv2d(x, w, b, s, p)
        )
    for heads, queries, keys, width in [(8, 4096, 4096, 40), (8, 1024, 1024, 80), (8, 4096, 77, 40), (1, 4096, 4096, 512)]:
        q, k, v = (torch.randn(1, heads, count, width) for count in (queries, keys, keys))
        operators[f"attention/{heads} heads, {queries} x {keys} x {width}"] = (
            lambda q=q, k=k, v=v: F.scaled_dot_product_attention(q, k, v)
        )
    for channels, side in [(320, 64), (128, 512)]:
        x, weight, bias = torch.randn(1, channels, side, side), torch.randn(channels), torch.randn(channels)
        operators[f"group norm and SiLU/{channels} at {side}"] = (
            lambda x=x, w=weight, b=bias: F.silu(F.group_norm(x, 32, w, b))
        )
    x, weight, bias = torch.randn(1, 4096, 320), torch.randn(320), torch.randn(320)
    operators["layer norm/4096 x 320"] = lambda: F.layer_norm(x, (320,), weight, bias)
    both = torch.randn(1, 4096, 2560)

    def geglu():
        hidden, gate = both.chunk(2, -1)
        return hidden * F.gelu(gate)

    operators["GEGLU/4096 x 1280"] = geglu
    with torch.inference_mode():
        for name, work in operators.items():
            print(f"{name}: {best(repeats, work):.2f} ms", flush=True)


if __name__ == "__main__":
    main()
