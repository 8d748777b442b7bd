"""A twisted.web resource from memory on uvloop: ``run_twisted_web.py FILE PORT``."""

import sys
from pathlib import Path

import uvloop
from twisted.internet import asyncioreactor

asyncioreactor.install(uvloop.new_event_loop())

from twisted.internet import reactor
from twisted.web.resource import Resource
from twisted.web.server import Site

BODY = Path(sys.argv[1]).read_bytes()


class File(Resource):
    isLeaf = True

    def render_GET(self, request):
        request.setHeader(b"content-type", b"application/octet-stream")
        request.setHeader(b"content-length", b"%d" % len(BODY))
        return BODY


reactor.listenTCP(int(sys.argv[2]), Site(File()), interface="127.0.0.1")
reactor.run()
