"""A PIN that an HSM refused. It stands apart so that whoever has to know of it need not load the code of HSMs."""

from ...domain.errors import Code, Problem


class WrongPin(Problem):
    """The token was asked once, and is not to be asked again until a person has looked."""

    def __init__(self) -> None:
        super().__init__(
            Code.FORBIDDEN,
            "The HSM refuses the PIN. It is not tried again, so that the token is not locked."
            " Put the right one into BILDBRIEF_PKCS11_PIN_FILE and start again.",
        )
