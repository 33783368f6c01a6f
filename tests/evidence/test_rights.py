"""What texts say of their rights: what counts as a statement, and what statements come to beside what is declared."""

from __future__ import annotations

import random
import textwrap

import pyarrow as pa
import pytest

from regrow.evidence.rights.ledger import Group, Ledger, Sample, evidence
from regrow.evidence.rights.places import cues, places
from regrow.evidence.rights.sorts import COPYRIGHT, ELSEWHERE, LICENCE, OPT_OUT, RESERVED, RESTRICTION, TAG, TEXT
from regrow.evidence.rights.statements import Statement, statements
from regrow.evidence.rights.verdict import State, agrees, asks_for_more, declares_none, judge
from tests.audit.licences.test_identify import OPEN

GRANTS = {
    "This work is licensed under the Creative Commons Attribution-NonCommercial 4.0 License.": "cc-by-nc-4.0",
    "Licensed under the Apache License, Version 2.0 (the 'License');": "apache-2.0",
    "License: MIT\n": "mit",
    "* License: GPL-2+\n": "gpl-2.0-or-later",
    '  "license": "ISC",\n': "isc",
    "## License\n\nMIT\n": "mit",
    "License\n=======\n\nheron is released under the BSD 3-Clause license.\n": "bsd-3-clause",
    "This program is free software; you can redistribute it and/or modify it under the terms of the GNU General "
    "Public License as published by somebody; either version 2 of the License, or (at your option) any later "
    "version.": "gpl-2.0-or-later",
    "You can redistribute it under the terms of the GNU Lesser General Public License, version 3.": "lgpl-3.0",
    "This library is free software; you can redistribute it under the same terms as Perl itself.": (
        "artistic-1.0-perl OR gpl"
    ),
    "This table is in the public domain.": "public-domain",
    "# Written by a heron and released into the public\n# domain.": "public-domain",
    "This package is MIT licensed.": "mit",
    "Text is available under CC BY-SA 4.0; other terms may apply.": "cc-by-sa-4.0",
    "All texts are published under the MIT or Apache-2.0 licence.": "mit OR apache-2.0",
    '<a rel="license" href="http://creativecommons.org/licenses/by-nc/4.0/">terms</a>': "cc-by-nc-4.0",
    "The pictures may be shared, see our licence https://creativecommons.org/licenses/by/4.0/ for how.": "cc-by-4.0",
}

MENTIONS = (
    "The GPL was written in 1989, and many programs are licensed under the GPL.",
    "Heron is an editor. Emacs is licensed under the GNU General Public License version 3.",
    "If your work is licensed under the MIT license, nobody has to ask you.",
    "Some of the files are distributed under the Apache License 2.0.",
    "It was formerly released under the GPL.",
    "Write `SPDX-License-Identifier: MIT` into each of your files.",
    "The poem is not in the public domain.",
    "license: str = field(default='MIT')\n",
    "The bug cannot be reproduced.",
    "cp: permission denied. Ask root for permission.",
    "Do not redistribute connected routes into the backbone.",
    "This library is free for commercial and non-commercial use.",
    "The name may not be used to endorse products without specific prior written permission.",
    "He did not use it for commercial flights.",
    "An author may say that copyright lasts too long.",
    "robots: GPTBot is one of many bots.",
)

FORBIDDEN = {
    "Please do not republish these lyrics.": "no-republishing",
    "The songs in this package may not be redistributed.": "no-republishing",
    "No part of this book may be reproduced in any form without written permission of its author.": "no-republishing",
    "These letters may not be copied without the prior permission of the family.": "permission-needed",
    "These texts may not be used for commercial purposes.": "non-commercial",
    "For non-commercial use only.": "non-commercial",
    "All stories are for personal use only.": "personal-use",
    "The poems may not be used to train AI models.": "no-training",
}


def said(text: str) -> list[Statement]:
    """The statements of a text, which stands between others."""
    found = {row: statements(data, cues) for row, data, cues in places(pa.array(["before", text, "behind"]))}
    assert set(found) <= {1}
    return found.get(1, [])


def licences(text: str) -> list[str]:
    return [one.says for one in said(text) if one.is_licence]


@pytest.mark.parametrize("text", GRANTS)
def test_a_text_puts_itself_under_a_licence(text: str) -> None:
    assert set(licences(text)) == {GRANTS[text]}
    assert set(licences(f"A heron stood in the reeds.\n\n{text}")) == {GRANTS[text]}


