"""Runs a command as somebody whom the permissions of files bind, even when root runs the tests."""

import ctypes
import os
import sys

_DROP_FROM_BOUNDING_SET = 24
_DAC_OVERRIDE, _DAC_READ_SEARCH = 1, 2

if __name__ == "__main__":
    for capability in (_DAC_OVERRIDE, _DAC_READ_SEARCH):
        # Who may not give it up does not have it either.
        ctypes.CDLL(None).prctl(_DROP_FROM_BOUNDING_SET, capability, 0, 0, 0)
    os.execv(sys.argv[1], sys.argv[1:])
