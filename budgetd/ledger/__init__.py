"""What is remembered: the one writer, the operations that move money, and the questions views may
ask.
"""
