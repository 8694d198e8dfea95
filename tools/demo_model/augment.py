"""Pictures for training, made in batches on whatever device the archive lies on."""

import math

import torch
import torch.nn.functional as F

SIDE = 64
# Rendered at twice the side and averaged, so that thin lines survive.
OVERSAMPLED = 2 * SIDE

# How often a picture of each category is drawn: of the category, not of one picture.
SHARES = {"animals": 5.0, "smileys": 2.0, "people": 1.5, "food": 1.0, "objects": 0.5}
SCENES = 0.15
# Share of white, flat, gradient and textured backgrounds.
BACKGROUNDS = [0.25, 0.25, 0.2, 0.3]


def uniform(low, high, *shape, device):
    return torch.rand(*shape, device=device) * (high - low) + low


def affine(angle, scale, shear, flip, shift):
    """(n, 2, 3): from the output's coordinates in [-1, 1] back to the picture's. `shift` moves the drawing, in units of
    half a side; `scale` is the drawing's share of the output's side."""
    cos, sin = angle.cos(), angle.sin()
    rotation = torch.stack([torch.stack([cos, sin], -1), torch.stack([-sin, cos], -1)], -2)
    one, zero = torch.ones_like(shear), torch.zeros_like(shear)
    sheared = torch.stack([torch.stack([one, shear], -1), torch.stack([zero, one], -1)], -2)
    flipped = torch.stack([torch.stack([flip, zero], -1), torch.stack([zero, one], -1)], -2)
    back = flipped @ sheared @ rotation / scale[:, None, None]
    return torch.cat([back, -back @ shift[:, :, None]], -1)


def draw(pictures, theta):
    """`pictures` (n, 4, h, w) uint8, premultiplied -> (n, 4, SIDE, SIDE) in [0, 1]."""
    grid = F.affine_grid(theta, [len(theta), 4, OVERSAMPLED, OVERSAMPLED], align_corners=False)
    drawn = F.grid_sample(pictures.float() / 255, grid, align_corners=False)
    return F.avg_pool2d(drawn, OVERSAMPLED // SIDE)


def jitter(layers, strength=1.0):
    """Hue, saturation, contrast and brightness of each layer (n, 4, h, w), by one colour matrix each."""
    n, device = len(layers), layers.device
    angle = uniform(-0.35, 0.35, n, device=device) * strength
    saturation = torch.exp(uniform(-0.5, 0.3, n, device=device) * strength)
    gain = torch.exp(uniform(-0.2, 0.2, n, 3, device=device) * strength)
    lift = uniform(-0.12, 0.12, n, device=device) * strength
    # Rotation about the grey axis, and stretching away from it.
    grey = torch.full((3, 3), 1 / 3, device=device)
    third = 1 / math.sqrt(3)
    cross = third * torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]], device=device)
    turn = (torch.eye(3, device=device) - grey) * angle.cos()[:, None, None] + cross * angle.sin()[:, None, None]
    matrix = gain[:, :, None] * (grey + saturation[:, None, None] * turn)
    colours, alpha = layers[:, :3], layers[:, 3:]
    colours = torch.einsum("nij,njhw->nihw", matrix, colours) + lift[:, None, None, None] * alpha
    return torch.cat([torch.minimum(colours.clamp(min=0), alpha), alpha], 1)


def over(layer, background):
    return layer[:, :3] + (1 - layer[:, 3:]) * background


