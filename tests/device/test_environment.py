"""The facts that identify a machine, and those that must not be among them."""

from __future__ import annotations

import getpass
import json
import platform
import re
import socket

from rnnprof.device.environment import machine_facts, processor_name
from rnnprof.device.process import usable_processors

CPUINFO = """\
processor\t: 0
vendor_id\t: AuthenticAMD
model name\t: AMD EPYC 7B13
flags\t\t: fpu vme

processor\t: 1
model name\t: another
"""

ALLOWED = {
    "device_name", "processors", "machine_memory_bytes", "architecture", "kernel", "python",
}  # fmt: skip


def test_the_facts_are_those_of_the_allow_list():
    facts = machine_facts()
    assert set(facts) == ALLOWED
    assert facts["processors"] == usable_processors()
    assert facts["machine_memory_bytes"] > 1 << 20
    assert facts["python"] == platform.python_version()
    assert json.loads(json.dumps(facts)) == facts


def test_neither_user_nor_host_is_named():
    words = set(re.findall(r"[\w.-]+", json.dumps(machine_facts())))
    assert platform.machine() in words  # else nothing could be found
    names = {getpass.getuser(), socket.gethostname(), socket.getfqdn(), platform.node()}
    assert not words & names


def test_the_facts_stay_the_same():
    assert machine_facts() == machine_facts()


def test_the_processor_has_its_own_name(tmp_path):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(CPUINFO)
    assert processor_name(cpuinfo) == "AMD EPYC 7B13"


def test_a_processor_without_a_name_is_its_architecture(tmp_path, monkeypatch):
    cpuinfo = tmp_path / "cpuinfo"
    monkeypatch.setattr(platform, "processor", lambda: "")
    assert processor_name(cpuinfo) == platform.machine()
    cpuinfo.write_text("processor\t: 0\nmodel name\t:\nBogoMIPS\t: 50.00\n")
    assert processor_name(cpuinfo) == platform.machine()
