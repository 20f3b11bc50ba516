import pytest
from published_archives import serve

from flax_vision.data.prepare.download import DownloadError, download

CONTENT = bytes(range(256)) * 4000  # more than one read
SIZE = len(CONTENT)
pytestmark = pytest.mark.usefixtures("no_pause")


@pytest.fixture
def server():
    with serve({"file": CONTENT}) as server:
        yield server


def fetch(server, path):
    calls = []
    download(f"{server.url}/{path.name}", path, SIZE, calls.append)
    return calls


def test_file_arrives_with_progress(server, tmp_path):
    calls = fetch(server, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert calls == sorted(calls)
    assert calls[-1] == SIZE
    assert len(calls) > 1
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_broken_connections_continue(server, tmp_path):
    server.breaks = [300_000, 0, 400_000]
    fetch(server, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert [asked for _, asked in server.requests] == [
        None,
        *("bytes=300000-", "bytes=300000-", "bytes=700000-"),
    ]


def test_server_without_ranges_starts_over(server, tmp_path):
    server.ranges, server.breaks = False, [300_000]
    fetch(server, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_next_download_continues(server, tmp_path):
    server.breaks = [300_000, 0, 0, 0]
    with pytest.raises(DownloadError, match="broke off|IncompleteRead"):
        fetch(server, tmp_path / "file")
    assert [path.name for path in tmp_path.iterdir()] == ["file.part"]
    server.requests.clear()
    fetch(server, tmp_path / "file")
    assert server.requests == [("/file", "bytes=300000-")]
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_shorter_file_of_the_server_is_an_error(server, tmp_path):
    server.files["file"] = CONTENT[:-1]
    with pytest.raises(DownloadError, match=f"after .* of {SIZE:,} bytes"):
        fetch(server, tmp_path / "file")
    assert not (tmp_path / "file").exists()


def test_refusal_ends_at_once(server, tmp_path):
    with pytest.raises(DownloadError, match="the server answers 404"):
        fetch(server, tmp_path / "other")
    assert len(server.requests) == 1


def test_server_that_is_not_there(free_port, tmp_path):
    with pytest.raises(DownloadError, match="Connection refused.* after 0 of"):
        download(f"http://127.0.0.1:{free_port}/file", tmp_path / "file", SIZE, print)
