"""TFDS's own preparation of the sets, with the standard library in place of TensorFlow."""

import gzip
import io
import tarfile
import zipfile
from types import SimpleNamespace

import tensorflow_datasets as tfds
from PIL import Image
from tensorflow_datasets.core.features import image_feature
from tensorflow_datasets.image_classification import cifar, mnist


class _Downloads:
    """Published files in place of TFDS's download manager."""

    def __init__(self, files, folder):
        self._files = files
        self._folder = folder
        self.downloaded_size = sum(map(len, files.values()))

    def download_and_extract(self, urls):
        if isinstance(urls, dict):
            return {key: self.download_and_extract(url) for key, url in urls.items()}
        name = urls.rpartition("/")[2]
        target = self._folder / name.partition(".")[0]
        content = io.BytesIO(self._files[name])
        if name.endswith(".zip"):
            zipfile.ZipFile(content).extractall(target)
        elif name.endswith(".tar.gz"):
            with tarfile.open(fileobj=content) as archive:
                archive.extractall(target, filter="data")
        else:
            target.write_bytes(gzip.decompress(content.getvalue()))
        return str(target)

    def extract(self, paths):
        for key, path in paths.items():
            with gzip.open(path) as stream:
                (self._folder / key).write_bytes(stream.read())
        return {key: str(self._folder / key) for key in paths}


def _encode_png(self, pixels):
    file = io.BytesIO()
    Image.fromarray(pixels.squeeze()).save(file, format="png")
    return file.getvalue()


def prepare_by_tfds(name, files, directory, folder, monkeypatch):
    """Prepares a set with the builder of TFDS, and returns the directory."""
    tensorflow = SimpleNamespace(io=SimpleNamespace(gfile=SimpleNamespace(GFile=open)))
    for module in (cifar, mnist):
        monkeypatch.setattr(module, "tf", tensorflow)
    monkeypatch.setattr(image_feature._ImageEncoder, "_encode_image", _encode_png)
    builder = tfds.builder(name, data_dir=directory, file_format="array_record")
    folder.mkdir()
    manager = _Downloads(files, folder)
    monkeypatch.setattr(builder, "_make_download_manager", lambda **_: manager)
    builder.download_and_prepare()
    return builder.data_path
