"""This daemon beside other TFTP and HTTP servers, on one machine, in one run; see README.rst here."""
