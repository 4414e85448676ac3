"""The made data set and the tiny run of the unit tests."""

from tests.unit.train.conftest import appa_real, prepared, tiny, utkface

__all__ = ["appa_real", "prepared", "tiny", "utkface"]
