"""Compiles the modules of the TFTP machine where ``ERA_AP_COMPILE=1`` asks for it; setup.cfg has all else.

The source is the same and does the same, a block costs less. Needs a C compiler and Python's header files.
"""

import os
import sys
from pathlib import Path

from setuptools import setup

# Beside sources that somebody works on, compiled modules would hide what is changed.
WANTED = os.environ.get("ERA_AP_COMPILE", "0") not in ("", "0") and "editable_wheel" not in sys.argv
MODULES = sorted(str(path) for path in Path("era_ap/tftp").glob("[!_]*.py"))

extensions = []
if WANTED:
    try:
        from mypyc.build import mypycify
    except ImportError:
        # At first pip only asks what building needs, and installs that.
        if not {"egg_info", "dist_info"} & set(sys.argv):
            raise
    else:
        extensions = mypycify(MODULES, group_name="era_ap_tftp")

setup(ext_modules=extensions, setup_requires=["mypy>=1.11"] if WANTED else [])
