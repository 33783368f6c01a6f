"""The catalogue of licences. python -m pytest tests/audit/licences/test_catalogue.py"""

from pathlib import Path

import pytest

from regrow.auditing.facts import Relation
from regrow.auditing.outputs.view import spdx_expression
from regrow.errors import RegrowError
from regrow.licences import Kind, Right, every, find, get
from regrow.licences.catalogue import linked, load

HUB = """
apache-2.0 mit openrail bigscience-openrail-m creativeml-openrail-m bigscience-bloom-rail-1.0 bigcode-openrail-m
afl-3.0 artistic-2.0 bsl-1.0 bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear c-uda cc0-1.0 cc-by-2.0 cc-by-2.5
cc-by-3.0 cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nd-4.0 cc-by-nc-nd-3.0
cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cdla-sharing-1.0 cdla-permissive-1.0
cdla-permissive-2.0 wtfpl ecl-2.0 epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 eupl-1.2 agpl-3.0 gfdl gpl gpl-2.0 gpl-3.0
lgpl lgpl-2.1 lgpl-3.0 isc h-research intel-research lppl-1.3c ms-pl apple-ascl apple-amlr mpl-2.0 odc-by odbl
openmdw-1.0 openmdw-1.1 openrail++ osl-3.0 postgresql ofl-1.1 ncsa unlicense zlib pddl lgpl-lr
deepfloyd-if-license fair-noncommercial-research-license llama2 llama3 llama3.1 llama3.2 llama3.3 llama4
grok2-community gemma
"""


@pytest.mark.parametrize("tag", HUB.split())
def test_every_tag_of_the_hub_that_names_a_licence_is_known(tag: str) -> None:
    licence = find(tag)
    assert licence is not None
    assert tag in licence.hf


@pytest.mark.parametrize("tag", ["other", "unknown", "cc", "", "none", "llama", "mistral", "MIT OR Apache-2.0", "a\0b"])
def test_what_names_no_licence_is_not_guessed(tag: str) -> None:
    assert find(tag) is None


@pytest.mark.parametrize(
    ("tag", "id"),
    [
        ("MIT", "mit"),
        ("Apache 2.0", "apache-2.0"),
        ("GPL-3.0-or-later", "gpl-3.0"),
        ("LicenseRef-PublicDomain", "public-domain"),
        (" CC BY-SA 4.0 ", "cc-by-sa-4.0"),
        ("llama-3.1-community-license", "llama3.1"),
        ("nvidia_open_model_license", "nvidia-open-model"),
        ("CC Attribution NonCommercial 4.0", "cc-by-nc-4.0"),
        ("GPLv3", "gpl-3.0"),
        ("Eclipse Public License, Version 2.0", "epl-2.0"),
        ("Eclipse Public License - v 2.0", "epl-2.0"),
        ("Universal Permissive License v1.0", "upl-1.0"),
        ("The Apache License v2", "apache-2.0"),
        ("Apache-2.0 License", "apache-2.0"),
        ("MIT Licence", "mit"),
        ("GNU General Public License v3.0 only", "gpl-3.0"),
        ("GNU Lesser General Public License v2.1 or later", "lgpl-2.1-or-later"),
        ("GNU GPL v3", "gpl-3.0"),
        ('BSD 3-Clause "New" or "Revised" License', "bsd-3-clause"),
        ("Creative Commons Attribution Share Alike 4.0 International", "cc-by-sa-4.0"),
        ("Creative Commons Attribution Non Commercial No Derivatives 3.0 Unported", "cc-by-nc-nd-3.0"),
        ("Creative Commons Zero v1.0 Universal", "cc0-1.0"),
        ("Open Data Commons Public Domain Dedication & License 1.0", "pddl"),
        ("ODC-PDDL-1.0", "pddl"),
        ("CC-BY-3.0-IGO", "cc-by-3.0-igo"),
        ("OGL-Canada-2.0", "ogl-canada-2.0"),
        ("OpenMDW License Agreement, version 1.1", "openmdw-1.1"),
        ("OpenMDW", "openmdw"),
    ],
)
def test_names_are_found_in_any_case_and_spelling(tag: str, id: str) -> None:
    found = find(tag)
    assert found is not None
    assert found.id == id


