"""Serve a folder with fbtftp: ``run_fbtftp.py FOLDER PORT``."""

import logging
import sys
from pathlib import Path

from fbtftp.base_handler import BaseHandler, ResponseData
from fbtftp.base_server import BaseServer

logging.disable(logging.CRITICAL)


class FileData(ResponseData):
    def __init__(self, path):
        self._size = path.stat().st_size
        self._file = path.open("rb")

    def read(self, n):
        return self._file.read(n)

    def size(self):
        return self._size

    def close(self):
        self._file.close()


class Handler(BaseHandler):
    def __init__(self, server_addr, peer, path, options, root):
        self._root = root
        super().__init__(server_addr, peer, path, options, lambda _: None)

    def get_response_data(self):
        return FileData(self._root / self._path)


class Server(BaseServer):
    def __init__(self, root, port):
        super().__init__("127.0.0.1", port, 5, 5)
        self._root = root

    def get_handler(self, server_addr, peer, path, options):
        return Handler(server_addr, peer, path, options, self._root)


Server(Path(sys.argv[1]), int(sys.argv[2])).run()
