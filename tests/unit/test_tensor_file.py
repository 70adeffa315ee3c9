"""Files of tensors: the bytes of the safetensors library, in one pass, with signs of life."""

import hashlib

import pytest
import torch
from safetensors.torch import load_file, save

from nightrank.feature_store.contracts import files
from nightrank.feature_store.contracts.files import sha256_file
from nightrank.ranker import tensor_file
from nightrank.ranker.tensor_file import DTYPES, write_tensors

TENSORS = {
    **{f"of.{kind}": torch.ones(3, 2).to(dtype) for dtype, kind in DTYPES.items()},
    "one value": torch.tensor(4.0),
    "none": torch.zeros(0, 3),
    "columns": torch.arange(12.0).view(3, 4).T,
    "ümlaut": torch.arange(5),
}


def test_the_bytes_are_those_of_the_library(tmp_path):
    digest = write_tensors(tmp_path / "a.safetensors", TENSORS)
    written = (tmp_path / "a.safetensors").read_bytes()
    assert written == save({name: value.contiguous() for name, value in TENSORS.items()})
    assert digest == hashlib.sha256(written).hexdigest() == sha256_file(tmp_path / "a.safetensors")


def test_two_names_of_one_tensor_are_both_written(tmp_path):
    one = torch.arange(6.0)
    write_tensors(tmp_path / "a.safetensors", {"a": one, "b": one[2:]})
    found = load_file(tmp_path / "a.safetensors")
    assert torch.equal(found["a"], one) and torch.equal(found["b"], one[2:])


def test_a_large_tensor_gives_a_sign_of_life_with_every_block(tmp_path, monkeypatch):
    monkeypatch.setattr(tensor_file, "BLOCK", 1000)
    monkeypatch.setattr(files, "BLOCK", 1000)
    monkeypatch.setattr(tensor_file, "SYNC", 3000)
    signs: list[int] = []
    digest = write_tensors(tmp_path / "a", {"x": torch.zeros(2500)}, lambda: signs.append(1))
    assert len(signs) == 1 + 10
    assert sha256_file(tmp_path / "a", lambda: signs.append(1)) == digest
    assert len(signs) > 20


def test_a_write_that_fails_leaves_the_file_that_stood_there_and_nothing_beside_it(tmp_path):
    write_tensors(tmp_path / "a", {"x": torch.zeros(3)})
    before = (tmp_path / "a").read_bytes()

    def full():
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        write_tensors(tmp_path / "a", {"x": torch.ones(3)}, full)
    assert (tmp_path / "a").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