def test_entries_do_not_contradict_themselves() -> None:
    for licence in every():
        assert find(licence.id) is licence
        if licence.osi or licence.open_definition:
            assert licence.permits == frozenset(Right), licence.id
            assert not [clause for clause in licence.clauses if clause.reach and not clause.open], licence.id
        if licence.kind in (Kind.NON_COMMERCIAL, Kind.RESEARCH):
            limited = {right for clause in licence.forbids for right in clause.limits}
            assert Right.COMMERCIAL in limited, licence.id
        if licence.kind in (Kind.COPYLEFT, Kind.DATA_COPYLEFT):
            assert any(clause.name == "same-licence" for clause in licence.requires), licence.id
        for clause in licence.clauses:
            assert clause.text == clause.text.strip().rstrip("."), licence.id
            assert clause.when in ("use", "share", "modify", "output", "scale"), licence.id


def test_clauses_reach_what_the_licences_say_they_reach() -> None:
    def reach(id: str, name: str) -> frozenset[str]:
        return next(clause.reach for clause in get(id).clauses if clause.name == name)

    assert Relation.DISTILLED in reach("gemma", "pass-use-limits")
    assert Relation.DISTILLED in reach("deepseek", "field-list")
    assert Relation.DISTILLED in reach("bigcode-openrail-m", "field-list")
    assert Relation.SYNTHETIC_DATA in reach("bigcode-openrail-m", "pass-use-limits")
    assert Relation.DISTILLED in reach("stability-ai-nc", "same-licence")
    assert "outputs" in reach("chameleon-research", "research-only")
    assert Relation.SYNTHETIC_DATA in reach("llama3.1", "name-prefix")
    assert Relation.DISTILLED not in reach("apache-2.0", "notice")
    assert not reach("cdla-sharing-1.0", "same-licence")


def test_licences_of_which_the_text_was_read_have_its_clauses() -> None:
    def names(id: str) -> set[str]:
        return {clause.name for clause in get(id).clauses}

    (changes,) = [clause for clause in get("bigcode-openrail-m").clauses if clause.name == "state-changes"]
    assert "documentation" in changes.text
    assert {"hosting", "same-licence", "state-changes", "non-commercial"} <= names("stability-ai-nc")
    assert {"same-licence", "field-list", "research-only"} <= names("chameleon-research")
    assert get("chameleon-research").mutable_terms


def test_a_name_that_must_be_shown_at_scale_limits_no_use() -> None:
    licence = get("modified-mit")
    assert not licence.thresholds
    assert not [clause for clause in licence.clauses if clause.limits]
    assert [(clause.name, clause.value) for clause in licence.clauses if clause.when == "scale"] == [
        ("badge-text", "Kimi K2")
    ]


def test_an_address_names_the_licence_that_is_there() -> None:
    assert linked("https://ai.google.dev/gemma/terms").id == "gemma"  # type: ignore[union-attr]
    assert linked("https://example.org/LICENSE") is None


ENTRY = """
[[licence]]
id = "a"
title = "A"
kind = "permissive"
osi = true
open_definition = true
permits = ["use"]
requires = ["notice"]
source = "s"
checked = true
"""
CLAUSES = '[notice]\ndoes = "requires"\ntext = "t"\nwhen = "share"\nreach = ["derivatives"]\nopen = true\n'


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ('kind = "permissive"', 'kind = "free"', "kind"),
        ('permits = ["use"]', 'permits = ["eat"]', "permits"),
        ("osi = true", 'osi = "yes"', "osi"),
        ("checked = true", "", "checked"),
        ("checked = true", "checked = true\nchekced = true", "chekced"),
        ('requires = ["notice"]', 'requires = ["nothing"]', "nothing"),
        ('requires = ["notice"]', 'forbids = ["notice"]', "notice"),
        ('requires = ["notice"]', 'requires = [{ clause = "notice", reach = ["moon"] }]', "reach"),
        ('requires = ["notice"]', 'requires = [{ clause = "notice", limit = "ten" }]', "limit"),
        ("checked = true", 'checked = true\nmembers = ["b"]', "b"),
        ("[[licence]]", "[[licence]", "cannot be read"),
    ],
)
def test_a_fault_in_the_table_is_named_with_its_file(tmp_path: Path, old: str, new: str, named: str) -> None:
    (tmp_path / "clauses.toml").write_text(CLAUSES)
    (tmp_path / "mine.toml").write_text(ENTRY)
    assert load(tmp_path)["a"].requires[0].text == "t"
    (tmp_path / "mine.toml").write_text(ENTRY.replace(old, new))
    with pytest.raises(RegrowError) as caught:
        load(tmp_path)
    assert named in str(caught.value)
    assert "mine.toml" in str(caught.value) or str(tmp_path) in str(caught.value)


