"""Classifies an image file with an exported StableHLO model and JAX, without flax_vision.

It needs these packages: flatbuffers jax pillow.
Export a run, and classify an image file:

    flax-vision export runs/lenet5 --format stablehlo --preprocessing -o lenet5.stablehlo
    python examples/classify_stablehlo.py lenet5.stablehlo photograph.jpg

The sizes and the class names come from the JSON file beside the exported file.
"""

import json
import sys
from pathlib import Path

import jax
import numpy as np
from PIL import Image, ImageOps

model = jax.export.deserialize(bytearray(Path(sys.argv[1]).read_bytes()))
about = json.loads(Path(f"{sys.argv[1]}.json").read_text())
height, width, channels = about["input_size"]
mode = "RGB" if channels == 3 else "L"
image = Image.open(sys.argv[2])
resized = [round(side * about["resize"] / min(image.size)) for side in image.size]
image.draft(mode, (resized[0], resized[1]))  # decodes a large JPEG at a lower resolution
image = ImageOps.exif_transpose(image).convert(mode)

# The center of the resized image, as a rectangle of the decoded image.
columns, rows = sorted(resized, reverse=image.width > image.height)
left, top = (columns - width) // 2, (rows - height) // 2
x, y = image.width / columns, image.height / rows
box = (left * x, top * y, (left + width) * x, (top + height) * y)
pixels = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR, box))

probabilities = jax.nn.softmax(model.call(pixels.reshape(1, height, width, channels))[0])
best = int(probabilities.argmax())
print(f"{about['class_names'][best]} {probabilities[best]:.4f}")
