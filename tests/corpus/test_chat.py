"""Chat templates: the text that transformers makes of them, and what they may not do."""

import json
import time

import pytest
from tokenizers.pre_tokenizers import ByteLevel

from regrow.corpus.chat import ChatTemplate, Message
from regrow.errors import InputError

SAID = [
    Message("system", " Be brief. "),
    Message("user", 'Wo liegt Ulm? <b>é & "x"</b>\n'),
    Message("assistant", "An der Donau."),
]

CHATML = """{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system
You help.<|im_end|>
' }}{% endif %}{{'<|im_start|>' + message['role'] + '
' + message['content'] + '<|im_end|>' + '
'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant
' }}{% endif %}"""
BRACKETS = """{{ bos_token }}
{%- if messages[0].role == 'system' %}
    {%- set system = messages[0]['content'] | trim + '\\n\\n' %}
    {%- set rest = messages[1:] %}
{%- else %}
    {%- set system, rest = '', messages %}
{%- endif %}
{%- for m in rest if m.role in ['user', 'assistant'] %}
    {%- if (m.role == 'user') != (loop.index0 % 2 == 0) %}
        {{- raise_exception('Roles must alternate.') }}
    {%- endif %}
    {%- if m.role == 'user' %}
        {{- '[INST] ' ~ (system if loop.first else '') ~ m.content.strip() ~ ' [/INST]' }}
    {%- else %}
        {% generation %}{{- ' ' + m.content + eos_token }}{% endgeneration %}
    {%- endif %}
{%- endfor %}
"""
BUSY = """{%- macro named(role, text='') -%}
  <{{ role | upper }}>{{ text | replace('Ulm', 'Bonn') }}
{%- endmacro %}
    {# a remark #}
{% set ns = namespace(seen=[], last=-1) %}
{% for m in messages[::-1] %}
    {% if not m.content %}{% continue %}{% endif %}
    {% set ns.seen = ns.seen + [m.role] %}
    {% set ns.last = loop.index0 if m.role == 'user' and ns.last < 0 else ns.last %}
{% endfor %}
{{ ns.seen | join(', ') }} {{ ns.last }} {{ '%s of %d' % ('one', messages | length) }} {{ 2 ** 10 // 3 }} {{ 'ab' * 3 }}
{% for m in messages %}
{{ named(m.role, m.content) | indent(2) }}
{{ m | tojson }} {{ m | tojson(indent=2) }} {{ m.items() | list }} {{ m.content.split('\\n')[-1].lstrip() }}
{% if m.content is string and 'Ulm' in m.content %}{{ loop.nextitem.role if not loop.last }}{% endif %}
{% endfor %}
{% set block %}{{ messages | map(attribute='role') | join('|') }}{% endset %}{{ block | length }}
{{ messages | selectattr('role', 'equalto', 'user') | list | length }} {{ range(3) | list }}
{%- if tools is none and documents is none and strftime_now is not defined or true %} none{% endif %}
{{- 'unk' if unk_token is defined else 'no' }}{{ pad_token }}
{% for i in range(9) %}{% if i == 2 %}{% break %}{% endif %}{{ i }}{% endfor %}

"""


def tokenizer_in(folder, template=None, **said):
    vocabulary = {token: i for i, token in enumerate(["<s>", "</s>", *sorted(ByteLevel.alphabet())])}
    special = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    whole = {
        "version": "1.0", "truncation": None, "padding": None, "normalizer": None, "post_processor": None,
        "added_tokens": [{"id": 0, "content": "<s>", **special}, {"id": 1, "content": "</s>", **special}],
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {"type": "BPE", "vocab": vocabulary, "merges": []},
    }  # fmt: skip
    (folder / "tokenizer.json").write_text(json.dumps(whole))
    config = {
        "bos_token": "<s>", "eos_token": {"content": "</s>", "__type": "AddedToken", "lstrip": False},
        "tokenizer_class": "PreTrainedTokenizerFast", "pad_token": None,
    }  # fmt: skip
    (folder / "tokenizer_config.json").write_text(json.dumps({**config, **said}))
    if template is not None:
        (folder / "chat_template.jinja").write_text(template, newline="")
    return folder


