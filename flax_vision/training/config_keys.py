"""The table of configuration keys: defaults, meanings and valid values.

`--help` of the training program prints this table.
"""

from typing import Any, NamedTuple

from flax_vision.data.flags import CLASS_ORDERS, MAX_PIXELS
from flax_vision.training import config_rules as rules
from flax_vision.weights.best_epoch import METRICS


class Key(NamedTuple):
    """A configuration key.

    Attributes:
      default: Default value; its type is the type of the key.
      meaning: Meaning of the value.
      rule: Rule for the value; None for a number from 0 and for text, True and False.
      choices: Valid values; empty for others than names.
      example: Value for an example; None for the default.
    """

    default: Any
    meaning: str
    rule: rules.Rule | None = None
    choices: tuple[str, ...] = ()
    example: Any = None


SECTIONS = {
    "": "The run",
    "model": "The model; its own options are keys too, see `--help resnet50`",
    "data": "Images and their preprocessing",
    "crop": "Crops of image files, which have any size",
    "augmentation": "Random changes of training images",
    "loss": "The training loss",
    "optimizer": "The optimizer",
    "schedule": "The learning rate over the run",
    "schedule.warmup": "The first epochs of the schedule",
    "stop": "Early stopping",
    "mesh": "Devices; a run can resume on another mesh",
    "checkpoint": "Checkpoints",
    "tensorboard": "Events for TensorBoard",
}
"""Titles of the sections, in the order of `KEYS`."""

