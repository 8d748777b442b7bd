"""The site configuration (spec 3): one YAML or JSON file that describes the site and every role of it.

Owns what operators write, its defaults and its checks; all problems are reported at once. Does not own what
is done with a value, and opens no socket: an interface name stays a name until the edge resolves it.
"""

from era_ap.config.cluster import Cluster, Management, Mechanism, Zookeeper
from era_ap.config.database_url import SqlAddress, SqlKind
from era_ap.config.directory import DirectorySource, Queries, SqlDatabase, YamlFolder
from era_ap.config.ext import Ext, HttpAuth, Log, LogFormat, LogLevel, MacIsEnough, Misses, Missing, PortRange
from era_ap.config.loading import load, parse
from era_ap.config.problems import ConfigError
from era_ap.config.roles import PnpUrlProto
from era_ap.config.site import ApRole, Gate, Interface, Site

__all__ = [
    "ApRole",
    "Cluster",
    "ConfigError",
    "DirectorySource",
    "Ext",
    "Gate",
    "HttpAuth",
    "Interface",
    "Log",
    "LogFormat",
    "LogLevel",
    "MacIsEnough",
    "Management",
    "Mechanism",
    "Misses",
    "Missing",
    "PnpUrlProto",
    "PortRange",
    "Queries",
    "Site",
    "SqlAddress",
    "SqlDatabase",
    "SqlKind",
    "YamlFolder",
    "Zookeeper",
    "load",
    "parse",
]