def rendered(template, messages=SAID, prompt=False):
    return ChatTemplate(template, {}, "model").render(messages, prompt)


@pytest.mark.parametrize("prompt", [True, False])
@pytest.mark.parametrize("template", [CHATML, BRACKETS, BUSY, CHATML.replace("\n", "\r\n")])
def test_the_text_is_the_one_that_transformers_makes(tmp_path, template, prompt):
    from transformers import AutoTokenizer

    tokenizer_in(tmp_path, template)
    theirs = AutoTokenizer.from_pretrained(tmp_path).apply_chat_template(
        [{"role": one.role, "content": one.content} for one in SAID], tokenize=False, add_generation_prompt=prompt
    )
    assert ChatTemplate.open(tmp_path).render(SAID, prompt) == theirs


@pytest.mark.parametrize("said", [CHATML, [{"name": "rag", "template": "no"}, {"name": "default", "template": CHATML}]])
def test_a_template_may_be_a_setting(tmp_path, said):
    from transformers import AutoTokenizer

    opened = ChatTemplate.open(tokenizer_in(tmp_path, chat_template=said))
    theirs = AutoTokenizer.from_pretrained(tmp_path).apply_chat_template(
        [{"role": "user", "content": "a"}], tokenize=False, add_generation_prompt=True
    )
    assert opened.render([Message("user", "a")], prompt=True) == theirs


def test_most_tokenizers_have_none(tmp_path):
    assert ChatTemplate.open(tokenizer_in(tmp_path)) is None


@pytest.mark.parametrize(
    "said", [3, {}, [], [{"name": "rag", "template": "x"}], ["x"], [{"name": "default", "template": 3}]]
)
def test_a_setting_that_is_no_template_is_refused(tmp_path, said):
    with pytest.raises(InputError, match="cannot be read") as error:
        ChatTemplate.open(tokenizer_in(tmp_path, chat_template=said))
    assert error.value.where.endswith("tokenizer_config.json: chat_template")


def test_a_template_that_is_no_text_is_refused(tmp_path):
    (tokenizer_in(tmp_path) / "chat_template.jinja").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="not UTF-8"):
        ChatTemplate.open(tmp_path)


@pytest.mark.parametrize(
    ("template", "what"),
    [
        ("{{ ''.__class__.__mro__ }}", "`__mro__`, which leads into Python"),
        ("{{ ''['__class__'] }}", "`__class__`, which leads into Python"),
        ("{{ messages | attr('copy') }}", "the filter `attr`"),
        ("{{ messages | map('attr', 'x') | list }}", "`map` with a filter"),
        ("{{ '{0.x}'.format(messages) }}", "`format`, which can reach"),
        ("{{ '{x}'['format_map'](messages) }}", "`format_map`, which can reach"),
        ("{{ '%s' | format(1) }}", "the filter `format`"),
        ("{{ [1, 2] | random }}", "the filter `random`"),
        ("{% include 'other' %}", "`include`"),
        ("{% import 'other' as o %}", "`import`"),
        ("{% extends 'other' %}", "`extends`"),
        ("{% for m in messages recursive %}{{ loop([]) }}{% endfor %}", "a recursive loop"),
        ("{{ namespace(__init__=1) }}", "`__init__`"),
        ("{{ __spend }}", "`__spend`"),
        ("{{ messages is nosuch }}", "cannot be read|the test"),
    ],
)  # fmt: skip
def test_what_a_template_may_not_use_is_named_before_it_runs(template, what):
    with pytest.raises(InputError, match=what) as error:
        rendered("\n\n" + template)
    assert error.value.where == "model:3" and error.value.hint


@pytest.mark.parametrize(
    "template",
    [
        "{% set a = '__cla' ~ 'ss__' %}{{ ''[a].x }}",
        "{% set a = 'for' ~ 'mat' %}{{ ''[a](1) }}",
        "{{ [''] | map(attribute='__class__.x') | list }}",
        "{{ messages.append(1) }}",
        "{{ messages[0].update(a=1) }}",
        "{{ ''.ljust(1000000000) }}",
        "{{ ''.encode() }}",
        "{{ lipsum() }}",
        "{{ strftime_now('%Y') }}",
        "{{ cycler }}{{ cycler.x.y }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ 9 ** 99999999 }}",
        "{{ range(10000000) | list }}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{% set ns = namespace(n=3) %}{% for i in range(99) %}{% set ns.n = ns.n * ns.n %}{% endfor %}",
        "{{ 1 / 0 }}",
        "{{ 1 + 'a' }}",
        "{{ messages[0].tool_calls[0].x }}",
    ],
)
def test_what_it_does_wrong_ends_it(template):
    with pytest.raises(InputError, match="the chat template fails") as error:
        rendered(template)
    assert error.value.where == "model" and error.value.why


