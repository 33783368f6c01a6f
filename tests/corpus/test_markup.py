import time

import pytest

from regrow.corpus.markup import TooDeepError, html_page


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("<p>one</p><p>two\n  three</p>", "one\n\ntwo three"),
        ("<h1>Title</h1>text<br>more<br><br>end", "Title\n\ntext\nmore\n\nend"),
        ("a <b>bold</b>, <i>it</i>alic", "a bold, italic"),
        ("a<b> b</b>c", "a bc"),
        ("<ul><li>one</li><li>two</li></ul>", "one\ntwo"),
        ("<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>", "a b\nc"),
        ("x<pre>  a\n    b</pre>y", "x\n\n  a\n    b\n\ny"),
        ("<head><title>no</title><style>no</style></head><body>yes<script>no</script><nav>no</nav></body>", "yes"),
        ("yes<!-- no --><template>no</template><noscript>no</noscript><svg><text>no</text></svg>", "yes"),
        ("&lt;b&gt; &amp; &eacute;&nbsp;!", "<b> & \u00e9\u00a0!"),
        ("<p>unclosed <p>tags <b>here", "unclosed\n\ntags here"),
        ("<div><div>a</div></div><div>b</div>", "a\nb"),
        ("plain", "plain"),
        ("", ""),
    ],
)
def test_pages(page: str, text: str) -> None:
    assert html_page(page).text == text


def test_deep_pages() -> None:
    assert html_page("<div>" * 5_000 + "bottom").text == "bottom"


@pytest.mark.parametrize(
    "page",
    [
        "<div>" * 100_000 + "bottom",
        "<div></x>" * 20_000,
        "<div><!--</div>-->" * 20_000,
        '<div x="</div>">' * 20_000,
        "<p>" + "".join(f"<font size={n}>" for n in range(10_000)) + "<p>" * 10_000,
        f"<b {' '.join(f'a{n}' for n in range(100_000))}>bottom",
        f"<b {''.join(f'a{n}=1/' for n in range(100_000))}>bottom",
    ],
)
def test_a_page_that_is_made_to_keep_a_parser_busy_is_refused_at_once(page: str) -> None:
    start = time.process_time()
    with pytest.raises(TooDeepError):
        html_page(page)
    assert time.process_time() - start < 5


def test_what_is_long_and_flat_is_read() -> None:
    rows = "".join(f"<p>{n}<li>item<table><tr><td>x<td>y</table>" for n in range(3_000))
    assert html_page(f"<!-- <div> <!-- -->{rows}").text.count("item") == 3_000
    assert not html_page("<!--" * 50_000).text
