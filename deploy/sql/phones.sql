-- Which phone belongs to which account, for switches whose own tables know no MAC (Asterisk, Kamailio).
-- Run it once in the switch's database; PostgreSQL, MariaDB and MySQL understand it. Whoever keeps an inventory
-- already makes views of these names and columns over it instead.

CREATE TABLE era_ap_phones (
    mac VARCHAR(17) NOT NULL,               -- any notation: 001565000001, 00:15:65:00:00:01
    line INTEGER DEFAULT 1 NOT NULL,        -- the phone's line that the account is on
    domain VARCHAR(253) DEFAULT '' NOT NULL,    -- Kamailio: the subscriber's domain; Asterisk: empty
    login VARCHAR(128) NOT NULL,            -- Asterisk: ps_endpoints.id; Kamailio: subscriber.username
    model VARCHAR(64) NOT NULL,             -- as templates/ calls it: T46S, D735, GXP2170
    name VARCHAR(128),                      -- display name, where the switch has none
    label VARCHAR(128),                     -- what the phone is called in lists, such as its place
    PRIMARY KEY (mac, line)
);

CREATE INDEX era_ap_phones_account ON era_ap_phones (domain, login);

-- BLF and function keys of these phones, in order of "place"; see "Keys" in templates/README.rst.
CREATE TABLE era_ap_keys (
    mac VARCHAR(17) NOT NULL,               -- as in era_ap_phones
    place INTEGER NOT NULL,                 -- order of the keys
    type VARCHAR(32),                       -- NULL: blf
    number VARCHAR(128),
    label VARCHAR(64),
    pickup VARCHAR(32),
    line INTEGER,                           -- the phone's line that the key uses; NULL: the first
    position INTEGER,                       -- a certain key; NULL: the next free one
    module INTEGER,                         -- its side-car; NULL: on the phone
    PRIMARY KEY (mac, place)
);
