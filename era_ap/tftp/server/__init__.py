"""The edge of TFTP: sockets, timers and threads around the machines of ``era_ap.tftp``."""

from era_ap.tftp.server.contract import Policy, TransferReport
from era_ap.tftp.server.service import TftpServer
from era_ap.tftp.server.uploads import UploadPolicy

__all__ = ["Policy", "TftpServer", "TransferReport", "UploadPolicy"]
