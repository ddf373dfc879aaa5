"""Limits and counters of control groups, on trees written by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from rnnprof.device import cgroup

V1_NO_LIMIT = str((1 << 63) - 4096)


class Tree:
    """A control-group file system and this process's place in it."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "cgroup"
        self.membership = folder / "membership"
        self.root.mkdir()
        self.membership.write_text("")

    def put(self, group: str, **files: str) -> None:
        """Files of a group; ``memory__max`` stands for ``memory.max``."""
        (self.root / group).mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (self.root / group / name.replace("__", ".")).write_text(text + "\n")

    def belongs_to(self, *lines: str) -> None:
        self.membership.write_text("".join(f"{line}\n" for line in lines))

    def left(self) -> int | None:
        return cgroup.memory_left_bytes(self.root, self.membership)

    def kills(self) -> int | None:
        return cgroup.oom_kills(self.root, self.membership)

    def throttled(self) -> float | None:
        return cgroup.throttled_s(self.root, self.membership)


@pytest.fixture
def tree(tmp_path):
    return Tree(tmp_path)


@pytest.fixture
def v2(tree):
    """A job within a slice; the root has no limit of its own, as on a real machine."""
    tree.belongs_to("0::/slice/job")
    tree.put("slice", memory__max="max", memory__current="700", memory__events="oom_kill 9")
    tree.put(
        "slice/job",
        memory__max="1000",
        memory__current="400",
        memory__events="low 0\noom 3\noom_kill 2\noom_group_kill 1",
        cpu__stat="usage_usec 5000000\nnr_throttled 3\nthrottled_usec 1500000",
    )
    return tree


@pytest.fixture
def v1(tree):
    """One hierarchy a controller, cpu and cpuacct mounted together."""
    tree.belongs_to("12:cpu,cpuacct:/job", "4:memory:/job", "1:name=systemd:/job", "0::/")
    tree.put("memory", memory__limit_in_bytes=V1_NO_LIMIT, memory__usage_in_bytes="900")
    tree.put(
        "memory/job",
        memory__limit_in_bytes="2000",
        memory__usage_in_bytes="500",
        memory__oom_control="oom_kill_disable 0\nunder_oom 0\noom_kill 4",
    )
    tree.put("cpu,cpuacct/job", cpu__stat="nr_periods 7\nthrottled_time 2500000000")
    return tree


def test_version_2(v2):
    assert v2.left() == 600
    assert v2.kills() == 2
    assert v2.throttled() == 1.5


def test_version_1(v1):
    assert v1.left() == 1500
    assert v1.kills() == 4
    assert v1.throttled() == 2.5


def test_the_tightest_limit_above_counts(v2):
    v2.put("slice", memory__max="800", memory__current="700")
    assert v2.left() == 100


def test_a_limit_on_the_parent_alone_counts(v2):
    v2.put("slice", memory__max="900", memory__current="700")
    v2.put("slice/job", memory__max="max")
    assert v2.left() == 200


def test_what_is_overdrawn_leaves_nothing(v2):
    v2.put("slice/job", memory__current="1200")
    assert v2.left() == 0


def test_no_limit_is_unknown_not_zero(v2):
    v2.put("slice/job", memory__max="max")
    assert v2.left() is None


def test_version_1_writes_no_limit_as_a_number(v1):
    v1.put("memory/job", memory__limit_in_bytes=V1_NO_LIMIT)
    assert v1.left() is None


def test_a_group_seen_from_within_its_container(tree):
    """The membership names a path of the host, and the files stand at the mount's root."""
    tree.belongs_to("4:memory:/host/path/of/container")
    tree.put(
        "memory",
        memory__limit_in_bytes="3000",
        memory__usage_in_bytes="1000",
        memory__oom_control="oom_kill 1",
    )
    assert tree.left() == 2000
    assert tree.kills() == 1


def test_a_unified_hierarchy_beside_version_1(v1):
    """A hybrid machine: version 2 is mounted below, without controllers."""
    v1.put("unified", cgroup__controllers="")
    assert v1.left() == 1500
    assert v1.throttled() == 2.5


def test_a_machine_without_control_groups_knows_nothing(tree, tmp_path):
    assert (tree.left(), tree.kills(), tree.throttled()) == (None, None, None)
    nowhere = tmp_path / "nowhere"
    assert cgroup.memory_left_bytes(nowhere, nowhere) is None
    assert cgroup.oom_kills(nowhere, nowhere) is None
    assert cgroup.throttled_s(nowhere, nowhere) is None


def test_a_kernel_without_the_counters_knows_nothing(v1):
    v1.put("memory/job", memory__oom_control="oom_kill_disable 0\nunder_oom 0")
    v1.put("cpu,cpuacct/job", cpu__stat="nr_periods 7")
    assert v1.kills() is None
    assert v1.throttled() is None


@pytest.mark.parametrize("text", ["", "garbage", "-5", "12 34"])
def test_an_unreadable_number_is_unknown(v2, text):
    v2.put("slice/job", memory__max=text)
    assert v2.left() is None


@pytest.mark.parametrize("line", ["", ":", "nonsense", "4:memory", "x:memory:/job"])
def test_a_strange_membership_is_survived(tree, line):
    tree.belongs_to(line)
    assert tree.left() is None


def test_the_real_machine_answers():
    """None, or a number that can be: which, depends on where this runs."""
    left, kills, throttled = cgroup.memory_left_bytes(), cgroup.oom_kills(), cgroup.throttled_s()
    assert left is None or left >= 0
    assert kills is None or kills >= 0
    assert throttled is None or throttled >= 0


@pytest.mark.parametrize("key", ["inactive_file", "total_inactive_file"])
def test_page_cache_that_can_be_dropped_is_not_used_up(tmp_path, key):
    group = tmp_path / "memory" / "job"
    group.mkdir(parents=True)
    (group / "memory.limit_in_bytes").write_text("1000\n")
    (group / "memory.usage_in_bytes").write_text("900\n")
    (group / "memory.stat").write_text(f"cache 700\n{key} 600\n")
    membership = tmp_path / "membership"
    membership.write_text("4:memory:/job\n")
    assert cgroup.memory_left_bytes(tmp_path, membership) == 700
