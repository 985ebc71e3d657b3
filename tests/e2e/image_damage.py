# SPDX-License-Identifier: Apache-2.0
"""Damage of an image on the engine's disk, as a power cut or a failing disk leaves it."""
import pathlib


def top_file(engine, reference):
    """The file on the engine's disk that the image's top layer has."""
    upper = pathlib.Path(engine.docker.images.get(reference).attrs["GraphDriver"]["Data"]["UpperDir"])
    return next(path for path in upper.rglob("*") if path.is_file())


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
