"""A CIFAR of fifteen images in the files of CIFAR-10."""

from __future__ import annotations

from metacl_run.data.images.cifar_files import CifarFiles

SMALL_CIFAR = CifarFiles(
    name="CIFAR10",
    folder="cifar-10-batches-py",
    archive="cifar-10-python.tar.gz",
    train={"data_batch_1": 6, "data_batch_2": 6},
    test={"test_batch": 3},
    labels="labels",
    classes=["cat", "dog", "frog"],
)
