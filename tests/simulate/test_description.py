"""Descriptions of simulated GPUs: presets, one's own, and every way to get one wrong."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnprof.errors import BadInputError
from rnnprof.simulate.description import (
    ASSUMED_CONTEXT_BYTES,
    CUSTOM_MODEL,
    GpuDescription,
    describe,
    describe_all,
    models,
)
from rnnprof.units import GIB, MIB

OWN = "memory=16GiB,sms=40,capability=7.5"


def test_the_presets_are_whole() -> None:
    known = models()
    assert list(known) == ["t4", "l4", "a100-40gb", "a100-80gb", "h100", "rtx-4090"]
    for model, gpu in known.items():
        assert gpu.model == model
        assert gpu.context_bytes + gpu.others_bytes < gpu.memory_bytes
        assert "context_bytes" in gpu.assumed, "no context size is published"


def test_presets_have_uuids_of_their_own() -> None:
    uuids = {gpu.uuid for gpu in models().values()}
    assert len(uuids) == len(models())
    shape = r"GPU-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
    assert all(re.fullmatch(shape, uuid) for uuid in uuids)


def test_a_uuid_follows_the_fields() -> None:
    assert describe(OWN).uuid == describe(OWN).uuid
    assert describe(OWN).uuid != describe(f"{OWN},others=1GiB").uuid


def test_a_model_is_found_in_any_case() -> None:
    assert describe(" T4 ") == models()["t4"]
    assert describe("RTX_4090") == models()["rtx-4090"]


def test_ones_own_gpu() -> None:
    gpu = describe(f"{OWN},name=My GPU,context=300MiB,others=2GiB,l2=8MiB")
    assert gpu.model == CUSTOM_MODEL
    assert (gpu.name, gpu.memory_bytes, gpu.multiprocessors) == ("My GPU", 16 * GIB, 40)
    assert (gpu.capability, gpu.context_bytes, gpu.others_bytes) == ((7, 5), 300 * MIB, 2 * GIB)
    assert gpu.assumed == ()


def test_a_context_that_is_not_given_is_assumed() -> None:
    gpu = describe(OWN)
    assert gpu.context_bytes == ASSUMED_CONTEXT_BYTES
    assert gpu.assumed == ("context_bytes",)


def test_others_may_hold_nothing() -> None:
    assert describe(f"{OWN},others=0").others_bytes == 0


def test_a_toml_file(tmp_path: Path) -> None:
    path = tmp_path / "gpu.toml"
    path.write_text(
        'name = "Mine"\nmemory = "16GiB"\nsms = 40\ncapability = "7.5"\n'
        'context = "200MiB"\nassumed = ["context"]\n'
    )
    gpu = describe(str(path))
    assert gpu.name == "Mine"
    assert gpu.context_bytes == 200 * MIB
    assert gpu.assumed == ("context_bytes",)


def test_a_list_of_gpus() -> None:
    found = describe_all(f"t4,{OWN},h100")
    assert [gpu.model for gpu in found] == ["t4", "custom", "h100"]


BAD = {
    "a100": "a100-40gb or a100-80gb",
    "h200": "did you mean h100",
    "zzz": "Known are t4, l4",
    "": "no GPU to simulate is given",
    "memory=16GiB,sms=40": "capability is missing",
    "sms=40,capability=7.5": "memory is missing",
    f"{OWN},memry=3GiB": "did you mean memory",
    f"{OWN},colour=red": "known are name",
    f"{OWN},sms=41": "sms is given twice",
    f"{OWN},multiprocessors=41": "given twice",
    f"{OWN},others=16GiB": "context and others take",
    f"{OWN},context=-1MiB": "context: '-1MiB' is not a size",
    f"{OWN},shared-per-block=128KiB": "more than shared-per-multiprocessor",
    f"{OWN},l2=0": "l2: 0 B is not within",
    f"{OWN},name=": "is not KEY=VALUE",
    f"{OWN},name=a;b": "characters that the name",
    f"{OWN},name={'x' * 96}": "1 to 95 characters",
    f"{OWN},assumed=context": "not a list of keys",
    f"{OWN},,": "is not KEY=VALUE",
    "memory=0,sms=40,capability=7.5": "memory: 0 B is not within",
    "memory=16,sms=40,capability=7.5": "memory: 16 B is not within",
    "memory=9TiB,sms=40,capability=7.5": "memory: 9.00 TiB is not within",
    "memory=lots,sms=40,capability=7.5": "memory: 'lots' is not a size",
    "memory=16GiB,sms=0,capability=7.5": "sms: 0 is not within",
    "memory=16GiB,sms=-4,capability=7.5": "sms: -4 is not within",
    "memory=16GiB,sms=4.5,capability=7.5": "sms: '4.5' is not a whole number",
    "memory=16GiB,sms=40,capability=75": "capability: '75' is not a compute capability",
    "memory=16GiB,sms=40,capability=3.5": "no GPU of 3.5 is known",
    "nowhere.toml": "No such file",
}


@pytest.mark.parametrize("text", BAD)
def test_bad_input_names_what_is_at_fault(text: str) -> None:
    with pytest.raises(BadInputError, match=re.escape(BAD[text])):
        describe(text)


@pytest.mark.parametrize("text", ["t4,t4", f"{OWN},t4,{OWN}"])
def test_a_gpu_is_named_once(text: str) -> None:
    with pytest.raises(BadInputError, match="is named twice"):
        describe_all(text)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("memory = ", "gpu.toml is not valid TOML"),
        ("memory = true\nsms = 40\ncapability = '7.5'", "memory: true is not a size"),
        ("memory = '1GiB'\nsms = true\ncapability = '7.5'", "sms: true is not a whole number"),
        ("memory = '1GiB'\nsms = 4\ncapability = '7.5'\nname = 3", "name: 3 is not a name"),
        ("memory = '1GiB'\nsms = 4\nmultiprocessors = 4\ncapability = '7.5'", "are the same"),
        ("[t4]\nmemory = 1", "unknown key 't4'"),
    ],
)
def test_bad_toml_names_the_file(tmp_path: Path, content: str, expected: str) -> None:
    path = tmp_path / "gpu.toml"
    path.write_text(content)
    with pytest.raises(BadInputError, match=expected) as caught:
        describe(str(path))
    assert str(path) in str(caught.value)


names = st.text(
    st.characters(min_codepoint=32, max_codepoint=126, exclude_characters=";="),
    min_size=1,
    max_size=96,
)
sizes = st.integers(0, 1 << 41)
gpus = st.builds(
    GpuDescription,
    model=st.sampled_from(["t4", "custom"]),
    name=names,
    memory_bytes=sizes,
    multiprocessors=st.integers(1, 4096),
    capability=st.tuples(st.integers(5, 12), st.integers(0, 9)),
    context_bytes=sizes,
    others_bytes=sizes,
    assumed=st.sampled_from([(), ("context_bytes",), ("context_bytes", "l2_bytes")]),
)


@given(gpus)
def test_the_line_for_the_library_reads_back(gpu: GpuDescription) -> None:
    line = gpu.as_text()
    assert "\n" not in line
    assert GpuDescription.from_text(line) == gpu


@pytest.mark.parametrize(
    "change",
    [
        lambda line: line.replace("sms", "smss").replace("memory_bytes=", "memory_bytes=1"),
        lambda line: f"{line};more=1",
        lambda line: line.rsplit(";", 1)[0],
        lambda line: line.replace("capability=7.5", "capability=x"),
        lambda line: f"{line};",
        lambda _: "",
    ],
)
def test_a_line_that_is_not_ours_is_refused(change) -> None:
    with pytest.raises(BadInputError, match="does not describe a simulated GPU"):
        GpuDescription.from_text(change(models()["t4"].as_text()))
