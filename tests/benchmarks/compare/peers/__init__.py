"""Small programs that run a library as a server; each is started in a Python that has the library."""
