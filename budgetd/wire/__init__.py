"""What bytes mean: sans-I/O parsing and writing of the dialects. What is not understood is passed
on as it came.
"""
