"""Classifies an image file with an exported ONNX model, without flax_vision.

It needs these packages: numpy onnxruntime pillow.
Export a run, and classify an image file:

    flax-vision export runs/lenet5 --format onnx --preprocessing -o lenet5.onnx
    python examples/classify_onnx.py lenet5.onnx photograph.jpg

The sizes and the class names come from the metadata of the exported file.
"""

import json
import sys

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

session = onnxruntime.InferenceSession(sys.argv[1])
metadata = session.get_modelmeta().custom_metadata_map
about = {key: json.loads(text) for key, text in metadata.items()}
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

images = pixels.reshape(1, height, width, channels)
logits = session.run(["logits"], {"images": images})[0][0]
probabilities = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
best = probabilities.argmax()
print(f"{about['class_names'][best]} {probabilities[best]:.4f}")
