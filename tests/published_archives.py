"""Small archives in the formats of the publishers, and a server that breaks off."""

import contextlib
import gzip
import hashlib
import io
import struct
import tarfile
import threading
import zipfile
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import tensorflow_datasets as tfds
from tensorflow_datasets.core.download.checksums import UrlInfo

COUNTS = {"train": 35, "test": 12}
NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def random_images(name, split):
    """Returns images, uint8 [N, 28, 28], and labels below 10."""
    random = np.random.default_rng(len(name) * 100 + len(split))
    count = COUNTS[split]
    images = random.integers(0, 256, (count, 28, 28), np.uint8)
    return images, random.integers(0, 10, count).astype(np.uint8)


def idx(array):
    """Returns an idx file of bytes."""
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def mnist_archives(name="mnist"):
    """Returns the four files by name."""
    files = {}
    for split, prefix in (("train", "train"), ("test", "t10k")):
        images, labels = random_images(name, split)
        files[f"{prefix}-images-idx3-ubyte.gz"] = gzip.compress(idx(images))
        files[f"{prefix}-labels-idx1-ubyte.gz"] = gzip.compress(idx(labels))
    return files


def emnist_archives(config, surplus=0):
    """Returns gzip.zip with one configuration, whose files may have more images than TFDS takes."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for split in COUNTS:
            for kind, array in zip(
                ("images-idx3", "labels-idx1"), random_images(config, split), strict=True
            ):
                array = np.concatenate([array, array[:surplus]])
                name = f"gzip/emnist-{config}-{split}-{kind}-ubyte.gz"
                archive.writestr(name, gzip.compress(idx(array)))
    return {"gzip.zip": file.getvalue()}


def cifar_archives(name, labels=10):
    """Returns the binary archive of `cifar10` or `cifar100`, with labels below a number."""
    random = np.random.default_rng(0)
    if name == "cifar10":
        prefix, num_labels = "cifar-10-batches-bin", 1
        batches = [f"data_batch_{i}.bin" for i in (1, 3, 4)] + ["test_batch.bin"]
        members = {"batches.meta.txt": ("\n".join(NAMES) + "\n\n").encode()}
        batches += [f"data_batch_{i}.bin" for i in (5, 2)]
    else:
        prefix, num_labels = "cifar-100-binary", 2
        batches = ["test.bin", "train.bin"]
        coarse, fine = ([f"class {i}" for i in range(n)] for n in (20, 100))
        members = {"coarse_label_names.txt": "\n".join(coarse).encode()}
        members["fine_label_names.txt"] = "\n".join(fine).encode()
    for batch in batches:
        in_train = COUNTS["train"] // 5 if name == "cifar10" else COUNTS["train"]
        count = COUNTS["test"] if batch.startswith("test") else in_train
        rows = random.integers(0, 256, (count, num_labels + 3072), np.uint8)
        rows[:, :num_labels] = random.integers(0, labels, (count, num_labels))
        members[batch] = rows.tobytes()
    published = "cifar-10-binary.tar.gz" if name == "cifar10" else "cifar-100-binary.tar.gz"
    return {published: _tar_gz(prefix, members)}


def _tar_gz(prefix, members):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        folder = tarfile.TarInfo(prefix)
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name, content in members.items():
            member = tarfile.TarInfo(f"{prefix}/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


def archives(name):
    """Returns the published files of a set, such as `emnist/letters`, by name."""
    base, _, config = name.partition("/")
    if base == "emnist":
        return emnist_archives(config or "byclass", surplus=3)
    return cifar_archives(base) if base.startswith("cifar") else mnist_archives(base)


def register(monkeypatch, name, files):
    """Makes files the published ones of a set: their sizes and checksums become TFDS's."""
    builder_cls = tfds.builder_cls(name.partition("/")[0])
    infos = {
        url: UrlInfo(len(content), hashlib.sha256(content).hexdigest(), file)
        for url in builder_cls.url_infos
        for file, content in files.items()
        if url.endswith(f"/{file}")
    }
    assert len(infos) == len(files)
    monkeypatch.setattr(builder_cls, "url_infos", infos)


@dataclass
class Server:
    """A server of files.

    Attributes:
      files: Contents by path.
      breaks: Bytes after which each of the next responses breaks off.
      ranges: Whether the server knows ranges.
      requests: Path and range of each request.
    """

    files: dict[str, bytes]
    breaks: list[int] = field(default_factory=list)
    ranges: bool = True
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    url: str = ""

    def respond(self, handler):
        """Answers a GET request."""
        asked = handler.headers["Range"]
        self.requests.append((handler.path, asked))
        content = self.files.get(handler.path.lstrip("/"))
        if content is None:
            handler.send_error(404)
            return
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and self.ranges else 0
        if start >= len(content):
            handler.send_error(416)
            return
        handler.send_response(206 if start else 200)
        handler.send_header("Content-Length", str(len(content) - start))
        handler.end_headers()
        end = start + self.breaks.pop(0) if self.breaks else len(content)
        handler.wfile.write(content[start:end])


@contextlib.contextmanager
def serve(files):
    """Yields a running server of files."""
    server = Server(files)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            server.respond(self)

        def log_message(self, *arguments):
            """Prints nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        server.url = f"http://127.0.0.1:{running.server_port}"
        try:
            yield server
        finally:
            running.shutdown()
            thread.join()
