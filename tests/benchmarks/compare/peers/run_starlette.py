"""A bare Starlette route under uvicorn, httptools and uvloop: ``run_starlette.py FILE PORT``."""

import sys
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

BODY = Path(sys.argv[1]).read_bytes()


async def answer(_request):
    return Response(BODY, media_type="application/octet-stream")


uvicorn.run(
    Starlette(routes=[Route("/{name}", answer)]),
    host="127.0.0.1",
    port=int(sys.argv[2]),
    http="httptools",
    loop="uvloop",
    access_log=False,
    log_level="critical",
)