@pytest.mark.parametrize("text", [one for one in GRANTS if "\n" not in one])
def test_lines_and_comments_do_not_matter(text: str) -> None:
    comment = textwrap.indent(textwrap.fill(text, 40, break_on_hyphens=False, break_long_words=False), "# ")
    assert set(licences(f"import heron\n\n{comment}\n")) == {GRANTS[text]}


@pytest.mark.parametrize("text", MENTIONS)
def test_what_is_only_spoken_of_is_no_statement(text: str) -> None:
    assert [one for one in said(text) if one.sort != COPYRIGHT] == []


@pytest.mark.parametrize("text", FORBIDDEN)
def test_a_sentence_forbids(text: str) -> None:
    [one] = [one for one in said(f"Songs of herons. {text} They are old.") if one.sort == RESTRICTION]
    assert one.says == FORBIDDEN[text]
    assert f"Songs of herons. {text} They are old."[one.start : one.end] == text


def test_statements_are_whole_characters() -> None:
    for n in range(200, 300):
        text = f"{'é' * n} this is licensed under the MIT license.\n\nSPDX-License-Identifier: MITé"
        for one in said(text):
            assert text.encode()[one.start : one.end].decode()


def test_a_tag_says_what_a_file_is_under() -> None:
    assert [(one.sort, one.says) for one in said("// SPDX-License-Identifier: MIT OR Apache-2.0\n")] == [
        (TAG, "apache-2.0 OR mit")
    ]
    assert licences("# SPDX-License-Identifier: LicenseRef-Heron\n") == ["LicenseRef-Heron"]


@pytest.mark.parametrize("id", ["mit", "bsd-3-clause", "mpl-2.0"])
def test_the_text_of_a_licence_is_known_in_a_longer_text(id: str) -> None:
    text = f"NAME\n\nheron - watch birds, permission or not\n\n{OPEN[id]}\n\nSEE ALSO\n\nstork, a commercial bird"
    assert [one.says for one in said(text) if one.sort == TEXT] == [id]
    both = f"{text}\n\n{OPEN['bsd-3-clause' if id == 'mit' else 'mit']}"
    assert len({one.says for one in said(both) if one.sort == TEXT}) == 2


def test_what_an_open_licence_says_itself_forbids_nothing() -> None:
    assert [one for one in said(OPEN["bsd-3-clause"]) if one.sort == RESTRICTION] == []
    changed = f"{OPEN['mit']}\n\nThese songs may not be used for commercial purposes.\n"
    assert {(one.sort, one.says) for one in said(changed)} >= {(TEXT, "mit"), (RESTRICTION, "non-commercial")}


def test_reserved_rights_and_notices() -> None:
    assert [(one.sort, one.says) for one in said("Copyright (c) 2020 Ann. All rights reserved.")] == [
        (COPYRIGHT, ""),
        (RESERVED, ""),
    ]
    settled = "Copyright 2020 Ann. All rights reserved. Use of it is governed by a license, see the file LICENSE."
    assert [one.says for one in said(settled) if one.sort == RESERVED] == [ELSEWHERE]
    assert [one.sort for one in said("© 2019 Ünï")] == [COPYRIGHT]
    assert [one.sort for one in said("# All rights\n# reserved, as always")] == [RESERVED]
    assert [one.sort for one in said("London, 1891\n\n  [_All rights reserved_]\n")] == [RESERVED]
    assert said("In all, small rights reserved for kings are few, and overall rights reserved are fewer.") == []


@pytest.mark.parametrize(
    ("text", "signal"),
    [
        ('<meta name="tdm-reservation" content="1">', "tdm-reservation"),
        ("tdm-reservation: 1", "tdm-reservation"),
        ('<meta name="robots" content="index, noai">', "noai"),
        ("User-agent: GPTBot\nDisallow: /\n", "robots"),
    ],
)
def test_machines_are_told_to_keep_out(text: str, signal: str) -> None:
    assert [(one.sort, one.says) for one in said(text)] == [(OPT_OUT, signal)]
    assert said(text.replace('"1"', '"0"').replace(": 1", ": 0").replace("noai", "all").replace("/\n", "/x\n")) == []


def test_a_cue_does_not_reach_over_the_ends_of_texts() -> None:
    apart = pa.array(["a copy", "right of way", "lic", "ence", "", "LICENSE"])
    assert [row for row, _, _ in places(apart)] == [5]
    sliced = pa.array(["license: mit", "ä license: isc", "x"]).slice(1)
    assert [(row, data.decode(), cues[0].at) for row, data, cues in places(sliced)] == [(0, "ä license: isc", 3)]


