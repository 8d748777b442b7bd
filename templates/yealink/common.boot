#!version:1.0.0.1
# For phones whose own boot file was not given out. Nothing here may take a working account away.
include:config <y000000000000.cfg>

overwrite_mode = 0
