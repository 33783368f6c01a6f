import pytest

from regrow.corpus.markup import html_text


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
    assert html_text(page) == text


def test_deep_pages() -> None:
    assert html_text("<div>" * 20_000 + "bottom") == "bottom"
