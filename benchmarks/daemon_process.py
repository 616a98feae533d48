"""What the kernel knows of the daemon's process: time on the processor, memory, wake-ups, bytes written."""

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class DaemonProcess:
    """Figures of the process alone; what the harness and the sandbox cost is in none of them."""

    pid: int
    ready_seconds: float  # from the start to "ready", the interpreter's own start included

    def cpu_seconds(self) -> float:
        fields = self._read("stat").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def peak_mib(self) -> float:
        return self._memory("VmHWM")

    def resident_mib(self) -> float:
        return self._memory("VmRSS")

    def written_bytes(self) -> int:
        """Return what it sent towards the disk, in whole pages."""
        lines = dict(line.split(": ") for line in self._read("io").splitlines())
        return int(lines["write_bytes"])

    def wake_ups(self) -> int:
        """Return how often its living threads went to sleep of their own accord, which is how often they woke."""
        tasks = Path(f"/proc/{self.pid}/task").iterdir()
        lines = (line for task in tasks for line in (task / "status").read_text().splitlines())
        return sum(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt_switches"))

    def _memory(self, field: str) -> float:
        line = next(line for line in self._read("status").splitlines() if line.startswith(field))
        return int(line.split()[1]) / 1024

    def _read(self, name: str) -> str:
        return Path(f"/proc/{self.pid}/{name}").read_text()
