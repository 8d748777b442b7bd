"""What the directory holds: domains, SIP accounts, devices; MAC notation. Pure data, no I/O.

Owns the reading of an account document (new and old field forms with their precedence, spec 4). Does not own
where documents come from (``yaml_files``) nor the look-up by MAC (``index``).
"""
