"""TFTP as pure machines (RFC 1350, 2347-2349, 7440) and the server that drives them."""