@pytest.mark.parametrize(
    "template",
    ["{% for %}", "{{ a", "{{" + "(" * 50_000, "{% for a in b %}" * 50 + "{% endfor %}" * 50, "x" * 2_000_000],
)
def test_what_is_no_template_is_refused(template):
    with pytest.raises(InputError, match=r"cannot be read|too long"):
        rendered(template)


ENDLESS = [
    "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}",
    "{% for i in range(100000) if range(100000) | list | length < 0 %}{% endfor %}",
    "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(60) }}",
    "{{ 'a' * 10 ** 10 }}",
    "{{ 10 ** 10 * [1] }}",
    "{{ ('a' * 1000000).replace('a', 'b' * 1000000) }}",
    "{{ ('a' * 1000000) | replace('a', 'b' * 1000000) }}",
    "{{ ('b' * 1000000).join(range(100000)) }}",
    "{{ range(100000) | join('b' * 1000000) }}",
    "{{ 'a\nb' | indent(1000000000) }}",
    "{{ messages | tojson(indent=1000000000) }}",
    "{% set ns = namespace(x='aa') %}{% for i in range(99) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
    "{% set ns = namespace(x='aa') %}{% for i in range(99) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
    "{% set ns = namespace(x='aa') %}{% for i in range(99) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}",
    "{% set ns = namespace(x='aa') %}{% for i in range(99) %}{% set ns.x = {1: ns.x, 2: ns.x} %}{% endfor %}",
    "{% set ns = namespace(x='aa') %}{% for i in range(99) %}{% set ns.x = dict(a=ns.x, b=ns.x) %}{% endfor %}",
    "{% set ns = namespace(x='aa') %}{% for i in range(99) %}{% set x %}{{ ns.x }}{{ ns.x }}{% endset %}"
    "{% set ns.x = x %}{% endfor %}",
    "{% set a = 'a' * 1000000 %}{% set b = 'a' * 1000000 %}{% for i in range(100000) %}{{ a == b }}{% endfor %}",
    "{% set a = 'a' * 1000000 %}{% for i in range(100000) %}{{ a[::-1] | length }}{% endfor %}",
    "{% for i in range(100000) %}" + "text" * 10_000 + "{% endfor %}",
]  # fmt: skip


@pytest.mark.parametrize("template", ENDLESS, ids=range(len(ENDLESS)))
def test_a_template_that_does_not_end_is_refused(template):
    began = time.process_time()
    with pytest.raises(InputError, match="does not come to an end"):
        rendered(template)
    assert time.process_time() - began < 5


def test_a_long_conversation_is_no_endless_one():
    long = [Message(("user", "assistant")[i % 2], "word " * 200) for i in range(1000)]
    assert rendered(BRACKETS.replace("eos_token", "'.'"), long).count("[INST]") == 500
    assert rendered("{% for m in messages %}{{ m == messages[-1] }}{{ messages | length }}{% endfor %}", long)


def test_what_a_template_says_of_the_messages_is_told():
    with pytest.raises(InputError, match="refuses the messages") as error:
        rendered(BRACKETS, [Message("user", "a"), Message("user", "b")])
    assert error.value.why == "Roles must alternate."


def test_there_is_no_clock_in_it():
    assert rendered("{{ strftime_now('%Y') if strftime_now is defined else '26 Jul 2024' }}") == "26 Jul 2024"


def test_one_rendering_leaves_nothing_for_the_next():
    template = ChatTemplate("{% for i in range(100000) %}1234{% endfor %}{{ messages | length }}", {}, "model")
    assert {template.render(SAID, prompt=False) for _ in range(4)} == {"1234" * 100_000 + "3"}
