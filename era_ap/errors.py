"""Reason codes: why a request ended as it did, and what each transport says about it.

Owns the closed set of outcomes, the stable code of each, the advice an operator gets, and the one
table that maps an outcome to the wire (spec 5). Does not own detail texts (the raiser gives them) and
never lets them reach a phone: what a phone reads is a constant of this module.
"""

from __future__ import annotations

import enum
import errno
import os
from dataclasses import dataclass
from typing import Self


class Outcome(enum.Enum):
    """Class of an answer, with what TFTP (RFC 1350 section 5) and HTTP say for it."""

    __hash__ = object.__hash__  # see Reason

    SERVED = (None, "", 200)
    NOT_FOUND = (1, "File not found", 404)
    REFUSED = (2, "Access violation", 403)
    UNAUTHORIZED = (2, "Access violation", 401)
    METHOD = (2, "Access violation", 405)
    TOO_LARGE = (2, "Access violation", 413)
    BROKEN = (0, "Internal error", 500)
    UNAVAILABLE = (0, "Temporarily unavailable", 503)
    PROTOCOL = (4, "Illegal TFTP operation", 400)
    ABORTED = (0, "Transfer aborted", 499)

    def __init__(self, tftp_code: int | None, tftp_text: str, http_status: int) -> None:
        self.tftp_code = tftp_code
        self.tftp_text = tftp_text
        self.http_status = http_status


