"""Bodies made of ellipsoids, as pictures that look like a CT, an MR and an X-ray. Nobody's anatomy.

Lengths in mm; x grows to the patient's left, y to the back, z to the head (PS3.3 C.7.6.2.1.1).
"""

from .chest_ct import CT_FIELD, CT_LENGTH, chest_ct
from .chest_xray import XRAY_HEIGHT, XRAY_WIDTH, chest_xray
from .head_mr import HEAD_FIELD, HEAD_LENGTH, head_mr

__all__ = ["CT_FIELD", "CT_LENGTH", "HEAD_FIELD", "HEAD_LENGTH", "XRAY_HEIGHT", "XRAY_WIDTH", "chest_ct", "chest_xray", "head_mr"]
