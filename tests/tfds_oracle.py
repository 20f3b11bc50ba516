"""TFDS's own preparation of the sets, with the standard library in place of TensorFlow."""

import glob
import gzip
import io
import os
import tarfile
import zipfile
from types import SimpleNamespace

import tensorflow_datasets as tfds
from tensorflow_datasets.core import example_serializer
from tensorflow_datasets.core.download import extractor, resource
from tensorflow_datasets.core.features import image_feature
from tensorflow_datasets.datasets.imagenet2012 import imagenet2012_dataset_builder, imagenet_common
from tensorflow_datasets.datasets.imagenette import imagenette_dataset_builder
from tensorflow_datasets.image_classification import cifar, mnist

from flax_vision.data.prepare.png import encode_png


class _Downloads:
    """Published files in place of TFDS's download manager."""

    def __init__(self, files, folder):
        self._files = files
        self._folder = folder
        self.downloaded_size = sum(map(len, files.values()))
        self.manual_dir = str(folder)

    def download_and_extract(self, urls):
        if isinstance(urls, dict):
            return {key: self.download_and_extract(url) for key, url in urls.items()}
        name = urls.rpartition("/")[2]
        target = self._folder / name.partition(".")[0]
        content = io.BytesIO(self._files[name])
        if name.endswith(".zip"):
            zipfile.ZipFile(content).extractall(target)
        elif name.endswith((".tar.gz", ".tgz")):
            with tarfile.open(fileobj=content) as archive:
                archive.extractall(target, filter="data")
        else:
            target.write_bytes(gzip.decompress(content.getvalue()))
        return str(target)

    def iter_archive(self, path):
        with open(path, "rb") as file:
            yield from extractor.iter_archive(file, resource.ExtractMethod.TAR)

    def extract(self, paths):
        for key, path in paths.items():
            with gzip.open(path) as stream:
                (self._folder / key).write_bytes(stream.read())
        return {key: str(self._folder / key) for key in paths}


def _encode_png(self, pixels):
    return encode_png(pixels)  # TensorFlow's encoder in TFDS


def _serialize(self, example):
    """Serializes an example with its features sorted; TFDS leaves the order to chance."""
    return self.get_tf_example(example).SerializeToString(deterministic=True)


def prepare_by_tfds(name, files, directory, folder, monkeypatch):
    """Prepares a set with the builder of TFDS, and returns the directory."""
    gfile = SimpleNamespace(
        GFile=open, exists=os.path.exists, glob=glob.glob, listdir=os.listdir, isdir=os.path.isdir
    )
    tensorflow = SimpleNamespace(io=SimpleNamespace(gfile=gfile))
    imagenet = (imagenet2012_dataset_builder, imagenet_common, imagenette_dataset_builder)
    for module in (cifar, mnist, *imagenet):
        monkeypatch.setattr(module, "tf", tensorflow)
    monkeypatch.setattr(image_feature._ImageEncoder, "_encode_image", _encode_png)
    monkeypatch.setattr(example_serializer.ExampleSerializer, "serialize_example", _serialize)
    builder = tfds.builder(name, data_dir=directory, file_format="array_record")
    folder.mkdir()
    manager = _Downloads(files, folder)
    if name == "imagenet2012":  # its files are not downloaded
        manager.downloaded_size = 0
        for file, content in files.items():
            (folder / file).write_bytes(content)
    monkeypatch.setattr(builder, "_make_download_manager", lambda **_: manager)
    builder.download_and_prepare()
    return builder.data_path
