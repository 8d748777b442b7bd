#!version:1.0.0.1
# The boot file of one phone: only what it lists is fetched, in this order.
include:config "y000000000000.cfg"
include:config "[constants.phone.mac].cfg"
