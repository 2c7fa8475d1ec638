"""Access codes and passwords: how they are made, shown, and read back from whatever a person types."""

from collections.abc import Callable

CODE_DIGITS = 18
PASSWORD_LENGTH = 10
INPUT_LIMIT = 128  # characters looked at, of anything typed

# Crockford's base 32: no I, L, O, U, so that nothing on paper can be misread.
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_MISREAD = str.maketrans({"I": "1", "L": "1", "O": "0"})

# Totally anti-symmetric quasigroup of order 10 (H. Michael Damm, 2004): finds every single wrong digit and every swap of neighbours.
_DAMM = (
    (0, 3, 1, 7, 5, 9, 8, 6, 4, 2),
    (7, 0, 9, 2, 1, 5, 4, 8, 6, 3),
    (4, 2, 0, 6, 8, 7, 1, 3, 5, 9),
    (1, 7, 5, 0, 9, 8, 3, 4, 2, 6),
    (6, 1, 2, 3, 0, 4, 5, 9, 7, 8),
    (3, 6, 7, 4, 2, 0, 9, 5, 8, 1),
    (5, 8, 6, 9, 7, 2, 0, 1, 3, 4),
    (8, 9, 4, 5, 3, 6, 2, 0, 1, 7),
    (9, 4, 3, 8, 6, 1, 7, 2, 0, 5),
    (2, 5, 8, 1, 4, 3, 6, 7, 9, 0),
)

Pick = Callable[[int], int]
"""`pick(n)` draws an integer in 0…n-1; the caller hands in `secrets.randbelow`."""


def check_digit(digits: str) -> str:
    """The Damm check digit of a string of decimal digits."""
    interim = 0
    for digit in digits:
        interim = _DAMM[interim][int(digit)]
    return str(interim)


def new_code(pick: Pick) -> str:
    """A fresh access code: 17 random digits and one check digit (56.5 bits)."""
    body = "".join(str(pick(10)) for _ in range(CODE_DIGITS - 1))
    return body + check_digit(body)


def show_code(code: str) -> str:
    """The code as people read it: six groups of three digits."""
    return " ".join(code[at : at + 3] for at in range(0, len(code), 3))


def read_code(typed: str) -> str | None:
    """The code in what was typed (blanks and hyphens do not matter), or None if it cannot be one: a typo costs no attempt."""
    digits = "".join(sign for sign in typed[:INPUT_LIMIT] if sign not in " -\t\u00a0\u2009\u202f")
    if len(digits) != CODE_DIGITS or not (digits.isascii() and digits.isdigit()):
        return None
    return digits if check_digit(digits[:-1]) == digits[-1] else None


def new_password(pick: Pick) -> str:
    """A fresh password: 10 signs of Crockford's base 32 (50 bits)."""
    return "".join(ALPHABET[pick(32)] for _ in range(PASSWORD_LENGTH))


def show_password(password: str) -> str:
    """The password as people read it: two groups of five."""
    return f"{password[:5]}-{password[5:]}"


def read_password(typed: str) -> str:
    """What was typed, in the one form that is compared: upper case, no blanks or hyphens, misread letters set right."""
    signs = "".join(sign for sign in typed[:INPUT_LIMIT].upper() if sign.isalnum())
    return signs.translate(_MISREAD)
