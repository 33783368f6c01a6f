"""What MkDocs calls while it makes the site: pages from outside of docs/, and links that hold here and in a clone.

The texts are written for a reader of the repository, so a page links to ``../CHANGELOG.md``. In the site that file is a
page of its own, and a file that the site does not have, such as a source, is named without a link.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
PAGES = {
    "CHANGELOG.md": "project/changelog.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "RELEASE.md": "project/release.md",
    "SECURITY.md": "project/security.md",
    "examples/commons/README.md": "examples/commons.md",
    "examples/gpt2/README.md": "examples/gpt2.md",
    "examples/tiny/README.md": "examples/tiny.md",
}
_LINK = re.compile(r"(?<!!)\[(?P<text>[^\]]*)\]\((?P<target>[^)#\s]+)(?P<anchor>#[^)\s]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages from outside of docs/."""
    for path, page in PAGES.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Page, files: Files, **_: object) -> str:
    """Point the links of a page at the files of the site."""
    here = page.file.src_uri
    origin = posixpath.dirname({made: path for path, made in PAGES.items()}.get(here, f"docs/{here}"))

    def pointed(link: re.Match[str]) -> str:
        if "://" in link["target"]:
            return link[0]
        path = posixpath.normpath(posixpath.join(origin, link["target"]))
        place = _place(path)
        if files.get_file_from_path(place) is None:
            return link["text"] if (ROOT / path).exists() else link[0]
        return f"[{link['text']}]({posixpath.relpath(place, posixpath.dirname(here) or '.')}{link['anchor'] or ''})"

    return _LINK.sub(pointed, markdown)


def _place(path: str) -> str:
    """Where the site has a file of the repository, if it has it."""
    return "index.md" if path == "README.md" else PAGES.get(path, path.removeprefix("docs/"))