@pytest.mark.parametrize(
    "tag", ["the license", "license", "research", "((MIT", "MIT?", "license: MIT", "v", "-", "2.0", "Intel only"]
)
def test_what_is_left_of_a_name_is_not_taken_for_one(tag: str) -> None:
    assert find(tag) is None


OSI = """
AAL AFL-1.1 APL-1.0 APSL-2.0 Artistic-1.0-Perl BlueOak-1.0.0 BSD-1-Clause BSD-2-Clause-Patent CAL-1.0 CATOSL-1.1
CDDL-1.0 CDDL-1.1 CECILL-2.1 CERN-OHL-S-2.0 CPAL-1.0 CPL-1.0 ECL-1.0 EFL-2.0 EUDatagrid Fair Frameworx-1.0 HPND ICU
Intel IPA IPL-1.0 Jam LGPL-2.0 LGPL-2.0+ LiLiQ-P-1.1 LPL-1.02 MirOS Motosoto MPL-1.1 MPL-2.0-no-copyleft-exception
MS-RL MulanPSL-2.0 NASA-1.3 Nokia NPOSL-3.0 NTP OCLC-2.0 OFL-1.1-RFN OLDAP-2.8 OLFL-1.3 OSC-1.0 OSET-PL-2.1 OSL-2.1
PHP-3.01 Python-2.0 QPL-1.0 RPL-1.5 RPSL-1.0 SimPL-2.0 SISSL Sleepycat Unicode-3.0 UPL-1.0 VSL-1.0 W3C Watcom-1.0
wxWindows Xnet ZPL-2.1 0BSD MIT-0 OSL-3.0 EUPL-1.2 GPL-2.0+ LPPL-1.3c
"""


@pytest.mark.parametrize("tag", OSI.split())
def test_what_osi_approves_is_open_and_says_what_is_not_known_of_it(tag: str) -> None:
    licence = find(tag)
    assert licence is not None
    assert licence.osi
    assert licence.permits == frozenset(Right)
    unread = "unread" in {clause.name for clause in licence.clauses}
    assert unread != licence.checked


def test_identifiers_are_those_of_spdx() -> None:
    named = [licence.spdx for licence in every() if licence.spdx]
    assert len(named) == len(set(named)) > 230
    assert [name for name in named if spdx_expression(name) != name] == []
    assert sum(licence.osi for licence in every() if licence.spdx) > 130


@pytest.mark.parametrize(
    ("tag", "known"), [("Intel", True), ("intel", False), ("Intel License", False), ("fair", False)]
)
def test_an_identifier_that_is_also_a_name_counts_only_as_spdx_writes_it(tag: str, known: bool) -> None:
    assert (find(tag) is not None) == known


@pytest.mark.parametrize("tag", ["Fair License", "Intel Open Source License"])
def test_its_title_counts_however_it_is_written(tag: str) -> None:
    assert find(tag.lower()) is find(tag) is not None


GROUP = """
[[group]]
kind = "permissive"
osi = true
open_definition = true
permits = ["use"]
requires = ["notice"]
source = "s"
checked = false
licences = [{ spdx = "A-1.0", title = "A" }, { id = "b", title = "B", osi = false }]
"""


def test_a_group_says_what_its_licences_share(tmp_path: Path) -> None:
    (tmp_path / "clauses.toml").write_text(CLAUSES)
    (tmp_path / "mine.toml").write_text(GROUP)
    loaded = load(tmp_path)
    assert {id: (one.title, one.osi, one.source) for id, one in loaded.items()} == {
        "a-1.0": ("A", True, "s"),
        "b": ("B", False, "s"),
    }
    (tmp_path / "mine.toml").write_text(GROUP.replace('title = "B"', 'titel = "B"'))
    with pytest.raises(RegrowError, match=r"titel|title") as caught:
        load(tmp_path)
    assert "licence b" in str(caught.value)
