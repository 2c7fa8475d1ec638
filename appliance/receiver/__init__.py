"""The receiver: a DICOM Storage SCP that seals what comes in and acknowledges it once it is durable.

It holds no secret that opens anything at rest and no database, and never looks into a dataset; what one is worth is judged later, by
the ingester. For TLS it has a private key (`tls`), which proves that it is the receiver.
A connection comes in at `server`, which asks the `guard`, and is handed to one of the `workers`. There `service` says what an
association gets, `layer` (all that touches pynetdicom's works) runs it, `messages` takes C-STORE and C-ECHO fragment by fragment,
and `vault.intake` seals and publishes.
"""
