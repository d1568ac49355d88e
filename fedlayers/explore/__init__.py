"""How does a browser, or another program, look at runs?

A service on this machine that answers from run folders: places, tables in memory, routes, annotations, slow work in
processes of its own. May import all that opens, reads and selects; nothing that runs a federation.
"""
