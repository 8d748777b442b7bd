"""era_ap: a clustered autoprovision daemon for SIP desk phones."""

__version__ = "0.1.0"
