"""Times what a notebook does with features in PyTorch, on the shapes of benches/analysis.rs: one position's cosine with all
others, and mutual nearest neighbours of all pairs of positions.

    python similarity.py [--repeat N] [--threads N]

`prepared`: the vectors were brought to length 1 before, as is done once for a map. Prints the best of N runs.
"""

import argparse
import time

import torch
from torch.nn.functional import normalize


def cosine_with_all(vectors, position):
    return torch.nn.functional.cosine_similarity(vectors[position][None], vectors, dim=1)


def mutual(a, b):
    """The positions of `a` whose nearest in `b` has them as its nearest, and those nearest."""
    similarity = normalize(a, dim=1) @ normalize(b, dim=1).T
    there, back = similarity.argmax(1), similarity.argmax(0)
    kept = torch.arange(len(a))[back[there] == torch.arange(len(a))]
    return kept, there[kept]


def best(repeat, work):
    seconds = []
    for _ in range(repeat + 1):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    # The first run warms up.
    return 1000 * min(seconds[1:])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeat", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    print(f"torch {torch.__version__}, {arguments.threads} threads, best of {arguments.repeat}, ms")
    vectors = torch.randn(4096, 1280)
    unit = normalize(vectors, dim=1)
    print(f"cosine 4096x1280            {best(arguments.repeat, lambda: cosine_with_all(vectors, 100)):8.2f}")
    print(f"cosine 4096x1280, prepared  {best(arguments.repeat, lambda: unit @ unit[100]):8.2f}")
    a, b = torch.randn(4096, 320), torch.randn(4096, 320)
    print(f"mutual 4096x4096x320        {best(arguments.repeat, lambda: mutual(a, b)):8.2f}")


if __name__ == "__main__":
    main()
