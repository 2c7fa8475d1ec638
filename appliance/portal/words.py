"""Numbers and DICOM's short forms, as readers of a letter say them."""

from collections.abc import Iterable
from typing import Final

from babel.numbers import format_decimal

from ..deeds.delivery import StudyView
from ..language import N_, translations

_MODALITIES: Final = {
    "CT": N_("Computed tomography (CT)"),
    "MR": N_("Magnetic resonance imaging (MRI)"),
    "CR": N_("X-ray"),
    "DX": N_("X-ray"),
    "RF": N_("X-ray fluoroscopy"),
    "RG": N_("X-ray"),
    "US": N_("Ultrasound"),
    "MG": N_("Mammography"),
    "BTO": N_("Breast tomosynthesis"),
    "NM": N_("Nuclear medicine"),
    "PT": N_("Positron emission tomography (PET)"),
    "XA": N_("Angiography"),
    "BMD": N_("Bone density measurement"),
    "IO": N_("Dental X-ray"),
    "PX": N_("Dental X-ray"),
    "ES": N_("Endoscopy"),
    "XC": N_("Photographs"),
    "GM": N_("Microscopy"),
    "SM": N_("Microscopy"),
    "OP": N_("Photographs of the eye"),
    "OPT": N_("Images of the eye"),
    "ECG": N_("Electrocardiogram (ECG)"),
    "DOC": N_("Documents"),
    "SR": N_("Structured report"),
}
"""PS3.3 C.7.3.1.1.1, those that a practice is likely to hand out. The others are shown by their letters."""

_UNITS: Final = ((10**9, "GB"), (10**6, "MB"), (1000, "kB"), (1, "B"))


def modality(language: str, code: str) -> str:
    """A modality in words, or its letters where we have none."""
    text = _MODALITIES.get(code.strip().upper())
    return translations(language).gettext(text) if text else code.strip()


def modalities(language: str, codes: Iterable[str]) -> str:
    """Several, each named once, in the order met."""
    return ", ".join(dict.fromkeys(word for code in codes if (word := modality(language, code))))


def study_kind(language: str, study: StudyView) -> str:
    """What was done, by what its images are; documents count only where there is nothing else."""
    codes = [series.facts.modality for series in study.series]
    return modalities(language, [code for code in codes if code not in ("SR", "DOC", "PR", "KO", "OT")] or codes)


def study_title(language: str, study: StudyView) -> str:
    """The heading of a study: what the practice called it, or else what kind of images it has."""
    return study.facts.description.strip() or study_kind(language, study) or translations(language).gettext(N_("Examination"))


def size(language: str, count: int) -> str:
    """Bytes as browsers show them: decimal units, two or three digits."""
    scale, unit = next((scale, unit) for scale, unit in _UNITS if count >= scale or scale == 1)
    value = count / scale
    pattern = "0.#" if value < 10 and scale > 1 else "0"
    return f"{format_decimal(value, pattern, locale=language)} {unit}"


def duration(language: str, seconds: int) -> str:
    """How long to wait, rounded up to what people count in."""
    words = translations(language)
    if seconds < 90:
        return words.ngettext("%(n)d second", "%(n)d seconds", seconds) % {"n": seconds}
    minutes = -(-seconds // 60)
    return words.ngettext("%(n)d minute", "%(n)d minutes", minutes) % {"n": minutes}
