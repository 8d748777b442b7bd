"""HTTP for phones: the same files as over TFTP, by an ASGI application in the daemon's event loop."""
