"""Random weights in the format of NV-Segment-CTMR, narrow enough for a test."""

from pathlib import Path

import torch
from monai.networks.nets.vista3d import vista3d132

NARROWEST = 8


def make_weights(path: Path, *, width: int = NARROWEST, seed: int = 0) -> Path:
    """Write the state dict of a random network, 24 MB at the narrowest."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        state = vista3d132(encoder_embed_dim=width).state_dict()
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(state, path)
    return path