class Reason(enum.Enum):
    """Stable code of one outcome; ``value`` is the code itself, as journals, logs and ``explain`` show it."""

    __hash__ = object.__hash__  # Enum's own is Python, and each request looks several things up by its reason

    code: str
    outcome: Outcome
    advice: str
    is_served: bool

    def __new__(cls, code: str, outcome: Outcome, advice: str) -> Self:
        self = object.__new__(cls)
        self._value_ = code
        self.code = code
        self.is_served = outcome is Outcome.SERVED
        self.outcome = outcome
        self.advice = advice
        return self

    # A table: one row, one line.
    # fmt: off
    # --- served
    STATIC = ("static", Outcome.SERVED, "Served from configs/ as it is.")
    RENDERED = ("rendered", Outcome.SERVED, "Filled in for this phone.")
    REUSED = ("reused", Outcome.SERVED, "The rendering of a moment ago, byte for byte.")
    COMMON = ("common", Outcome.SERVED, "A common file, filled with constants only.")
    UPLOADED = ("uploaded", Outcome.SERVED, "The phone's upload was stored in the sink.")

    # --- no such thing
    NO_MASK = ("no-mask", Outcome.NOT_FOUND, "No file of that name in configs/ and no mask fits the name. Add a mask to settings.ap_options.masks of the master domain.")
    MAC_ZERO = ("mac-zero", Outcome.NOT_FOUND, "000000000000 is never a phone; give the common file a mask with a template.")
    MAC_UNKNOWN = ("mac-unknown", Outcome.NOT_FOUND, "No account owns this MAC. Add it to opts.ap_devices of the account.")
    MODEL_MISSING = ("model-missing", Outcome.NOT_FOUND, "The account names no model. Set device_model beside the MAC.")
    TEMPLATE_MISSING = ("template-missing", Outcome.NOT_FOUND, "templates/ has no template of this model and type. Add one, or map the model in models.yml with 'like'.")
    COMMON_TEMPLATE_MISSING = ("common-template-missing", Outcome.NOT_FOUND, "The mask names a template that is not in templates/. Add the file or correct the mask.")
    STATIC_AMBIGUOUS = ("static-ambiguous", Outcome.NOT_FOUND, "configs/ has several files whose names differ only in letter case. Keep one, or ask with the exact case.")
    STATIC_IS_FOLDER = ("static-is-folder", Outcome.NOT_FOUND, "The name is a folder of configs/, not a file.")
    FIRMWARE_UNSUPPORTED = ("firmware-unsupported", Outcome.NOT_FOUND, "models.yml lists firmware ranges for this model and none holds the phone's version. Add a range.")

    # --- refused
    NAME_EMPTY = ("name-empty", Outcome.REFUSED, "The phone asked for an empty name; check the file name in its DHCP options.")
    NAME_TRAVERSAL = ("name-traversal", Outcome.REFUSED, "A name with '..' never leaves the storage.")
    NAME_INVALID = ("name-invalid", Outcome.REFUSED, "The name holds control characters or is not text.")
    NAME_DRIVE = ("name-drive", Outcome.REFUSED, "The name begins with a drive letter.")
    NAME_TOO_LONG = ("name-too-long", Outcome.REFUSED, "Names are limited to 512 characters.")
    MAC_CONFLICT = ("mac-conflict", Outcome.REFUSED, "Accounts of different domains claim this MAC; serving would hand one tenant's secrets to another. Remove it from all domains but one.")
    NETWORK_CLOSED = ("network-closed", Outcome.REFUSED, "The source address is in none of the networks of ext.allow.")
    THROTTLED = ("throttled", Outcome.REFUSED, "This address asked for too many names that do not exist (ext.misses); it is served again when the window passes.")
    WRITE_REFUSED = ("write-refused", Outcome.REFUSED, "Uploads are off; name a folder in ext.uploads to take phones' logs.")
    UPLOAD_LIMIT = ("upload-limit", Outcome.REFUSED, "The upload sink is full or the file is larger than ext.upload_bytes.")
    MAC_NOT_ENOUGH = ("mac-not-enough", Outcome.REFUSED, "A MAC alone is not enough from this address (ext.mac_is_enough); the phone needs a temporary address or credentials (ext.http_auth).")
    TOKEN_MALFORMED = ("token-malformed", Outcome.REFUSED, "The temporary address is damaged; it must be used as it was given out.")
    TOKEN_FORGED = ("token-forged", Outcome.REFUSED, "No key of this instance signed the temporary address; ext.key_file must hold the same on all instances.")
    TOKEN_EXPIRED = ("token-expired", Outcome.REFUSED, "The temporary address has ended (ext.url_seconds); the phone gets a new one when it asks again.")
    TOKEN_SOURCE = ("token-source", Outcome.REFUSED, "The temporary address was given to another source address; look for NAT or a proxy between (ext.http_proxies).")
    TOKEN_MAC = ("token-mac", Outcome.REFUSED, "The temporary address belongs to another phone.")
    TOKEN_PATH = ("token-path", Outcome.REFUSED, "The temporary address is for another file or folder.")
    CREDENTIALS_NEEDED = ("credentials-needed", Outcome.UNAUTHORIZED, "A MAC alone is not enough from this address (ext.mac_is_enough) and the phone has shown no credentials yet.")
    CREDENTIALS_WRONG = ("credentials-wrong", Outcome.UNAUTHORIZED, "User or password is wrong, or none is set: http_password of the device, or the constants http_user and http_password.")
    CREDENTIALS_STALE = ("credentials-stale", Outcome.UNAUTHORIZED, "The nonce has ended; the phone repeats the request with a new one by itself (RFC 7616).")
    CREDENTIALS_REPLAYED = ("credentials-replayed", Outcome.UNAUTHORIZED, "An Authorization that was used before came again; if the phone does not repeat it properly, somebody recorded it.")
    METHOD_UNKNOWN = ("method-unknown", Outcome.METHOD, "Phones may use GET and HEAD, and PUT or POST where ext.uploads names a folder.")
    BODY_TOO_LARGE = ("body-too-large", Outcome.TOO_LARGE, "The upload is larger than ext.upload_bytes.")
    NO_GATE = ("no-gate", Outcome.REFUSED, "An account without registration has no usable gate on this site. Correct 'gates' of the device or default_sipuser_noreg_gates of the domain.")
    LICENCE_EXCEEDED = ("licence-exceeded", Outcome.REFUSED, "The account lists more device addresses than it has licences.")
    NOREG_INVALID = ("noreg-invalid", Outcome.REFUSED, "An account with 'reg: false' needs 'devices' of {device: ip[:port], gates, proto: udp|tcp|tls}, and a whole number of licences if any.")

    # --- the template or the account is wrong
    TEMPLATE_SYNTAX = ("template-syntax", Outcome.BROKEN, "A placeholder is opened and not closed, or is malformed.")
    TEMPLATE_ENCODING = ("template-encoding", Outcome.BROKEN, "The template is not UTF-8 (or not what its XML declaration says).")
    TEMPLATE_TOO_LARGE = ("template-too-large", Outcome.BROKEN, "A template is limited to 1 MiB.")
    TEMPLATE_AMBIGUOUS = "template-ambiguous", Outcome.BROKEN, (
        "Two templates have names that differ only in letter case; one is not used. Rename or remove one."
    )
    TEMPLATE_UNREADABLE = ("template-unreadable", Outcome.BROKEN, "The template exists and cannot be read; check its permissions.")
    INCLUDE_MISSING = ("include-missing", Outcome.BROKEN, "An included file is not in templates/.")
    INCLUDE_CYCLE = ("include-cycle", Outcome.BROKEN, "Files include each other in a circle.")
    INCLUDE_OUTSIDE = ("include-outside", Outcome.BROKEN, "An include names a path outside templates/.")
    DEPTH_LIMIT = ("depth-limit", Outcome.BROKEN, "Placeholders or includes are nested more than 32 levels deep.")
    EXPANSION_LIMIT = ("expansion-limit", Outcome.BROKEN, "The template needs more than 10,000 expansions.")
    OUTPUT_LIMIT = ("output-limit", Outcome.BROKEN, "The filled file is larger than 1 MiB.")
    TIME_LIMIT = ("time-limit", Outcome.BROKEN, "Filling the template took more than 0.5 s of computing.")
    RANDOM_RANGE = ("random-range", Outcome.BROKEN, "[random.N] needs a whole number N of at least 1.")
    ACCOUNT_IN_COMMON = ("account-in-common", Outcome.BROKEN, "A common file has no account: [sipuser], [blf] and [accounts] cannot be filled.")
    BLF_TEMPLATE_MISSING = ("blf-template-missing", Outcome.BROKEN, "The account has BLF keys and templates/ has no <model>.blf.")
    BLF_INVALID = ("blf-invalid", Outcome.BROKEN, "The BLF list must be a list of numbers or of objects.")
    ACCOUNT_TEMPLATE_MISSING = ("account-template-missing", Outcome.BROKEN, "[accounts] needs the file <model>.account in templates/.")
    REQUIRED_MISSING = ("required-missing", Outcome.BROKEN, "A field of ext.required is missing or empty; no phone gets an empty credential.")
    FIELD_MISSING = ("field-missing", Outcome.BROKEN, "The account lacks a field of the template and ext.missing is 'error'.")
    CONSTANT_MISSING = ("constant-missing", Outcome.BROKEN, "A constant is defined nowhere and ext.missing is 'error'.")
    NAME_UNRESOLVED = ("name-unresolved", Outcome.BROKEN, "[nslookup] found no address and ext.missing is 'error'.")
    OVERRIDE_FORM = ("override-form", Outcome.BROKEN, "An override is an object, a list of {path, value} or a string.")
    OVERRIDE_DIALECT = ("override-dialect", Outcome.BROKEN, "The template has no 'key = value', 'key: value' or 'SET key value' lines to correct.")
    OVERRIDE_XPATH = ("override-xpath", Outcome.BROKEN, "An override's key is not a usable XPath.")
    OVERRIDE_FRAGMENT = ("override-fragment", Outcome.BROKEN, "An override's XML fragment is not well-formed.")
    XML_BROKEN = ("xml-broken", Outcome.BROKEN, "The filled file is not well-formed XML.")
    XML_ENTITY = ("xml-entity", Outcome.BROKEN, "The file declares a DTD or entities; they are never read.")
    OUTPUT_ENCODING = ("output-encoding", Outcome.BROKEN, "A value has characters that the template's encoding cannot carry.")
    VALUE_FORBIDDEN = ("value-forbidden", Outcome.BROKEN, "A value has a character that files of this model cannot carry (dialect in models.yml). Change the value.")
    LINE_LENGTH = ("line-length", Outcome.BROKEN, "A line of the filled file is longer than this model reads (dialect.line_length in models.yml).")
    VALUE_CHANGED = ("value-changed", Outcome.BROKEN, "A text that is only shown lost characters that files of this model cannot carry.")
    KEY_TYPE = ("key-type", Outcome.BROKEN, "The model has no keys of that type; the key is left empty. Types stand in models.yml.")
    KEY_PLACE = ("key-place", Outcome.BROKEN, "The key that an entry asks for does not exist or is taken; the entry is left out. Change its position, page, module or line.")
    KEY_OVERFLOW = ("key-overflow", Outcome.BROKEN, "The list has more entries than the phone has free keys; the last ones are left out.")
    KEY_VALUE = ("key-value", Outcome.BROKEN, "An entry has a character that a key of this model cannot carry; the key is left empty.")
    LINE_OVERFLOW = ("line-overflow", Outcome.BROKEN, "The phone has fewer lines than accounts; those past the last line are left out.")
    MODEL_UNLISTED = ("model-unlisted", Outcome.BROKEN, "models.yml does not list the model; the file is made as for the vendor's most common one. Add the model.")
    TIMEZONE_UNKNOWN = ("timezone-unknown", Outcome.BROKEN, "The constant timezone is no name of the tz database such as Europe/Berlin; zones have no value. Correct it.")
    TIMEZONE_NEAREST = ("timezone-nearest", Outcome.BROKEN, "A vendor has no name for this time zone; one with the same offset is used. Set the vendor's own constant to choose another.")
    MODELS_INVALID = ("models-invalid", Outcome.BROKEN, "templates/models.yml is not valid; its last good version is in service.")
    MODEL_CYCLE = ("model-cycle", Outcome.BROKEN, "models.yml maps models to each other in a circle.")
    CONSTANTS_INVALID = ("constants-invalid", Outcome.BROKEN, "constants/<Site>.cfg has a line that is not 'key = value'.")
    MASK_INVALID = ("mask-invalid", Outcome.BROKEN, "A mask of the master domain is not text or {mask, type, template}.")
    SG_MISSING = ("sg-missing", Outcome.BROKEN, "The template asks for [constants.sg.addr] and no enabled sg role of the site has a known address. Add one to 'roles'.")
    ACCOUNT_INVALID = ("account-invalid", Outcome.BROKEN, "The account's file cannot be read; its last good version, if any, is in service.")
    DEVICE_INVALID = ("device-invalid", Outcome.BROKEN, "A device of the account is not {mac, device_model, …} or its MAC is not 12 hex digits.")
    DOMAIN_INVALID = ("domain-invalid", Outcome.BROKEN, "The domain's settings cannot be read.")
    DOMAIN_TWICE = ("domain-twice", Outcome.BROKEN, "Several sources of the directory have this domain; that of the first in the configuration counts. Remove it from the others.")
    DOMAIN_UNCOVERED = ("domain-uncovered", Outcome.BROKEN, "No group answers for the domain. Name it or its parent in include_domains of one group, or have a group without include_domains.")
    FILE_EMPTIED = ("file-emptied", Outcome.BROKEN, "A file that had content is empty. Write it anew; if it is meant to be empty, put a blank line into it.")
    DIRECTORY_CONFLICT = ("directory-conflict", Outcome.REFUSED, "Somebody else changed it meanwhile. Read it again, repeat the edit and write that.")
    DIRECTORY_GUARD = ("directory-guard", Outcome.REFUSED, "More than a half of the directory, or more than a tenth and more than ten accounts, would be removed. Look at 'era-ap directory diff', then repeat with --allow-delete.")
    ROW_INVALID = ("row-invalid", Outcome.BROKEN, "A row of a table of phones cannot be taken over as it is; the finding says its line, its column and what to do.")
    FILE_OUTSIDE = ("file-outside", Outcome.BROKEN, "A symbolic link leaves the storage and is not followed.")
    FILE_HARD_LINK = ("file-hard-link", Outcome.BROKEN, "The file has a second name (hard link) that may lie outside the storage; copy it instead.")
    FILE_SPECIAL = ("file-special", Outcome.BROKEN, "Not a regular file.")
    FILE_UNREADABLE = ("file-unreadable", Outcome.BROKEN, "A file of configs/ cannot be read; check its permissions.")
    UPLOAD_SINK = ("upload-sink", Outcome.BROKEN, "The folder of ext.uploads cannot be written to. Make it, let the daemon's user write there, and look for space.")
    INTERNAL = ("internal", Outcome.BROKEN, "A defect of the daemon; the log has the particulars.")

    # --- not now
    STORAGE_UNAVAILABLE = ("storage-unavailable", Outcome.UNAVAILABLE, "The storage has not been readable since the start.")
    STORAGE_BUSY = ("storage-busy", Outcome.UNAVAILABLE, "The storage did not answer in time.")
    FILE_CHANGED = ("file-changed", Outcome.UNAVAILABLE, "The file changes while it is being served; it is served again when it rests.")
    DIRECTORY_UNAVAILABLE = ("directory-unavailable", Outcome.UNAVAILABLE, "The directory, or a source of it that may know the phone, has not been readable since the start.")
    TRANSFER_LIMIT = ("transfer-limit", Outcome.UNAVAILABLE, "Too many transfers at once (ext.transfers, ext.transfers_per_address).")
    RATE_LIMIT = ("rate-limit", Outcome.REFUSED, "This address asks more often than ext.requests_per_second allows.")

    # --- PnP (a phone is told by silence; the outcome only classifies the record)
    PNP_ACCEPTED = ("pnp-accepted", Outcome.SERVED, "The phone has taken the URL of its file.")
    PNP_UNCONFIRMED = ("pnp-unconfirmed", Outcome.ABORTED, "The phone did not confirm the NOTIFY; the next request for a file tells whether it took the URL.")
    PNP_DECLINED = ("pnp-declined", Outcome.ABORTED, "The phone answered the NOTIFY with an error; some do and fetch the file all the same.")
    PNP_DENIED = ("pnp-denied", Outcome.REFUSED, "ext.pnp (its interfaces, allow or deny) keeps this phone out; it gets no answer.")
    PNP_NOT_OURS = ("pnp-not-ours", Outcome.REFUSED, "This instance does not lead the group of the phone's domain; the leader answers.")
    PNP_NO_MAC = ("pnp-no-mac", Outcome.REFUSED, "The SUBSCRIBE names no MAC, or something that only looks like one, and the neighbour table of this host does not know the sender either.")
    PNP_STALE = ("pnp-stale", Outcome.UNAVAILABLE, "The SUBSCRIBE waited more than a second to be read; the phone asks again.")
    PNP_MALFORMED = ("pnp-malformed", Outcome.REFUSED, "The SUBSCRIBE breaks RFC 3261; a capture of it tells more.")
    PNP_NO_URL = ("pnp-no-url", Outcome.BROKEN, "There is no URL to hand out: pnp_url_proto is http and HTTP is not served.")

    # --- our own configuration (never the answer to a request)
    CONFIG_UNREADABLE = ("config-unreadable", Outcome.BROKEN, "The site configuration cannot be read.")
    CONFIG_INVALID = ("config-invalid", Outcome.BROKEN, "A value of the site configuration is not usable.")
    KEY_FILE = ("key-file", Outcome.BROKEN, "The site's key cannot be read. Make one with 'openssl rand -hex 32' and give the same file to all instances.")
    ZOOKEEPER_PASSWORD = ("zookeeper-password", Outcome.BROKEN, "The password for ZooKeeper cannot be read: ext.zookeeper.password_file holds it in one line, readable by the daemon.")
    ROLE_TAKEN = ("role-taken", Outcome.BROKEN, "Another process runs this role on this host. Stop it, or give this instance a name and an ext.state of its own.")
    TLS_FILES = ("tls-files", Outcome.BROKEN, "The certificate or its key cannot be used; both are PEM files and belong to each other.")
    CONFIG_UNKNOWN_KEY = ("config-unknown-key", Outcome.BROKEN, "The site configuration has a key that does not exist.")

    # --- TFTP itself
    MODE_UNSUPPORTED = ("mode-unsupported", Outcome.PROTOCOL, "TFTP knows octet and netascii here; 'mail' is obsolete (RFC 1350).")
    MALFORMED = ("malformed", Outcome.PROTOCOL, "The request is not a TFTP packet.")
    HTTP_MALFORMED = ("http-malformed", Outcome.PROTOCOL, "The request is not HTTP/1, or its target is not text in percent-encoding.")
    PEER_ERROR = ("peer-error", Outcome.ABORTED, "The phone ended the transfer with an ERROR.")
    PEER_GONE = ("peer-gone", Outcome.ABORTED, "The phone's port is closed (ICMP).")
    PEER_SILENT = ("peer-silent", Outcome.ABORTED, "The phone stopped answering.")
    EVICTED = ("evicted", Outcome.ABORTED, "The oldest idle transfer gave way to a new one.")
    STOPPED = ("stopped", Outcome.ABORTED, "The daemon stopped before the transfer ended.")
    # fmt: on


