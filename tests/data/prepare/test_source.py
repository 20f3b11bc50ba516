import gzip
import hashlib
import urllib.request

import pytest
from published_archives import mnist_archives, serve

from flax_vision.data.prepare.published_files import PublishedFile
from flax_vision.data.prepare.source import Source
from flax_vision.errors import UserError

CONTENTS = mnist_archives()
FILES = [
    PublishedFile(f"https://example.org/sets/{name}", len(content), sha.hexdigest())
    for name, content in CONTENTS.items()
    if (sha := hashlib.sha256(content))
]
TOTAL = sum(map(len, CONTENTS.values())) // 1000
LABELS = "train-labels-idx1-ubyte.gz"

pytestmark = pytest.mark.usefixtures("no_pause")


@pytest.fixture
def source(tmp_path):
    """A function that returns the source at a location."""
    (tmp_path / "downloads").mkdir()
    return lambda location: Source(location, FILES, tmp_path / "downloads", "the command")


@pytest.fixture
def server():
    with serve(dict(CONTENTS)) as server:
        yield server


@pytest.fixture
def folder(tmp_path):
    """A folder with the published files."""
    (tmp_path / "folder").mkdir()
    for name, content in CONTENTS.items():
        (tmp_path / "folder" / name).write_bytes(content)
    return tmp_path / "folder"


def ignore(task, done, total):
    """Ignores progress."""


def contents(paths):
    return {name: path.read_bytes() for name, path in paths.items()}


def test_download_with_progress(source, server):
    calls = []
    server.breaks = [1000]
    assert source(server.url).download_bytes() == sum(map(len, CONTENTS.values()))
    found = source(f"{server.url}/").obtain(lambda *call: calls.append(call))
    assert contents(found) == CONTENTS
    assert calls == sorted(calls)
    assert calls[-1] == ("download", TOTAL, TOTAL)


def test_downloads_stay(source, server):
    source(server.url).obtain(ignore)
    server.files.clear()
    assert contents(source(server.url).obtain(ignore)) == CONTENTS
    assert source(server.url).download_bytes() == 0


def test_next_command_continues(source, server):
    server.breaks = [1000, 0, 0, 0]
    with pytest.raises(UserError, match="cannot be downloaded .* after 1,000 of "):
        source(server.url).obtain(ignore)
    server.requests.clear()
    assert contents(source(server.url).obtain(ignore)) == CONTENTS
    assert server.requests[0][1] == "bytes=1000-"


def test_one_wrong_bit_in_a_download(source, server, tmp_path):
    wrong = bytearray(CONTENTS[LABELS])
    wrong[20] ^= 4
    server.files[LABELS] = bytes(wrong)
    aside = tmp_path / "downloads" / f"{LABELS}.wrong"
    with pytest.raises(UserError, match=f"{LABELS!r} has the SHA-256 .* is kept as '{aside}'"):
        source(server.url).obtain(ignore)
    assert aside.read_bytes() == wrong
    server.files[LABELS] = CONTENTS[LABELS]
    assert contents(source(server.url).obtain(ignore)) == CONTENTS


def test_no_network(source, free_port, monkeypatch):
    monkeypatch.setattr(urllib.request, "_opener", None)  # it remembers the proxies
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{free_port}")
    message = (
        "https://example.org/sets/train-images-idx3-ubyte.gz cannot be downloaded .*refused after "
        r"0 of .* bytes\); run the same command again to continue. Without a network, put "
        f"train-images-.*, {LABELS}, .* of https://example.org/sets/ into a folder DIR, and run "
        "`the command`."
    )
    with pytest.raises(UserError, match=message):
        source("").obtain(ignore)


@pytest.mark.parametrize("prefix", ["", "file://"])
def test_folder(prefix, source, folder):
    found = source(f"{prefix}{folder}").obtain(ignore)
    assert found == {name: folder / name for name in CONTENTS}
    assert source(f"{prefix}{folder}").download_bytes() == 0


def test_decompressed_file(source, folder):
    (folder / LABELS).rename(folder / "packed")
    (folder / LABELS.removesuffix(".gz")).write_bytes(gzip.decompress(CONTENTS[LABELS]))
    with pytest.warns(UserWarning, match="-ubyte' has no known checksum; only its structure is"):
        found = source(str(folder)).obtain(ignore)
    assert found[LABELS].name == LABELS.removesuffix(".gz")


@pytest.mark.parametrize("location", ["there", "ftp://host/files"])
def test_source_that_is_no_folder(location, source):
    with pytest.raises(
        UserError, match=f"^--source '{location}' is not a folder; give one with the"
    ):
        source(location).obtain(ignore)


def test_missing_file_of_a_folder(source, folder):
    (folder / LABELS).unlink()
    message = f"'{folder}' has no {LABELS}; put the files of https://example.org/sets/ there"
    with pytest.raises(UserError, match=message):
        source(str(folder)).obtain(ignore)


def test_wrong_file_of_a_user_stays_where_it_is(source, folder):
    (folder / LABELS).write_bytes(CONTENTS[LABELS][:-3])
    message = (
        f"'{folder}/{LABELS}' is truncated: .*; replace it with https://example.org/sets/{LABELS}"
    )
    with pytest.raises(UserError, match=message):
        source(str(folder)).obtain(ignore)
    assert (folder / LABELS).exists()


def test_downloads_that_cannot_be_written(server, tmp_path):
    source = Source(server.url, FILES, tmp_path / "missing", "the command")
    with pytest.raises(UserError, match="missing' cannot be written .*another --tfds-dir"):
        source.obtain(ignore)
