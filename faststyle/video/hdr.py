"""Tone mapping of high dynamic range (PQ and HLG) to sRGB."""

from functools import lru_cache

import numpy as np
from PIL import Image, ImageFilter

PQ, HLG = 16, 18  # transfer characteristics in ITU-T H.273
PEAK, WHITE = 1000.0, 203.0  # nits: the brightest level that keeps detail, and white paper (BT.2408)
TABLE_SIZE = 65  # steps of each side of the lookup table, Pillow's maximum

# BT.2020's primaries to BT.709's, of linear light (BT.2087).
TO_709 = np.array([[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]])
M1, M2, C1, C2, C3 = 0.1593017578125, 78.84375, 0.8359375, 18.8515625, 18.6875  # SMPTE ST 2084


def pq_to_nits(code: np.ndarray) -> np.ndarray:
    power = np.asarray(code) ** (1 / M2)
    return 10000 * (np.maximum(power - C1, 0) / (C2 - C3 * power)) ** (1 / M1)


def nits_to_pq(nits: np.ndarray | float) -> np.ndarray:
    power = (np.asarray(nits) / 10000) ** M1
    return ((C1 + C2 * power) / (1 + C3 * power)) ** M2


def hlg_to_nits(code: np.ndarray) -> np.ndarray:
    """Convert (...,3) of BT.2100's HLG to the light of a screen of 1000 nits."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = np.where(code <= 0.5, code**2 / 3, (np.exp((code - c) / a) + b) / 12)
    luminance = scene @ np.array([0.2627, 0.6780, 0.0593])
    return PEAK * scene * luminance[..., None] ** 0.2


def compress(nits: np.ndarray) -> np.ndarray:
    """Roll highlights off, so that 1000 nits become white's 203 (the curve of BT.2390, in PQ)."""
    top, target = nits_to_pq(PEAK), nits_to_pq(WHITE) / nits_to_pq(PEAK)
    code, knee = np.minimum(nits_to_pq(nits) / top, 1), 1.5 * target - 0.5
    t = np.maximum(code - knee, 0) / (1 - knee)
    rolled = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee)
    rolled += (3 * t**2 - 2 * t**3) * target
    return pq_to_nits(top * np.where(code < knee, code, rolled))


@lru_cache(maxsize=2)
def lookup_table(transfer: int) -> ImageFilter.Color3DLUT:
    codes = np.linspace(0, 1, TABLE_SIZE)
    blue, green, red = np.meshgrid(codes, codes, codes, indexing="ij")  # red varies fastest
    rgb = np.stack([red, green, blue], -1)  # (65,65,65,3)
    nits = pq_to_nits(rgb) if transfer == PQ else hlg_to_nits(rgb)
    linear = np.clip(compress(nits) / WHITE @ TO_709.T, 0, 1)
    srgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return ImageFilter.Color3DLUT(TABLE_SIZE, srgb.reshape(-1).tolist())


def tone_map(pixels: np.ndarray, transfer: int) -> np.ndarray:
    """Convert (H,W,3) uint8 of BT.2020 in PQ or HLG to sRGB, (H,W,3) uint8."""
    return np.array(Image.fromarray(pixels).filter(lookup_table(transfer)))
