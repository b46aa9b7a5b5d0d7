"""Processes that are started for a comparison, and what they use of processor and memory."""

import os
import re
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
KIB = 1 << 10


@dataclass
class Cpu:
    """Seconds of processor time."""

    user: float = 0.0
    kernel: float = 0.0

    @property
    def total(self) -> float:
        return self.user + self.kernel

    def __sub__(self, other: "Cpu") -> "Cpu":
        return Cpu(self.user - other.user, self.kernel - other.kernel)


@dataclass
class Memory:
    """MiB; of what is shared with other processes, PSS has a share and RSS all."""

    pss: float = 0.0
    rss: float = 0.0
    peak_rss: float = 0.0


class Process:
    """A program with all the processes that it starts."""

    def __init__(self, command: list[str], log: Path, cpu: int | None = None) -> None:
        pinned = ["taskset", "-c", str(cpu)] if cpu is not None else []
        with log.open("ab") as output:
            self.process = subprocess.Popen(pinned + command, stdout=output, stderr=output, cwd=log.parent, start_new_session=True)

    def pids(self) -> list[int]:
        """The process and its descendants."""
        children: dict[int, list[int]] = {}
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                children.setdefault(int(stat(int(pid))[1]), []).append(int(pid))
            except OSError:
                # It has ended since.
                continue
        found, waiting = [], [self.process.pid]
        while waiting:
            pid = waiting.pop()
            found.append(pid)
            waiting += children.get(pid, [])
        return found

    def cpu(self) -> Cpu:
        used = Cpu()
        for pid in self.pids():
            try:
                fields = stat(pid)
            except OSError:
                continue
            used.user += int(fields[11]) / TICKS
            used.kernel += int(fields[12]) / TICKS
        return used

    def memory(self) -> Memory:
        used = Memory()
        for pid in self.pids():
            try:
                rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
                status = Path(f"/proc/{pid}/status").read_text()
            except OSError:
                continue
            used.pss += kib("Pss", rollup) / KIB
            used.rss += kib("Rss", rollup) / KIB
            used.peak_rss += kib("VmHWM", status) / KIB
        return used

    def stop(self) -> None:
        pids = self.pids()
        self.process.terminate()
        try:
            self.process.wait(6)
        except subprocess.TimeoutExpired:
            for pid in pids:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            self.process.wait()


def stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the name, which may have blanks."""
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()


def kib(name: str, text: str) -> int:
    match = re.search(rf"^{name}:\s+(\d+)", text, re.M)
    return int(match[1]) if match else 0


def machine_cpu() -> float:
    """Seconds of processor time that all processes of the machine have used."""
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    # Without idle time and time spent waiting for disks.
    return (sum(fields[:3]) + sum(fields[5:8])) / TICKS
