"""How near is a stage's representation to the anchors of the classes?"""
