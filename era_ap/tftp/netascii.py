"""Netascii: the line-end conversion of RFC 1350 section 1 (RFC 764), in pieces of any size.

Owns the two streaming converters. On the wire a line ends with CR LF and a lone CR is CR NUL; here, as on
every Unix, a line ends with LF. Neither direction fails: a sequence the RFC does not know passes unchanged.
"""

from __future__ import annotations


def encode(data: bytes) -> bytes:
    """A whole file to its form on the wire."""
    return data.replace(b"\r", b"\r\x00").replace(b"\n", b"\r\n")


class Decoder:
    """Wire to file, piece by piece: a CR at the end of one piece may belong to the start of the next."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held = b""

    def feed(self, piece: bytes) -> bytes:
        """Octets of the file that ``piece`` completes."""
        piece = self._held + piece
        self._held = b""
        if piece.endswith(b"\r"):
            piece, self._held = piece[:-1], b"\r"
        return piece.replace(b"\r\n", b"\n").replace(b"\r\x00", b"\r")

    def finish(self) -> bytes:
        """What is left when the last block has been fed."""
        rest, self._held = self._held, b""
        return rest
