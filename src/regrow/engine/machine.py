"""What there is for a build: this machine's memory, as far as this process may use it, the room on a disk, and how fast
it was seen to be; and how many machines and workers share the training.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path

from regrow.recipe.kind import Sharing


@dataclass(frozen=True)
class Machine:
    """What there is. None where nobody can tell.

    Attributes:
        memory_bytes: the machine's, or less if the process is in a container or a group that may not have all of it.
        disk_bytes: free where the store is.
    """

    memory_bytes: int | None = None
    disk_bytes: int | None = None


_TYPICAL = 0.5
"""The share of products in the time of training, for where one number is said of all."""


@dataclass(frozen=True)
class Measured:
    """What ``regrow selftest`` has measured: how many times as long this machine takes as the one on which costs were.

    Attributes:
        products: for exact products, by which processors differ most.
        numbers: for what training does beside them.
    """

    products: float = 1.0
    numbers: float = 1.0

    def of(self, products: float) -> float:
        """How many times as long something takes that spends this share of its time in products."""
        return products * self.products + (1 - products) * self.numbers


@dataclass(frozen=True)
class Speeds:
    """How long stages take on this machine, beside the one on which their costs were measured.

    Attributes:
        slowness: kind -> how many times as long as was to be expected by what was measured, of those that were seen.
        trained: the same of all that train, taken together; None if none was seen.
        measured: what to expect of stages that calculate; None if it was not measured.
    """

    slowness: Mapping[str, float] = field(default_factory=dict)
    trained: float | None = None
    measured: Measured | None = None

    def expected(self, *, exact: bool, products: float = _TYPICAL) -> float:
        """How many times as long a stage takes by what was measured alone."""
        return self.measured.of(products) if self.measured and exact else 1.0

    def of(self, kind: str, *, exact: bool, products: float = _TYPICAL) -> float:
        """How many times as long a stage takes; of a kind that was not seen as others that calculate.

        Args:
            kind: of the stage.
            exact: whether it calculates.
            products: the share of its time that it spends in exact products, where that is known.
        """
        seen = self.slowness.get(kind) or (self.trained if exact else None) or 1.0
        return seen * self.expected(exact=exact, products=products)

    def words(self, kinds: Collection[str]) -> str:
        """Whose times those of stages of some kinds are."""
        usual = "two threads of an Intel Xeon with AMX"
        typical = self.expected(exact=True)
        if not self.slowness.keys() & {*kinds}:
            if self.measured:
                return f"{usual}, and training takes {typical:.2g} times as long, as `regrow selftest` measured"
            return f"{usual}; `regrow selftest` measures how fast this machine is, and its first build shows it"
        shown = "this machine as its last builds have shown them"
        if self.trained is None:
            return shown
        return f"{shown}: training takes {self.trained * typical:.2g} times as long as on {usual}"


@dataclass(frozen=True)
class Hosts:
    """Who shares the training.

    Attributes:
        workers: processes, all together.
        hosts: machines, which have equally many of them.
        shard: whether those of a machine hold the parameters together.
        recompute: whether they keep less of a layer and compute it once more.
    """

    workers: int = 1
    hosts: int = 1
    shard: bool = False
    recompute: bool = False

    @property
    def sharing(self) -> Sharing:
        """What each of them holds."""
        return Sharing(self.workers, self.hosts if self.shard else self.workers, recompute=self.recompute)

    @property
    def sparing(self) -> bool:
        """Whether they do something to need less memory."""
        return self.shard or self.recompute

    def choices(self) -> dict[str, Sharing]:
        """What each of them could hold, by the options of ``regrow build``."""
        found = {}
        for shard, recompute in product((False, True)[: 1 + (self.workers > self.hosts)], (False, True)):
            words = " ".join(("--shard",) * shard + ("--recompute",) * recompute)
            found[words] = replace(self, shard=shard, recompute=recompute).sharing
        return found

    def share(self, micro_batches: int) -> float:
        """The time that a step takes, of that on one machine: workers on one machine share its processors."""
        rounds = -(-micro_batches // self.workers)
        return rounds * (self.workers / self.hosts) / micro_batches


def machine(store: Path) -> Machine:
    """What there is here, for a store in a folder that need not exist yet."""
    limits = [limit for limit in (_physical(), *control_groups(Path("/"))) if limit is not None]
    return Machine(min(limits, default=None), _free(store))


def _physical() -> int | None:
    with suppress(OSError, ValueError, AttributeError):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return None


def control_groups(root: Path) -> Iterator[int]:
    """The limits of the control groups that the process is in, and of those around them; version 2 first, then 1."""
    with suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text("utf-8").splitlines():
            _, controllers, path = line.split(":", 2)
            if not controllers:
                yield from _limits(root / "sys/fs/cgroup", path, "memory.max")
            elif "memory" in controllers.split(","):
                yield from _limits(root / "sys/fs/cgroup/memory", path, "memory.limit_in_bytes")


def _limits(mount: Path, path: str, name: str) -> Iterator[int]:
    """The limits from a group up to the root. Inside of a container, the root is the group itself."""
    inner = Path(path.lstrip("/"))
    for group in (inner, *inner.parents):
        with suppress(OSError, ValueError):  # `max` is no number, and no limit
            yield int((mount / group / name).read_text("ascii"))


def _free(folder: Path) -> int | None:
    for place in (folder, *folder.absolute().parents):
        with suppress(OSError):
            return shutil.disk_usage(place).free
    return None


def memory_kills(root: Path = Path("/")) -> int | None:
    """How often the system has killed a process for want of memory since it was started; None if it does not say."""
    with suppress(OSError, ValueError):
        for line in (root / "proc/vmstat").read_text("ascii").splitlines():
            name, _, number = line.partition(" ")
            if name == "oom_kill":
                return int(number)
    return None
