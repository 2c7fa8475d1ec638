"""What each storage SOP class (PS3.4 B.5) is to a reader, and which DICOMDIR record lists it (PS3.3 F.4, F.5)."""

from typing import Final

from ..domain.study import Kind

_STORAGE: Final = "1.2.840.10008.5.1.4.1.1."

# By the arcs below the storage root; the longest match counts.
_CLASSES: Final[dict[str, tuple[Kind, str]]] = {
    "1": (Kind.IMAGE, "IMAGE"),  # CR, DX, MG, IO
    "2": (Kind.IMAGE, "IMAGE"),  # CT
    "3": (Kind.IMAGE, "IMAGE"),  # US multi-frame
    "4": (Kind.IMAGE, "IMAGE"),  # MR
    "4.2": (Kind.TECHNICAL, "SPECTROSCOPY"),
    "5": (Kind.IMAGE, "IMAGE"),  # NM, retired
    "6": (Kind.IMAGE, "IMAGE"),  # US
    "7": (Kind.IMAGE, "IMAGE"),  # secondary capture
    "9": (Kind.OTHER, "WAVEFORM"),
    "11": (Kind.TECHNICAL, "PRESENTATION"),
    "12": (Kind.IMAGE, "IMAGE"),  # XA, RF
    "13": (Kind.IMAGE, "IMAGE"),  # 3D angiography, tomosynthesis
    "14": (Kind.IMAGE, "IMAGE"),  # intravascular OCT
    "20": (Kind.IMAGE, "IMAGE"),  # NM
    "30": (Kind.TECHNICAL, "IMAGE"),  # parametric map
    "66": (Kind.TECHNICAL, "RAW DATA"),
    "66.1": (Kind.TECHNICAL, "REGISTRATION"),
    "66.2": (Kind.TECHNICAL, "FIDUCIAL"),
    "66.3": (Kind.TECHNICAL, "REGISTRATION"),
    "66.4": (Kind.TECHNICAL, "IMAGE"),  # segmentation
    "66.5": (Kind.TECHNICAL, "SURFACE"),
    "66.6": (Kind.TECHNICAL, "TRACT"),
    "66.7": (Kind.TECHNICAL, "IMAGE"),  # label map segmentation
    "67": (Kind.TECHNICAL, "VALUE MAP"),
    "68": (Kind.TECHNICAL, "SURFACE SCAN"),
    "77": (Kind.IMAGE, "IMAGE"),  # visible light, ophthalmology
    "77.1.5.3": (Kind.TECHNICAL, "STEREOMETRIC"),
    "78": (Kind.OTHER, "MEASUREMENT"),
    "78.6": (Kind.REPORT, "SR DOCUMENT"),  # spectacle prescription
    "79": (Kind.REPORT, "SR DOCUMENT"),
    "80": (Kind.OTHER, "MEASUREMENT"),
    "81": (Kind.IMAGE, "IMAGE"),
    "82": (Kind.IMAGE, "IMAGE"),
    "88": (Kind.REPORT, "SR DOCUMENT"),
    "88.40": (Kind.TECHNICAL, "SR DOCUMENT"),  # procedure log
    "88.50": (Kind.TECHNICAL, "SR DOCUMENT"),  # computer-aided detection: mammography, chest, colon
    "88.59": (Kind.TECHNICAL, "KEY OBJECT DOC"),
    "88.65": (Kind.TECHNICAL, "SR DOCUMENT"),
    "88.67": (Kind.TECHNICAL, "SR DOCUMENT"),  # dose
    "88.68": (Kind.TECHNICAL, "SR DOCUMENT"),
    "88.69": (Kind.TECHNICAL, "SR DOCUMENT"),
    "88.70": (Kind.TECHNICAL, "SR DOCUMENT"),  # implantation plan
    "88.71": (Kind.TECHNICAL, "SR DOCUMENT"),  # acquisition context
    "88.73": (Kind.TECHNICAL, "SR DOCUMENT"),  # dose
    "88.74": (Kind.TECHNICAL, "SR DOCUMENT"),  # imaging agents
    "88.75": (Kind.TECHNICAL, "SR DOCUMENT"),
    "88.76": (Kind.TECHNICAL, "SR DOCUMENT"),  # dose
    "88.77": (Kind.TECHNICAL, "SR DOCUMENT"),  # waveform annotation
    "90": (Kind.TECHNICAL, "ASSESSMENT"),
    "91": (Kind.TECHNICAL, "ANNOTATION"),
    "104.1": (Kind.DOCUMENT, "ENCAP DOC"),  # PDF
    "104.2": (Kind.DOCUMENT, "ENCAP DOC"),  # CDA
    "104": (Kind.OTHER, "ENCAP DOC"),  # models for 3D printers
    "128": (Kind.IMAGE, "IMAGE"),  # PET
    "130": (Kind.IMAGE, "IMAGE"),
    "131": (Kind.TECHNICAL, "PRESENTATION"),  # basic structured display
    "200": (Kind.TECHNICAL, "PLAN"),  # procedure protocols
    "481": (Kind.TECHNICAL, "RADIOTHERAPY"),
    "481.1": (Kind.IMAGE, "IMAGE"),
    "481.2": (Kind.TECHNICAL, "RT DOSE"),
    "481.3": (Kind.TECHNICAL, "RT STRUCTURE SET"),
    "481.4": (Kind.TECHNICAL, "RT TREAT RECORD"),
    "481.5": (Kind.TECHNICAL, "RT PLAN"),
    "481.6": (Kind.TECHNICAL, "RT TREAT RECORD"),
    "481.7": (Kind.TECHNICAL, "RT TREAT RECORD"),
    "481.8": (Kind.TECHNICAL, "RT PLAN"),
    "481.9": (Kind.TECHNICAL, "RT TREAT RECORD"),
    "481.23": (Kind.IMAGE, "IMAGE"),
    "481.24": (Kind.IMAGE, "IMAGE"),
}

