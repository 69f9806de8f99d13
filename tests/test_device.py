"""Free memory of the machine."""

import pytest

from faststyle import device
from faststyle.device import free_memory


@pytest.mark.parametrize(
    "files",
    [("max", "current", "inactive_file"), ("limit_in_bytes", "usage_in_bytes", "total_inactive_file")],
)
def test_memory_limit_of_a_container_is_respected(tmp_path, monkeypatch, files):
    limit, used, cache = files
    (tmp_path / f"memory.{limit}").write_text("5000\n")
    (tmp_path / f"memory.{used}").write_text("2000\n")
    (tmp_path / "memory.stat").write_text(f"anon 7\n{cache} 500\n")
    monkeypatch.setattr(device, "CGROUP_ROOT", tmp_path)
    device.cpu_memory.cache_clear()
    assert free_memory() == 3500
    (tmp_path / f"memory.{limit}").write_text("max\n")
    device.cpu_memory.cache_clear()
    assert free_memory() > 1 << 20