class Refused(Exception):  # noqa: N818 - the field's word: a request is refused, with a reason
    """A request (or a part of the configuration) cannot be served.

    ``detail`` is for operators only and may name paths and fields; ``chain`` lists the files that led to
    the place, outermost first. Neither ever reaches a phone.
    """

    def __init__(self, reason: Reason, detail: str = "", chain: tuple[str, ...] = ()) -> None:
        super().__init__(reason, detail, chain)
        self.reason = reason
        self.detail = detail
        self.chain = chain

    def __str__(self) -> str:
        through = f" (through {' > '.join(self.chain)})" if self.chain else ""
        return f"{self.reason.code}: {self.detail or self.reason.advice}{through}"


_PORT_ADVICE = {
    errno.EACCES: "; a port below 1024 needs root or CAP_NET_BIND_SERVICE, which deploy/systemd gives",
    errno.EADDRNOTAVAIL: "; this host has no such address",
}


def cannot_serve(what: str, address: str, port: int, error: OSError, advice: str = "") -> OSError:
    """``error`` of binding a socket as an operator wants to read it."""
    why = os.strerror(error.errno) if error.errno else str(error)
    known = _PORT_ADVICE.get(error.errno or 0, advice)
    return OSError(f"cannot serve {what} at {address} on port {port}: {why}{known}")


class Severity(enum.Enum):
    """How bad a finding of ``era-ap check`` is: an error fails the check, a warning does not."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding about configuration, storage or directory; never raised, always collected.

    ``where`` is a path an operator can open, with ``:line`` where known; ``detail`` one sentence.
    """

    reason: Reason
    where: str
    detail: str
    severity: Severity = Severity.ERROR
