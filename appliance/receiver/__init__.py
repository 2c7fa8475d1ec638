"""The receiver: a DICOM Storage SCP that seals what comes in and acknowledges it once it is durable.

It holds no secret and no database and never looks into a dataset; what one is worth is judged later, by the ingester.
A message travels `layer` (all that touches pynetdicom) → `messages` (C-STORE and C-ECHO, fragment by fragment) → `vault.intake`.
What asks for an association passes `request` first.
"""
