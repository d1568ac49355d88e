"""How do rows reach the disk?"""
