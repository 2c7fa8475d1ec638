"""Bildbrief: hands DICOM images and PDF reports to patients and referring physicians by letter.

A study comes in from the scanner, is sealed, kept and mirrored; the practice shares it by a letter; the patient opens it;
when the last share closes it is gone. The tree repeats that sentence: see docs/design.md.
"""

__version__ = "0.1.0"