KEYS: dict[str, Key] = {
    "seed": Key(0, "Seed for parameters, dropout and the order of the images.", rules.COUNT_OR_0),
    "batch_size": Key(128, "Images in each training step.", rules.COUNT),
    "epochs": Key(10, "Passes over the training images.", rules.COUNT),
    "test_every_epochs": Key(
        0,
        "Number of epochs between tests during training; 0 to test only at the end.",
        rules.COUNT_OR_0,
        example=1,
    ),
    "steps_per_call": Key(
        1, "Steps in one compiled program. More are faster with few small images.", rules.COUNT
    ),
    "init_from": Key(
        "",
        "Export or run directory with the initial weights; empty for random weights.",
        example="runs/vgg16/export",
    ),
    "init_pattern": Key(
        ".*", "Regular expression for the layers that `init_from` fills.", example="conv.*"
    ),
    "init_preprocessing": Key(True, "Use the mean and std of the model of `init_from`."),
    "freeze": Key(
        "",
        "Regular expression for the layers that are not trained; empty for none.",
        example="conv.*",
    ),
    "precise_bn_samples": Key(
        0,
        "Number of training images whose statistics batch normalization uses in evaluation and "
        "export; 0 for its running averages.",
        rules.COUNT_OR_0,
        example=8192,
    ),
    "write_report": Key(True, "Write a page with curves and mistakes into report/ at the end."),
    "model.name": Key("lenet5", "Name of the model; `flax-vision models` lists all."),
    "data.name": Key(
        "mnist_5k",
        "Dataset: mnist_5k (embedded), folder (your images), hf:OWNER/NAME or hf:PATH (of Hugging "
        "Face or parquet), a registered name, or a TFDS name.",
        example="cifar10",
    ),
    "data.tfds_dir": Key("", "Directory of the TFDS datasets; empty for TFDS's default."),
    "data.image_dir": Key(
        "",
        "Folder of images, for data.name=folder: one folder a class, or train/, val/ and test/.",
        example="photographs",
    ),
    "data.labels": Key(
        "",
        "CSV file with path, label and perhaps split of each image; empty for one folder a class.",
        example="labels.csv",
    ),
    "data.image_column": Key(
        "",
        "Column of a table with the images or their paths; empty to find it.",
        example="image_id",
    ),
    "data.label_column": Key(
        "", "Column of a table with the labels; empty to find it.", example="species"
    ),
    "data.classes": Key(
        (),
        "Names of the classes to use, in the order of their labels; empty for all.",
        rules.CLASSES,
        example="cat,dog",
    ),
    "data.limit": Key(
        0,
        "Number of training images of each class, chosen by the seed; 0 for all. A larger limit "
        "contains the images of a smaller one.",
        rules.COUNT_OR_0,
        example=100,
    ),
    "data.label_noise": Key(
        0.0,
        "Share of the training labels to replace by a random other class; the seed chooses them.",
        rules.FROM_0_TO_1,
        example=0.2,
    ),
    "data.val_fraction": Key(
        0.1,
        "Share of the training images that choose the best model, without a validation split.",
        rules.FRACTION,
    ),
    "data.test_fraction": Key(
        0.1, "Share of the images that test the model, without a test split.", rules.FRACTION
    ),
    "data.stratify": Key(
        "auto",
        "Whether splits taken from the training images keep its share of each class: always, "
        "never, or auto (only if the labels are known without reading a large set).",
        choices=("auto", "always", "never"),
    ),
    "data.on_error": Key(
        "stop", "Action at unreadable image files: stop or skip them.", choices=("stop", "skip")
    ),
    "data.num_threads": Key(
        0, "Threads that decode image files; 0 for one a core.", rules.COUNT_OR_0
    ),
    "data.max_pixels": Key(
        MAX_PIXELS, "Largest number of pixels of an image file.", rules.AT_LEAST_1
    ),
    "data.class_order": Key(
        "natural",
        "Order of a folder's classes: natural (9 before 10), or sorted as by ImageFolder.",
        choices=CLASS_ORDERS,
    ),
    "data.sampler": Key(
        "shuffle",
        "Order of an epoch: shuffle (each image once), or balanced (each class equally often).",
        choices=("shuffle", "balanced"),
    ),
    "data.reshuffle": Key(True, "Use a new order of the images in each epoch."),
    "data.resize": Key(
        0, "Height and width after resizing images in memory; 0 for no resizing.", example=64
    ),
    "data.grayscale": Key(False, "Read image files with one channel instead of three."),
    "data.channels": Key(0, "Copies of a gray image's channel; 0 for one, 3 for color."),
    "data.crop": Key(
        0, "Height and width of the crop that the model gets; 0 for whole images.", example=56
    ),
    "data.subtract_mean": Key(
        "given",
        "Mean to subtract: data.mean, or the training set's mean of each channel or pixel.",
        choices=("given", "channel", "pixel"),
    ),
    "data.mean": Key(
        (0.0,), "Mean to subtract from pixels 0 to 255, one or one a channel.", rules.PER_CHANNEL
    ),
    "data.std": Key(
        (255.0,), "Divisor of the pixels, one or one a channel.", rules.NONZERO_PER_CHANNEL
    ),
    "crop.size": Key(0, "Height and width of the crop; 0 for small images in memory.", example=224),
    "crop.eval_resize": Key(
        0, "Shorter side before the center crop of a test; 0 for 8/7 of crop.size.", example=256
    ),
    "crop.resize_range": Key(
        (256, 256),
        "Range of the random shorter side in training, in pixels.",
        rules.PIXEL_RANGE,
        example=(256, 480),
    ),
    "crop.center_square": Key(False, "Crop only the central square, with crop.resize_range."),
    "crop.scale": Key(
        (),
        "Range of the crop's share of the area, in place of crop.resize_range.",
        rules.AREA_RANGE,
        example=(0.08, 1.0),
    ),
    "crop.ratio": Key(
        (3 / 4, 4 / 3), "Range of a crop's width over its height.", rules.RATIO_RANGE
    ),
    "crop.interpolation": Key(
        "bilinear",
        "Interpolation in training; random chooses one of four for each image.",
        choices=("bilinear", "random"),
    ),
    "augmentation.random_affine": Key(
        0.0, "Strength of random shifts, scaling, squeezing and shearing.", example=0.5
    ),
    "augmentation.rotation": Key(
        0.0, "Largest angle of a random rotation in degrees.", rules.DEGREES, example=15
    ),
    "augmentation.trivial_augment": Key(
        False, "Apply one of 14 operations with a random magnitude to each image (TrivialAugment)."
    ),
    "augmentation.color_jitter": Key(
        0.0,
        "Largest relative change of contrast, brightness and color.",
        rules.FROM_0_TO_1,
        example=0.2,
    ),
    "augmentation.hue": Key(
        0.0, "Largest shift of the hue, as a share of the color circle.", rules.HUE, example=0.1
    ),
    "augmentation.pca_noise": Key(
        0.0,
        "Standard deviation of the random weights of the colors' principal components.",
        example=0.1,
    ),
    "augmentation.pca_scaling": Key(
        "eigenvalues",
        "Scale of the components: eigenvalues, or deviations as in the code of 2012.",
        choices=("eigenvalues", "deviations"),
    ),
    "augmentation.pad_and_crop": Key(0, "Pixels of zero padding before a random crop.", example=4),
    "augmentation.flip": Key(False, "Mirror half of the images."),
    "augmentation.vertical_flip": Key(False, "Turn half of the images upside down."),
    "augmentation.random_erasing": Key(
        0.0, "Probability of erasing a random rectangle.", rules.FROM_0_TO_1, example=0.25
    ),
    "augmentation.mixup": Key(
        0.0, "Parameter alpha of mixup, which blends two images; 0 for none.", example=0.2
    ),
    "augmentation.cutmix": Key(
        0.0, "Parameter alpha of CutMix, which pastes a rectangle; 0 for none.", example=1.0
    ),
    "loss.name": Key(
        "cross_entropy",
        "Loss: cross_entropy, focal (Lin et al. 2017), or lenet5_map (LeNet-5's).",
        choices=("cross_entropy", "focal", "lenet5_map"),
    ),
    "loss.label_smoothing": Key(
        0.0,
        "Share of each label that cross_entropy spreads over all classes.",
        rules.FRACTION,
        example=0.1,
    ),
    "loss.class_weights": Key(
        "none",
        "Class weights of the training loss: none, balanced, or a number from 0 for each class.",
        rules.CLASS_WEIGHTS,
        example="1,2,0.5",
    ),
    "loss.focal_gamma": Key(2.0, "Exponent gamma of focal; 0 gives the cross-entropy."),
    "loss.map_j": Key(10.0, "Constant j of lenet5_map.", rules.FINITE),
    "loss.aux_weight": Key(0.3, "Weight of the loss of each auxiliary head."),
    "optimizer.name": Key(
        "sgd",
        "Optimizer: sgd, adam, adamw, rmsprop, lamb, lion, or levenberg_marquardt (LeNet-5's).",
        choices=("sgd", "adam", "adamw", "rmsprop", "lamb", "lion", "levenberg_marquardt"),
    ),
    "optimizer.damping": Key(
        0.02, "Constant that levenberg_marquardt adds to the curvature.", rules.ABOVE_0
    ),
    "optimizer.curvature_samples": Key(
        500, "Images that estimate levenberg_marquardt's curvature.", rules.AT_LEAST_1
    ),
    "optimizer.momentum": Key(0.9, "Momentum of sgd.", rules.FRACTION),
    "optimizer.momentum_form": Key(
        "standard",
        "Form of the momentum: standard, or alexnet, whose velocity contains the rate.",
        choices=("standard", "alexnet"),
    ),
    "optimizer.nesterov": Key(False, "Use Nesterov momentum, for sgd."),
    "optimizer.b1": Key(
        0.9, "Decay of the average gradient, for adam, adamw, lamb and lion.", rules.FRACTION
    ),
    "optimizer.b2": Key(
        0.0,
        "Decay of the average squared gradient, or of lion's momentum; "
        "0 for 0.999 (rmsprop 0.9, lion 0.99).",
        rules.FRACTION,
        example=0.95,
    ),
    "optimizer.eps": Key(
        1e-8, "Constant added to the root of the average squared gradient.", rules.ABOVE_0
    ),
    "optimizer.clip_norm": Key(
        0.0, "Largest norm of the gradient of all parameters; 0 for no clipping.", example=1.0
    ),
    "optimizer.weight_decay": Key(0.0, "Factor of the weight decay.", example=0.0005),
    "optimizer.decay_form": Key(
        "auto",
        "Weight decay: coupled (added to the gradient), or decoupled (added to the update). "
        "auto is decoupled for adamw, lamb and lion.",
        choices=("auto", "coupled", "decoupled"),
    ),
    "optimizer.decay_biases": Key(True, "Apply the weight decay to biases too."),
    "optimizer.bias_lr_mult": Key(1.0, "Factor of the learning rate for biases."),
    "optimizer.lr_mult": Key(
        (),
        "Factors of the learning rate by pattern of layer names; the first match counts.",
        rules.FACTORS_BY_PATTERN,
        example='{"conv.*": 0.1}',
    ),
    "optimizer.grad_accum_steps": Key(
        1, "Batches whose mean gradient makes one step.", rules.AT_LEAST_1
    ),
    "optimizer.ema_decay": Key(
        0.0, "Decay of the parameters' average; 0 for no average.", rules.FRACTION, example=0.999
    ),
    "schedule.name": Key(
        "cosine",
        "Learning rate by step: constant, cosine, one_cycle, exponential, piecewise or plateau.",
        choices=("constant", "cosine", "one_cycle", "exponential", "piecewise", "plateau"),
    ),
    "schedule.lr": Key(0.01, "Initial or highest learning rate.", rules.ABOVE_0),
    "schedule.boundaries": Key(
        (), "Epochs at which the rate changes, for piecewise.", rules.INCREASING, example=(30, 60)
    ),
    "schedule.decay_factors": Key(
        (),
        "Rates from then on, in multiples of lr, for piecewise.",
        rules.ALL_FINITE,
        example=(0.1, 0.01),
    ),
    "schedule.factor": Key(
        0.1, "Factor of each decay, for plateau and exponential.", rules.BETWEEN_0_AND_1
    ),
    "schedule.decay_epochs": Key(8.0, "Epochs between two decays, for exponential.", rules.ABOVE_0),
    "schedule.patience": Key(
        5, "Epochs without a better model before a decay, for plateau.", rules.AT_LEAST_1
    ),
    "schedule.max_drops": Key(3, "Largest number of decays, for plateau."),
    "schedule.warmup.epochs": Key(0.0, "Length of the warm-up in epochs.", example=5),
    "schedule.warmup.name": Key(
        "linear",
        "Form of the warm-up: linear rises to lr; constant keeps the first rate.",
        choices=("linear", "constant"),
    ),
    "schedule.warmup.factor": Key(0.1, "First rate in multiples of lr."),
    "stop.patience": Key(
        0,
        "Epochs without improvement after which the run ends; 0 for no early stopping.",
        rules.COUNT_OR_0,
        example=10,
    ),
    "stop.metric": Key(
        "best",
        "Validation metric of stop.patience; best is the one that chooses the best epoch.",
        choices=("best", *METRICS),
    ),
    "stop.min_delta": Key(
        0.0, "Smallest change of the metric that counts as improvement.", example=0.001
    ),
    "stop.after_minutes": Key(
        0.0,
        "Minutes of training after which the run ends, at least one epoch; 0 for no limit.",
        example=90,
    ),
    "mesh.data": Key(0, "Devices that share each batch; 0 for all devices."),
    "mesh.column": Key(1, "Devices that share AlexNet's columns: 1 or 2.", rules.COLUMNS),
    "mesh.fsdp": Key(False, "Divide large parameters among the devices that share a batch."),
    "checkpoint.save_interval_secs": Key(60.0, "Longest training time that a kill can cost."),
    "checkpoint.max_to_keep": Key(
        2, "Newest checkpoints to keep; the best is kept too.", rules.AT_LEAST_1
    ),
    "checkpoint.best_metric": Key(
        "auto",
        "Validation metric that chooses the best epoch; auto is top1, or balanced_accuracy for "
        "unbalanced classes.",
        choices=("auto", *METRICS),
    ),
    "tensorboard.histograms": Key(
        False, "Write histograms of weights and gradients for TensorBoard after each epoch."
    ),
}