@pytest.mark.parametrize(
    ("declared", "text", "state"),
    [
        ("MIT", "A heron.", State.DECLARED),
        ("MIT", "License: MIT\n", State.AGREES),
        ("MIT", "License: ISC\n", State.OTHER),
        ("MIT", "This file is licensed under CC BY-NC 4.0.", State.CONTRADICTS),
        ("MIT", "This file is licensed under the GNU General Public License, version 3.", State.CONTRADICTS),
        ("GPL-3.0-only", "License: MIT\n", State.OTHER),
        ("GPL-3.0-only", "License: GPL-2.0-or-later\n", State.AGREES),
        ("CC-BY-SA-4.0", "License: GPL-3.0\n", State.CONTRADICTS),
        ("GPL-3.0-only", "License: CC-BY-SA-4.0\n", State.OTHER),  # which its licence allows to be passed on so
        ("MIT", "This file is licensed under the MIT or GPL-3.0 licence.", State.AGREES),
        ("CC0-1.0", "License: CC-BY-4.0\n", State.CONTRADICTS),
        ("MIT", "Please do not republish these lyrics.", State.CONTRADICTS),
        ("CC-BY-NC-4.0", "These texts may not be used for commercial purposes.", State.DECLARED),
        ("MIT", "Copyright 2020 Ann. All rights reserved.", State.RESERVES),
        ("MIT", "License: MIT\nCopyright 2020 Ann. All rights reserved.", State.AGREES),
        ("MIT", "License: MIT\n\nLicense: ISC\n\nLicense: Zlib\n\nLicense: GPL-2\n", State.SEVERAL),
        ("LicenseRef-Unknown", "License: MIT\n", State.FOUND),
        ("LicenseRef-Unknown", "A heron.", State.UNKNOWN),
        ("LicenseRef-Heron-Club", "License: MIT\n", State.FOUND),
        ("LicenseRef-Heron-Club", "A heron.", State.DECLARED),
    ],
)
def test_what_a_text_says_beside_what_is_declared(declared: str, text: str, state: State) -> None:
    assert judge(declared, said(text)).state is state


def test_licences_beside_each_other() -> None:
    assert agrees("bsd", "BSD-3-Clause")
    assert not asks_for_more("public-domain", "GPL-2.0-only")
    assert asks_for_more("cc-by-nd-4.0", "CC-BY-NC-4.0")  # neither is the other, and neither is open
    assert not asks_for_more("nobody-knows-this", "MIT")
    assert declares_none("NOASSERTION")
    assert declares_none("LicenseRef-Unknown")
    assert not declares_none("MIT")


def test_parts_add_up_to_what_the_whole_is() -> None:
    groups = [Group("s", "MIT", State.CONTRADICTS, (f"gpl-{i % 7}",)) for i in range(40)]
    whole, parts = Ledger(), [Ledger() for _ in range(4)]
    for i, group in enumerate(groups):
        for ledger in (whole, parts[i // 10]):
            ledger.add(group, 1, i)
            ledger.note([Statement(LICENCE, 0, 1, group.says[0])])
            ledger.show(Sample("s", f"{i:064}", f"{i}.txt:0-1", group.state, group.says))
    joined = Ledger()
    for part in parts:
        joined.join(part)
    assert evidence(joined) == evidence(whole)
    assert len(whole.samples) == 5


def test_a_table_says_how_much_of_it_is_not_shown() -> None:
    ledger = Ledger()
    for i in range(100):
        ledger.add(Group(f"s{i:03}", "MIT", State.DECLARED, ()), 1, 1)
    first = evidence(ledger).tables[0]
    assert len(first.rows) == 60
    assert "40 more rows" in first.note


def test_no_documents() -> None:
    assert evidence(Ledger()).answer == "There are no documents."


def test_whatever_a_text_is_made_of_places_lie_in_it() -> None:
    chance = random.Random(3)
    pieces = [
        *cues(),
        *GRANTS,
        *FORBIDDEN,
        "\n\n",
        " ",
        ". ",
        "\n# ",
        "é",
        "\u2028",
        "<a rel='",
        '"',
        "(",
        "under ",
        "\\n",
    ]
    texts = ["".join(chance.choices(pieces, k=chance.randrange(1, 30))) for _ in range(300)]
    for row, data, cued in places(pa.array(texts)):
        assert data.decode() == texts[row]
        assert all(data[one.at :].lower().startswith(one.cue.encode()) for one in cued)
        for one in statements(data, cued):
            assert 0 <= one.start < one.end <= len(data)
            data[: one.start].decode(), data[: one.end].decode()
