"""The DICOM client: calls another application entity and hands it instances (SCU, PS3.4 Annex B).

`association` negotiates and carries messages, `storage` sends instances and tells of each what became of it.
"""
