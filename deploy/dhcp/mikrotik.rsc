# Telephones and era_ap, for MikroTik RouterOS 7: `/import mikrotik.rsc`, or line by line.
#
# 192.0.2.10 is the server: replace it everywhere (in option 43, 12 is the length of the URL, in hex). voice is the name
# of the DHCP server, 192.0.2.0/24 its network. http:// needs ext.http_port: 80 of the role; tftp:// works as well.
# What each vendor takes is in README.rst beside this file. A router sends what the phone asks for, nothing else.

/ip dhcp-server option
# Every phone understands a bare address: TFTP. s'...' is text, '...' four octets.
add name=phones-66-tftp code=66 value="s'192.0.2.10'"
add name=phones-66-url code=66 value="s'http://192.0.2.10/'"
# Only phones ask for these: Cisco for 150, Panasonic, Polycom and Mitel for 159 and 160, Avaya J100 for 242.
add name=phones-150 code=150 value="'192.0.2.10'"
add name=phones-159 code=159 value="s'http://192.0.2.10/'"
add name=phones-160 code=160 value="s'http://192.0.2.10/'"
add name=phones-242 code=242 value="s'HTTPSRVR=192.0.2.10,HTTPPORT=80'"
# Gigaset bases take the URL from here. To everybody else it is a captive portal (RFC 8910).
add name=gigaset-114 code=114 value="s'http://192.0.2.10/'"
# Mitel and Aastra: 2 is the server, 3 switches the vendor's redirection service off.
add name=mitel-43 code=43 value="0x0212'http://192.0.2.10/'0x030100"

/ip dhcp-server option sets
add name=phones options=phones-66-tftp,phones-150,phones-159,phones-160,phones-242
add name=phones-url options=phones-66-url,phones-159,phones-160
add name=gigaset options=gigaset-114
add name=mitel options=phones-66-url,mitel-43

# By what phones call themselves (option 60); others (Yealink, Grandstream ...) take the bare address as well.
/ip dhcp-server matcher
add name=snom server=voice code=60 matching-type=substring value="snom" option-set=phones-url
add name=panasonic server=voice code=60 matching-type=substring value="Panasonic" option-set=phones-url
add name=digium server=voice code=60 matching-type=substring value="digium_D" option-set=phones-url
add name=gigaset server=voice code=60 matching-type=substring value="Gigaset" option-set=gigaset
add name=gigaset-n510 server=voice code=60 matching-type=substring value="N510_IP_PRO" option-set=gigaset
add name=aastra server=voice code=60 matching-type=substring value="AastraIPPhone" option-set=mitel
add name=mitel server=voice code=60 matching-type=substring value="MitelIPPhone" option-set=mitel

# On the network and not on the server, so that a matcher's set is the stronger one.
/ip dhcp-server network
set [find where address=192.0.2.0/24] dhcp-option-set=phones
