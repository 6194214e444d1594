import pytest
import torch

from shoal.encode.device import bf16_in_hardware, pick, precision_on
from shoal.errors import ConfigError

CPU = torch.device("cpu")


def machine(monkeypatch, *, cuda=0, mps=False):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)


@pytest.mark.parametrize(("has", "taken"), [({}, "cpu"), ({"mps": True}, "mps"), ({"cuda": 1, "mps": True}, "cuda")])
def test_auto_takes_the_fastest_device_there_is(monkeypatch, has, taken):
    machine(monkeypatch, **has)
    assert pick("auto").type == taken


def test_a_device_that_is_not_there_names_those_that_are(monkeypatch):
    machine(monkeypatch, cuda=1)
    assert pick("cuda:0") == torch.device("cuda:0")
    with pytest.raises(ConfigError, match="device = 'cuda:1': this machine has cuda, cpu"):
        pick("cuda:1")
    with pytest.raises(ConfigError, match="device = 'mps': this machine has cuda, cpu"):
        pick("mps")


def test_a_word_that_is_no_device_is_refused():
    with pytest.raises(ConfigError, match=r"device = 'gpu' is no device. Give auto, cpu, cuda or mps"):
        pick("gpu")


@pytest.mark.parametrize(
    ("can", "precision"),
    [
        ({"avx512_bf16": True}, "bfloat16"),
        ({"amx_bf16": True}, "bfloat16"),
        ({"avx512_f": True}, "float32"),
        ({}, "float32"),
    ],
)
def test_auto_takes_bfloat16_only_where_the_processor_has_it(monkeypatch, can, precision):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: can)
    assert precision_on(CPU) == precision
    assert bf16_in_hardware(CPU) == (precision == "bfloat16")


def test_a_precision_that_is_asked_for_is_taken():
    assert precision_on(CPU, "bfloat16") == "bfloat16"
    assert precision_on(CPU, "float32") == "float32"
    with pytest.raises(ConfigError, match="precision = 'int8' is none"):
        precision_on(CPU, "int8")
