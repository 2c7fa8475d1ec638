"""Where data may go: addresses of which is known that what is put there stays in the EU."""

import ipaddress
from contextlib import suppress
from typing import Final
from urllib.parse import urlsplit

_AWS: Final = "s3.{}.amazonaws.com"
REGION: Final = "eu-central-1"
"""Where a bucket is unless said otherwise."""

# Hosts of which the provider says that what is put there stays in a member state. Not in the EU, whatever their names begin with:
# AWS's London (eu-west-2) and Zurich (eu-central-2), OVH's uk.
HOSTS: Final = {
    "AWS": tuple(
        _AWS.format(region) for region in ("eu-central-1", "eu-west-1", "eu-west-3", "eu-north-1", "eu-south-1", "eu-south-2")
    ),
    "AWS European Sovereign Cloud": ("s3.eusc-de-east-1.amazonaws.eu",),
    "Hetzner": ("fsn1.your-objectstorage.com", "nbg1.your-objectstorage.com", "hel1.your-objectstorage.com"),
    "IONOS": (
        "s3.eu-central-1.ionoscloud.com", "s3-eu-central-1.ionoscloud.com",
        "s3.eu-central-2.ionoscloud.com", "s3-eu-central-2.ionoscloud.com",
        "s3.eu-central-3.ionoscloud.com", "s3.eu-central-4.ionoscloud.com",
        "s3.eu-south-2.ionoscloud.com", "s3-eu-south-2.ionoscloud.com",
    ),
    "Open Telekom Cloud": ("obs.eu-de.otc.t-systems.com", "obs.eu-nl.otc.t-systems.com"),
    "OVHcloud": tuple(f"s3.{place}.io.cloud.ovh.net" for place in ("gra", "rbx", "sbg", "eu-west-par", "eu-south-mil", "de", "waw")),
    "Scaleway": ("s3.fr-par.scw.cloud", "s3.nl-ams.scw.cloud", "s3.pl-waw.scw.cloud"),
    "STACKIT": ("object.storage.eu01.onstackit.cloud", "object.storage.eu02.onstackit.cloud"),
}  # fmt: skip


def aws(region: str) -> str:
    """The address of AWS's S3 in a region."""
    return f"https://{_AWS.format(region)}"


def is_in_eu(endpoint: str) -> bool:
    """Whether we know that an endpoint keeps data in the EU. The practice's own machine, by a loopback address, counts."""
    host = urlsplit(endpoint).hostname or ""
    if any(host == known or host.endswith(f".{known}") for hosts in HOSTS.values() for known in hosts):
        return True
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return False
