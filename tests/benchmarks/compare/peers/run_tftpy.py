"""Serve a folder with tftpy: ``run_tftpy.py FOLDER PORT``."""

import logging
import sys

from tftpy import TftpServer

logging.disable(logging.CRITICAL)
TftpServer(sys.argv[1]).listen("127.0.0.1", int(sys.argv[2]))
