import gzip
import io
import zipfile

import pytest

from flax_vision.data.prepare.archives import (
    damage_as_user_error,
    open_decompressed,
    read_exactly,
)
from flax_vision.errors import UserError


@pytest.mark.parametrize("content", [b"pixels", gzip.compress(b"pixels", mtime=0)])
def test_gzip_files_are_decompressed(content, tmp_path):
    (tmp_path / "file").write_bytes(content)
    with open_decompressed(tmp_path / "file") as stream:
        assert stream.read() == b"pixels"


def test_read_exactly():
    assert read_exactly(io.BytesIO(b"pixels"), 5) == b"pixel"
    with pytest.raises(EOFError, match="it ends 2 bytes too early"):
        read_exactly(io.BytesIO(b"pixels"), 8)


@pytest.mark.parametrize("cut", [-1, 10, 3])
def test_cut_gzip_file(cut, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(gzip.compress(b"pixels")[:cut])
    message = f"'{path}' is damaged or another file .*replace it with the publisher's"
    with (
        pytest.raises(UserError, match=message),
        damage_as_user_error(path),
        open_decompressed(path) as stream,
    ):
        read_exactly(stream, 100)


def test_missing_member(tmp_path):
    path = tmp_path / "file"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a", "b")
    with (
        pytest.raises(UserError, match="There is no item named 'c' in the archive.;"),
        damage_as_user_error(path),
        zipfile.ZipFile(path) as archive,
    ):
        archive.open("c")
