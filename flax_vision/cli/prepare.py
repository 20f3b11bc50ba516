"""Prepares a dataset, so that training can read it.

Downloads the files of the publisher and checks them. Writes the set that TensorFlow Datasets (TFDS)
would write, without TensorFlow. Repeat an interrupted command to resume it: the unfinished set is
in the folder .NAME.unfinished of --tfds-dir.

Sets:
  cifar10, cifar100, emnist, fashion_mnist, kmnist and mnist. emnist has the configurations
  byclass (the default), bymerge, balanced, letters, digits and mnist. Its images are stored
  transposed, as in TFDS, and training reads them upright.
  imagenette, ten classes of ImageNet, with the configurations full-size-v2 (the default), 320px-v2,
  160px-v2, full-size, 320px and 160px.
  imagenet2012 needs an account at image-net.org. --source is the folder with the downloaded files
  ILSVRC2012_img_train.tar and ILSVRC2012_img_val.tar; ILSVRC2012_img_test.tar is optional. Names,
  classes and numbers of images are checked, but no checksum of the 155 GB is computed. TFDS encodes
  22 CMYK images and a PNG image as RGB JPEG. Here Pillow encodes them, and pixels may differ
  slightly.

Without a network, copy the published files into a folder, and give it as --source. The files may
be decompressed (train-images-idx3-ubyte). Downloads stay in the folder downloads/ of --tfds-dir;
you may delete them.

Examples:
  flax-vision prepare cifar10
  flax-vision prepare emnist/letters --tfds-dir ~/data
  flax-vision prepare fashion_mnist --source /usr/share/datasets/fashion-mnist
  flax-vision prepare imagenette/160px-v2
  flax-vision prepare imagenet2012 --source ~/Downloads --tfds-dir ~/data
"""

import argparse

from flax_vision.cli.arguments import add_shared
from flax_vision.cli.console import progress
from flax_vision.runtime.files import expanded_path
from flax_vision.runtime.terminal import print_note


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    parser.add_argument("name", metavar="NAME", help="dataset, such as cifar10 or emnist/letters")
    source = "folder or address with the published files (default: the publisher's server)"
    parser.add_argument(
        "--source", type=expanded_path, default="", metavar="DIR_OR_URL", help=source
    )
    directory = "directory of prepared sets (default: $TFDS_DATA_DIR or ~/tensorflow_datasets)"
    add_shared(parser, "--tfds-dir", default="", help=directory)
    add_shared(parser, "--overwrite", help="prepare a set again that is prepared already")


def run(options: argparse.Namespace) -> None:
    """Prepares the set, and prints its directory."""
    from flax_vision.data.prepare.preparation import Preparation

    preparation = Preparation(options.name, options.tfds_dir, options.source)
    if preparation.path.exists() and not options.overwrite:
        print_note(f"{options.name} is prepared already; --overwrite prepares it again")
    else:
        with preparation.lock():
            preparation.check_disk_space()
            with progress("kB") as on_progress:
                files = preparation.obtain_files(on_progress)
            with progress() as on_progress:
                counts = preparation.write(files, on_progress)
        images = ", ".join(f"{count:,} {split} images" for split, count in counts.items())
        print_note(f"prepared {options.name}: {images}")
    print(preparation.path)
