"""Why a file was refused or has no picture, in sentences for the people at the desk. The English sentence is the translation's key."""

from enum import StrEnum


def N_(text: str) -> str:  # noqa: N802  (gettext's own name for it)
    """Marks a text for the catalogues where it is written; doors translate it where they show it."""
    return text


class Reason(StrEnum):
    """What the pre-scan and the cage can say. None of it is taken from the file, so none of it can carry anything in."""

    NOT_DICOM = N_("This is not a DICOM file.")
    FILE_META = N_("The file's own description at its beginning (file meta information) is damaged.")
    DEFLATED = N_("The file's content is deflated as a whole. Such files are not accepted.")
    BIG_ENDIAN = N_("The file is written in big endian byte order. Such files are not accepted.")
    TRANSFER_SYNTAX = N_("The file is written in a form (transfer syntax) that is not known here.")
    TRUNCATED = N_("The file ends before its content is complete.")
    LENGTHS = N_("Lengths in the file contradict each other.")
    STRUCTURE = N_("The parts of the file do not follow each other as they must.")
    REPRESENTATION = N_("The file holds a value of an unknown or impossible type.")
    ORDER = N_("The file's elements are repeated or not in order.")
    TOO_DEEP = N_("The file is nested deeper than any real one.")
    TOO_MANY = N_("The file has more elements than any real one.")
    NO_IDENTIFIER = N_("The file does not say which study, series and instance it belongs to.")
    TWO_IDENTITIES = N_("The file names itself differently in two places.")
    NO_SIZE = N_("The file holds pixels but does not say how many rows and columns they make.")
    ABSURD_SIZE = N_("The picture claims to be larger than any real one.")
    FEWER_PIXELS = N_("The file holds fewer pixels than it says.")
    MORE_PIXELS = N_("The file holds more pixels than it says.")

    NO_PICTURE = N_("This file holds no picture.")
    TOO_LARGE = N_("This is too large to make a picture of it here.")
    NO_DECODER = N_("The picture is compressed in a way that cannot be shown here. The download holds it unchanged.")
    UNREADABLE = N_("The content could not be read.")
    LOCKED = N_("The document is protected by a password.")
    TOO_LONG = N_("Reading the content took too long and was stopped.")
    DIED = N_("The content made its reader fail. Nothing else was affected.")
