"""Networks: plain torch modules that take the input shape and the number of classes."""
