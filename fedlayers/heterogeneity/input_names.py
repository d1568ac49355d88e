"""What sets of a client's inputs are called."""

SCOPES = ("client_train", "client_val", "client_test")
# ``local``: all of a client's examples.
INPUTS = ("local", *SCOPES)
# Of the space that a client's records span.
SAMPLES = ("stratified", "systematic")
# As many as the client has records, so many at most.
MOST = 1000
