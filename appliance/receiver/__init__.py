"""The receiver: a DICOM Storage SCP that seals what comes in and acknowledges it once it is durable.

It holds no secret that opens anything at rest and no database, and never looks into a dataset; what one is worth is judged later, by
the ingester. For TLS it has a private key (`tls`), which proves that it is the receiver.
A message travels `layer` (all that touches pynetdicom) → `messages` (C-STORE and C-ECHO, fragment by fragment) → `vault.intake`.
"""
