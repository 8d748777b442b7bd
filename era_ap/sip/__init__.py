"""SIP as far as phones need it to find us and to be told of news: PnP (RFC 6080's remains) and NOTIFY."""
