"""How much memory there is now, and what a picture needs of it."""

import os
from pathlib import Path

import torch

from faststyle.transformer import TransformerNetwork

MOST_WHOLE = 50_000_000  # pixels; larger pictures go by tiles however much memory there is
UNKNOWN = 8 << 30  # bytes; where the system does not say
GROUPS = Path("/sys/fs/cgroup")  # on Linux: a container's limits
# The names of limit, use, and of the part of the use that is given back when it is needed.
GROUP_FILES = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def free_memory(device: torch.device) -> int:
    """Bytes that can be taken on this device now: a GPU's own, else the machine's or the container's."""
    if device.type == "cuda":
        # What torch keeps of earlier pictures is free for the next one.
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + kept
    return min([machine(), *containers()])


def machine() -> int:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        pass
    try:  # not what is free, but all of it
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return UNKNOWN


def containers() -> list[int]:
    """What the control group of this process, and those that it lies in, leave."""
    folders = {GROUPS, GROUPS / "memory"}  # in a container its own group is the root
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:  # 0::/path, or 4:memory:/path in the older version
        kind, path = line.split(":", 2)[1:]
        root = GROUPS / "memory" if "memory" in kind else GROUPS
        folders |= {root / part for part in (path.strip("/"), *map(str, Path(path.strip("/")).parents))}
    return [room for folder in folders for room in group_room(folder)]


def group_room(folder: Path) -> list[int]:
    """What one control group leaves, or nothing."""
    for limit, used, cache in GROUP_FILES:
        try:
            stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
            taken = int((folder / used).read_text()) - int(stat.get(cache, 0))
            return [max(0, int((folder / limit).read_text()) - taken)]  # "max" is no number
        except (OSError, ValueError):
            continue
    return []


def bytes_per_pixel(network: TransformerNetwork) -> int:
    """What a picture takes at the network's widest, in float32: 420 for half, 132 for fast, 804 for full.

    Measured on the CPU at 1 to 12 megapixels. Most of it is the first and the last layers', so it
    grows with the channels there.
    """
    channels = network.last.in_channels / network.scale**2
    return round(36 + 24 * channels)


def most_pixels(network: TransformerNetwork, device: torch.device) -> int:
    """Pixels of the largest picture to stylize whole: it takes half of the memory that there is now."""
    return min(MOST_WHOLE, free_memory(device) // 2 // bytes_per_pixel(network))
