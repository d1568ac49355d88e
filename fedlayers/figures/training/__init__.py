"""What did training take, round after round?"""
