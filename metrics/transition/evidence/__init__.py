"""What a layer measure says about each layer: how far it has risen from the first layer to a rule's threshold."""
