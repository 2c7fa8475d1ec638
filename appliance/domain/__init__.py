"""The ground floor: what the practice's words mean. Pure: no I/O, no clock, no libraries.

Times are integers: UTC seconds since 1970. Ids are 32 lower-case hexadecimal digits (16 random bytes).
"""