_CONTENT: Final = ("ContentDate!", "ContentTime!", "InstanceNumber!")
_IDENTIFIED: Final = (*_CONTENT, "ContentLabel!", "ContentDescription", "ContentCreatorName")

RECORD_KEYS: Final[dict[str, tuple[str, ...]]] = {
    "PATIENT": ("PatientName", "PatientID!", "PatientBirthDate", "PatientSex"),
    "STUDY": ("StudyDate!", "StudyTime!", "AccessionNumber", "StudyDescription", "StudyInstanceUID!", "StudyID!"),
    "SERIES": ("Modality!", "SeriesInstanceUID!", "SeriesNumber!", "SeriesDescription"),
    "IMAGE": ("ImageType!", "InstanceNumber!"),
    "SR DOCUMENT": ("InstanceNumber!", "CompletionFlag!", "VerificationFlag!", "ContentDate!", "ContentTime!"),
    "KEY OBJECT DOC": _CONTENT,
    "ENCAP DOC": ("ContentDate", "ContentTime", "InstanceNumber!", "DocumentTitle", "MIMETypeOfEncapsulatedDocument!"),
    "PRESENTATION": (
        *("PresentationCreationDate!", "PresentationCreationTime!"),
        *("InstanceNumber!", "ContentLabel!", "ContentDescription", "ContentCreatorName"),
    ),
    "WAVEFORM": _CONTENT,
    "RAW DATA": _CONTENT,
    "SPECTROSCOPY": (*_CONTENT, "ImageType!", "NumberOfFrames!", "Rows!", "Columns!", "DataPointRows!", "DataPointColumns!"),
    "REGISTRATION": _IDENTIFIED,
    "FIDUCIAL": _IDENTIFIED,
    "VALUE MAP": _IDENTIFIED,
    "MEASUREMENT": _CONTENT,
    "SURFACE": _IDENTIFIED,
    "SURFACE SCAN": ("ContentDate!", "ContentTime!"),
    "TRACT": _IDENTIFIED,
    "ANNOTATION": _IDENTIFIED,
    "STEREOMETRIC": (),
    "ASSESSMENT": ("InstanceNumber!", "InstanceCreationDate!", "InstanceCreationTime"),
    "PLAN": (),
    "RT DOSE": ("InstanceNumber!", "DoseSummationType!"),
    "RT STRUCTURE SET": ("InstanceNumber!", "StructureSetLabel!", "StructureSetDate", "StructureSetTime"),
    "RT PLAN": ("InstanceNumber!", "RTPlanLabel!", "RTPlanDate", "RTPlanTime"),
    "RT TREAT RECORD": ("InstanceNumber!", "TreatmentDate", "TreatmentTime"),
    "RADIOTHERAPY": ("InstanceNumber!", "ContentDescription", "ContentCreatorName"),
}
"""The keys of each record (PS3.3 F.5), the required ones with an exclamation mark; IMAGE with what IHE PDI asks on top."""


def kind_of(sop_class: str, *, pixels: bool) -> Kind:
    """What an instance is to its reader; a class we do not know is an image if it has `pixels`."""
    entry = _entry(sop_class)
    return entry[0] if entry else Kind.IMAGE if pixels else Kind.OTHER


def record_of(sop_class: str) -> str:
    """Which DICOMDIR record lists an instance; IMAGE for a class we do not know, since IHE PDI allows no PRIVATE ones."""
    entry = _entry(sop_class)
    return entry[1] if entry else "IMAGE"


def _entry(sop_class: str) -> tuple[Kind, str] | None:
    if not sop_class.startswith(_STORAGE):
        return None
    arcs = sop_class.removeprefix(_STORAGE).split(".")
    return next((entry for count in range(len(arcs), 0, -1) if (entry := _CLASSES.get(".".join(arcs[:count])))), None)
