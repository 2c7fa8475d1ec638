"""`python -m appliance` is `bildbrief`."""

from .cli import main

main()
