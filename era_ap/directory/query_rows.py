"""The rows of a foreign database as documents of accounts and domains: the contract of ``queries``.

Owns what each column of the operator's queries means. Does not own running them (``sql_queries``). A query
is any one SELECT; ``:NAME`` in it stands for a value of ``parameters``. NULL is "not given". Upper case in
names of domains is lowered; a key is spelt as the column is. Columns of JSON, or of text in a column named
``opts``, ``ext``, ``settings``, ``fields``, ``blf`` or ``override``, may hold JSON objects and lists.

accounts (required), one row an account:
    domain, login         identity; a second row of the same identity is a problem and is not used
    opts, ext, fields     JSON objects; the keys of ``fields`` stand beside ``login``
    opts.PATH, ext.PATH   one value below opts or ext, like "ext.timezone"
    anything else         a field of that name, like password, reg, name; dots make objects
devices, one row for each line of each phone:
    domain, login         the account that the line belongs to
    mac                   any notation; a row without one is left out
    line                  number of the line, from 1; rows are taken by it, then in the order given
    anything else         a field of the element of opts.ap_devices, like device_model, blf, override; dots
                          make objects
keys, one row for each BLF or function key, in order:
    domain, login         the account
    mac                   the phone that the key is on; NULL or no such column: ext.ap_blf, all its phones
    anything else         a field of the entry, like type, number, label; dots make objects
domains, one row a domain, or several that are merged:
    domain                its name; domains that only accounts name need no row
    settings              JSON object
    settings.PATH         one value below settings
    constants.KEY         one constant: settings.ap_constants.KEY
    constant, value       one constant a row, for tables of name and value
changed, one row:
    any columns           a fingerprint; while it stays the same nothing else is read
"""

from __future__ import annotations
