"""What did training take and do, round after round?"""
