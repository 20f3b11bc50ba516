"""PyTorch's archives, tested without PyTorch; `tests/parity` tests with it."""

import sys
import zipfile

import pytest

from flax_vision.errors import UserError
from flax_vision.weights import pytorch_files
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
    monkeypatch.setattr(pytorch_files, "_check_pytorch", lambda path: None)
    monkeypatch.setattr(pytorch_files, "_mapped", lambda path: {"read": path})


def flip_a_bit(path, place):
    content = bytearray(path.read_bytes())
    content[place] ^= 4
    path.write_bytes(content)


def test_archive_that_is_whole_is_read(archive):
    assert read_state_dict(archive) == {"read": archive}


def test_flipped_bit_is_found_before_pytorch_reads(archive, monkeypatch):
    monkeypatch.setattr(pytorch_files, "_mapped", pytest.fail)
    flip_a_bit(archive, archive.read_bytes().index(bytes(range(256))) + 100)
    message = "net.pth' is damaged: 'net/data/0' in it does not fit its checksum; download or save"
    with pytest.raises(UserError, match=message):
        read_state_dict(archive)


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="later, PyTorch alone checks that header")
def test_archive_of_several_disks(archive):
    """A flipped bit in the last header can say so; zipfile raises early."""
    content = archive.read_bytes()
    locator = b"PK\x06\x07" + bytes(12) + (5).to_bytes(4, "little")
    archive.write_bytes(content[:-22] + locator + content[-22:])
    with pytest.raises(UserError, match="is damaged, or no file of PyTorch's .*multiple disks"):
        read_state_dict(archive)


def test_flipped_bit_in_a_record_is_always_found(archive):
    start = archive.read_bytes().index(bytes(range(256)))
    for place in range(start, start + 256, 5):
        flip_a_bit(archive, place)
        with pytest.raises(UserError, match="does not fit its checksum"):
            read_state_dict(archive)
        flip_a_bit(archive, place)


def test_flipped_bit_in_a_header_is_no_other_error(archive):
    """Nobody reads some header fields, and only PyTorch reads the last header."""
    found = 0
    for place in range(0, archive.stat().st_size - 22, 3):
        flip_a_bit(archive, place)
        try:
            read_state_dict(archive)
        except UserError:
            found += 1
        flip_a_bit(archive, place)
    assert found > 100
