"""The memory that is free: of the machine, and of the control group that this process lives in."""

from pathlib import Path

MEMINFO = Path("/proc/meminfo")
MEMBERSHIP = Path("/proc/self/cgroup")
GROUPS = Path("/sys/fs/cgroup")


def free_memory() -> int | None:
    """Bytes that this process may still take, of the machine's and of its control group's; None: it is not known."""
    known = [count for count in (_of_machine(), _of_group()) if count is not None]
    return min(known, default=None)


def _of_machine() -> int | None:
    try:
        lines = MEMINFO.read_text().splitlines()
        (line,) = [line for line in lines if line.startswith("MemAvailable:")]
        return 1024 * int(line.split()[1])
    except (OSError, ValueError, IndexError):
        return None


def _of_group() -> int | None:
    """The least that its control group and those above it leave; files that are only kept in memory do not count."""
    try:
        lines = MEMBERSHIP.read_text().splitlines()
    except OSError:
        return None
    found = []
    for line in lines:
        _, controllers, name = line.split(":", 2)
        if controllers == "":
            found += _left_of(GROUPS, name, ("memory.max", "memory.current", "inactive_file"))
        elif "memory" in controllers.split(","):
            files = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            found += _left_of(GROUPS / "memory", name, files)
    return min(found, default=None)


def _left_of(root: Path, name: str, files: tuple[str, str, str]) -> list[int]:
    """What is left of each group from this one up to the root: the bound, less what is used."""
    bound, usage, kept = files
    found = []
    place = root / name.lstrip("/")
    for folder in (place, *place.parents):
        try:
            most = int((folder / bound).read_text())
            used = int((folder / usage).read_text())
            stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
            found.append(max(0, most - used + int(stat[kept])))
        except (OSError, ValueError, KeyError):  # no bound here
            pass
        if folder == root:
            break
    return found
