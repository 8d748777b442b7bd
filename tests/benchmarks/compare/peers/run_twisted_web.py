"""A twisted.web resource from memory on uvloop: ``run_twisted_web.py FILE PORT``."""

import sys
from pathlib import Path

import uvloop
from twisted.internet import asyncioreactor

asyncioreactor.install(uvloop.new_event_loop())

from twisted.internet import reactor  # noqa: E402 - the one that was just installed
from twisted.web.resource import Resource  # noqa: E402
from twisted.web.server import Site  # noqa: E402

BODY = Path(sys.argv[1]).read_bytes()


class File(Resource):
    isLeaf = True  # noqa: N815 - Twisted's name

    def render_GET(self, request):
        request.setHeader(b"content-type", b"application/octet-stream")
        request.setHeader(b"content-length", b"%d" % len(BODY))
        return BODY


reactor.listenTCP(int(sys.argv[2]), Site(File()), interface="127.0.0.1")
reactor.run()