def backgrounds(pictures, n):
    """(n, 3, SIDE, SIDE): white, flat, gradient, or a magnified crop of some picture over a flat colour."""
    device = pictures.device
    kind = torch.multinomial(torch.tensor(BACKGROUNDS, device=device), n, replacement=True)[:, None, None, None]
    first, second = torch.rand(2, n, 3, 1, 1, device=device)
    line = torch.linspace(0, 1, SIDE, device=device)
    angle = uniform(0, 2 * math.pi, n, 1, 1, device=device)
    ramp = (0.5 + (line[None, None, :] - 0.5) * angle.cos() + (line[None, :, None] - 0.5) * angle.sin()).clamp(0, 1)
    ramp = ramp[:, None]
    gradient = first * (1 - ramp) + second * ramp
    texture = pictures[torch.randint(len(pictures), (n,), device=device)]
    zero = torch.zeros(n, device=device)
    theta = affine(
        uniform(0, 2 * math.pi, n, device=device),
        uniform(2, 5, n, device=device),
        zero,
        zero + 1,
        uniform(-1.5, 1.5, n, 2, device=device),
    )
    texture = over(jitter(draw(texture, theta)), first.expand(-1, -1, SIDE, SIDE))
    flat = first.expand(-1, -1, SIDE, SIDE)
    return torch.where(kind == 0, 1.0, torch.where(kind == 1, flat, torch.where(kind == 2, gradient, texture)))


class Sampler:
    """Draws augmented batches from `pictures` (N, 4, 96, 96) uint8 with their index entries."""

    def __init__(self, pictures, index):
        self.pictures = pictures
        counts = {}
        for entry in index:
            counts[entry["category"]] = counts.get(entry["category"], 0) + 1
        weights = [SHARES[entry["category"]] / counts[entry["category"]] for entry in index]
        self.weights = torch.tensor(weights, device=pictures.device)
        animals = [number for number, entry in enumerate(index) if entry["category"] == "animals"]
        self.animals = torch.tensor(animals, device=pictures.device)

    def batch(self, n, points=0):
        """(n, 3, SIDE, SIDE) in [-1, 1]. The last SCENES of it are scenes of two animals.

        With `points`, the first 2m pictures are two views of m drawings, first all first views, and (2, m, points, 2)
        tells where that many places of each drawing lie in both, in [-1, 1] where they are inside."""
        device = self.pictures.device
        # A fraction of a scene is one by chance, so that small batches have their share.
        scenes = min(n, int(n * SCENES + torch.rand(()).item()))
        single = n - scenes
        twice = single // 2 if points else 0
        chosen = torch.multinomial(self.weights, single - twice, replacement=True)
        chosen = torch.cat([chosen[:twice], chosen])
        pairs = self.animals[torch.randint(len(self.animals), (2 * scenes,), device=device)]
        chosen = torch.cat([chosen, pairs])
        total = len(chosen)
        scale = uniform(0.72, 1.2, total, device=device)
        scale[single:] *= 0.55
        shift = uniform(-0.24, 0.24, total, 2, device=device)
        if scenes:
            # On opposite sides of the middle, in any direction.
            angle = uniform(0, 2 * math.pi, scenes, device=device)
            apart = torch.stack([angle.cos(), angle.sin()], -1) * uniform(0.42, 0.55, scenes, 1, device=device)
            shift[single:] = 0.5 * shift[single:] + torch.cat([apart, -apart])
        flip = torch.where(torch.rand(total, device=device) < 0.5, 1.0, -1.0)
        # Left stays left between two views.
        flip[:twice] = flip[twice : 2 * twice]
        theta = affine(
            uniform(-math.pi / 12, math.pi / 12, total, device=device),
            scale,
            uniform(-0.12, 0.12, total, device=device),
            flip,
            shift,
        )
        drawings = self.pictures[chosen]
        layers = jitter(draw(drawings, theta))
        canvas = backgrounds(self.pictures, n)
        canvas = torch.cat([canvas[:single], over(layers[single : single + scenes], canvas[single:])])
        out = over(torch.cat([layers[:single], layers[single + scenes :]]), canvas)
        out = out.clamp(0, 1) * 2 - 1
        if not points:
            return out
        # Places on the drawing, by its alpha.
        cells = F.avg_pool2d(drawings[:twice, 3:].float(), 4)[:, 0]
        side = cells.shape[-1]
        cell = torch.multinomial(cells.flatten(1) + 1e-3, points, replacement=True)
        places = torch.stack([cell % side, cell // side], -1) + torch.rand(twice, points, 2, device=device)
        places = places / side * 2 - 1
        both = theta[: 2 * twice].reshape(2, twice, 2, 3)
        return out, torch.linalg.solve(both[..., :2], (places - both[:, :, None, :, 2]).mT).mT
