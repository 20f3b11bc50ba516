"""State dictionaries in safetensors; the parity tests have PyTorch's files."""

import json
import os
import re
import sys

import numpy as np
import pytest
from safetensors.numpy import save_file

from flax_vision.errors import UserError
from flax_vision.weights.state_dict import read_state_dict

ARRAYS = {
    "conv1.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2),
    "bn1.num_batches_tracked": np.int64(7),
    "fc.bias": np.array([0.5, -1.0], np.float16),
}


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "net.safetensors"
    save_file({key: np.asarray(x) for key, x in ARRAYS.items()}, path)
    return path


def check(found):
    assert found.keys() == ARRAYS.keys()
    for key, x in ARRAYS.items():
        np.testing.assert_array_equal(np.asarray(found[key]), x, strict=True)


def test_arrays_come_back_with_their_types(path):
    check(read_state_dict(path))


def test_case_of_the_suffix_does_not_matter(path):
    check(read_state_dict(path.rename(path.with_suffix(".SafeTensors"))))


def test_names_of_data_parallelism_lose_their_prefix(tmp_path):
    path = tmp_path / "net.safetensors"
    save_file({f"module.{key}": np.asarray(x) for key, x in ARRAYS.items()}, path)
    check(read_state_dict(path))


def test_prefix_of_some_names_is_a_part_of_them(tmp_path):
    path = tmp_path / "net.safetensors"
    save_file({"module.bias": np.zeros(1), "bias": np.zeros(2)}, path)
    assert sorted(read_state_dict(path)) == ["bias", "module.bias"]


def write_one(path, dtype, content):
    """Writes an array of one number, whose type NumPy need not have."""
    of = {"dtype": dtype, "shape": [1], "data_offsets": [0, len(content)]}
    header = json.dumps({"fc.bias": of}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + content)


def test_bfloat16(tmp_path):
    path = tmp_path / "net.safetensors"
    write_one(path, "BF16", b"\xc0\x3f")  # the upper half of 1.5 in float32
    assert np.asarray(read_state_dict(path)["fc.bias"], np.float32).tolist() == [1.5]


def test_type_that_numpy_lacks(tmp_path):
    path = tmp_path / "net.safetensors"
    write_one(path, "F8_E4M3", b"\x38")
    with pytest.raises(UserError, match="not a safetensors file of NumPy types"):
        read_state_dict(path)


def change_header(path, length=None, **lies):
    """Writes a file of three numbers whose header says something else of them, or of its length."""
    of = {"dtype": "F32", "shape": [3], "data_offsets": [0, 12], **lies}
    header = json.dumps({"fc.bias": of}).encode()
    path.write_bytes((length or len(header)).to_bytes(8, "little") + header + bytes(12))


def test_header_that_tells_the_truth(tmp_path):
    change_header(tmp_path / "net.safetensors")
    assert read_state_dict(tmp_path / "net.safetensors")["fc.bias"].tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    "lies",
    [
        {"shape": [4]},
        {"shape": [2**40, 2**40]},
        {"shape": [-3]},
        {"dtype": "F64"},
        {"data_offsets": [0, 12_000_000], "shape": [3_000_000]},
        {"data_offsets": [4, 16]},
        {"data_offsets": [0, 8], "shape": [2]},
        {"length": 5},
        {"length": 2**40},
    ],
)
def test_header_that_lies_is_one_line(lies, tmp_path):
    change_header(tmp_path / "net.safetensors", **lies)
    with pytest.raises(UserError, match="is damaged, or not a safetensors file") as error:
        read_state_dict(tmp_path / "net.safetensors")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: path.write_bytes(b""), "is damaged, or not a safetensors file"),
        (lambda path: path.write_bytes(b"PK\3\4" * 9), "is damaged, or not a safetensors file"),
        (lambda path: path.write_bytes(b"\x80\x02}q\x00." * 9), "is damaged, or not a safetensors"),
        (os.mkfifo, "is a named pipe, not a regular file; give a file with"),
        (
            lambda path: path.mkdir(),
            "is a directory, not a regular file; give a file with",
        ),
        (lambda path: None, "does not exist; give a file with the weights."),
        (
            lambda path: write_one(path, "F99", b"0"),
            "safetensors file of NumPy types .*in float32, or give the .pth file",
        ),
    ],
)
def test_what_is_no_safetensors_file(write, message, tmp_path):
    path = tmp_path / "net.safetensors"
    write(path)
    with pytest.raises(UserError, match=f"{re.escape(repr(str(path)))} .*{message}"):
        read_state_dict(path)


def test_file_that_was_cut(path):
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match="is damaged"):
        read_state_dict(path)


@pytest.mark.parametrize("name", ["net.onnx", "net", "net.pth.zip"])
def test_other_suffixes(name, tmp_path):
    with pytest.raises(UserError, match=r"ends with none of .safetensors, .pth, .pt; .*torchvisio"):
        read_state_dict(tmp_path / name)


@pytest.mark.parametrize("suffix", [".pth", ".pt"])
def test_pytorchs_files_need_pytorch(suffix, tmp_path, monkeypatch):
    path = tmp_path / f"net{suffix}"
    path.touch()
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(UserError, match="is a PyTorch file, which needs torch: pip install torch"):
        read_state_dict(path)
