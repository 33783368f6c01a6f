import pytest

from regrow.recipe.licences import fault


@pytest.mark.parametrize(
    "expression",
    [
        "MIT",
        "apache-2.0",
        "MIT OR Apache-2.0",
        "GPL-2.0-or-later WITH Classpath-exception-2.0",
        "(MIT AND CC-BY-4.0) OR LicenseRef-PublicDomain",
        "LicenseRef-my-own.terms",
        "GPL-3.0",
    ],
)
def test_is_a_licence(expression: str) -> None:
    assert fault(expression) is None


@pytest.mark.parametrize(
    ("expression", "hint"),
    [
        ("apache2", "did you mean `Apache-2.0`?"),
        ("Apache License 2.0", "did you mean `Apache-2.0`?"),
        ("MIT OR GPL3", "did you mean `GPL-3.0-only`?"),
        ("cc by 4.0", "did you mean `CC-BY-4.0`?"),
        ("CC0", "did you mean `CC0-1.0`?"),
        ("public-domain", "write `LicenseRef-PublicDomain`"),
        ("LicenseRef-", "write `LicenseRef-` and"),
        ("licenseref-a_b", "write `LicenseRef-` and"),
        ("NOASSERTION", "for terms of somebody's own write `LicenseRef-`"),
        ("NONE", "for terms of somebody's own write `LicenseRef-`"),
        ("all rights reserved", "for terms of somebody's own write `LicenseRef-`"),
        ("openrail", "if the SPDX list does not have it, write `LicenseRef-openrail`"),
        (
            "creativeml-openrail-m",
            "if the SPDX list does not have it, write `LicenseRef-creativeml-openrail-m`",
        ),
        ("llama3.1", "if the SPDX list does not have it, write `LicenseRef-llama3.1`"),
        ("mit-license", "did you mean `MIT`?"),
        ("\u8bb8\u53ef", "use an SPDX"),
        ("", "use an SPDX"),
        ("   ", "use an SPDX"),
        ("MIT AND", "write one SPDX identifier"),
        ("(MIT", "write one SPDX identifier"),
        ("MIT Apache-2.0", "write one SPDX identifier"),
        ("Classpath-exception-2.0", "write one SPDX identifier"),
        ("MIT WITH Apache-2.0", "write one SPDX identifier"),
    ],
)
def test_is_no_licence(expression: str, hint: str) -> None:
    found = fault(expression)
    assert found is not None
    assert found[1].startswith(hint)
