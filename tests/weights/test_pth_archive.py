"""Checksums of PyTorch's archives, without PyTorch; the parity tests read real files."""

import sys
import zipfile

import pytest

from flax_vision.errors import UserError
from flax_vision.weights import state_dict
from flax_vision.weights.state_dict import read_state_dict


@pytest.fixture
def archive(tmp_path):
    """A file with the records of a state dictionary."""
    path = tmp_path / "net.pth"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("net/data.pkl", b"a pickle")
        file.writestr("net/data/0", bytes(range(256)))
    return path


@pytest.fixture(autouse=True)
def without_pytorch(monkeypatch):
    """Replaces PyTorch's reader by one that accepts everything."""
    monkeypatch.setattr(state_dict, "_check_pytorch", lambda path: None)
    monkeypatch.setattr(state_dict, "_load_pth", lambda path, mmap: {"read": path, "mmap": mmap})


def flip_a_bit(path, offset):
    content = bytearray(path.read_bytes())
    content[offset] ^= 4
    path.write_bytes(content)


def test_archive_that_is_whole_is_read(archive):
    assert read_state_dict(archive) == {"read": archive, "mmap": True}


def test_compressed_archive_is_not_mapped(archive):
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("net/data/0", bytes(range(256)))
    assert read_state_dict(archive)["mmap"] is False


def test_file_of_an_old_pytorch_is_not_mapped(tmp_path):
    (tmp_path / "net.pth").write_bytes(b"a pickle")
    assert read_state_dict(tmp_path / "net.pth")["mmap"] is False


def test_flipped_bit_is_found_before_pytorch_reads(archive, monkeypatch):
    monkeypatch.setattr(state_dict, "_load_pth", pytest.fail)
    flip_a_bit(archive, archive.read_bytes().index(bytes(range(256))) + 100)
    message = "net.pth' is damaged: the checksum of 'net/data/0' in it does not match; download"
    with pytest.raises(UserError, match=message):
        read_state_dict(archive)


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="later, PyTorch alone checks that header")
def test_archive_of_several_disks(archive):
    """A flipped bit in the last header can say so; zipfile raises early."""
    content = archive.read_bytes()
    locator = b"PK\x06\x07" + bytes(12) + (5).to_bytes(4, "little")
    archive.write_bytes(content[:-22] + locator + content[-22:])
    with pytest.raises(UserError, match="is damaged, or not a PyTorch file .*multiple disks"):
        read_state_dict(archive)


def test_flipped_bit_in_a_record_is_always_found(archive):
    start = archive.read_bytes().index(bytes(range(256)))
    for offset in range(start, start + 256, 5):
        flip_a_bit(archive, offset)
        with pytest.raises(UserError, match="in it does not match"):
            read_state_dict(archive)
        flip_a_bit(archive, offset)


def test_flipped_bit_in_a_header_is_no_other_error(archive):
    """Nobody reads some header fields, and only PyTorch reads the last header."""
    found = 0
    for offset in range(0, archive.stat().st_size - 22, 3):
        flip_a_bit(archive, offset)
        try:
            read_state_dict(archive)
        except UserError:
            found += 1
        flip_a_bit(archive, offset)
    assert found > 100
