"""The model of a form is found, and another put in its place, without a change of any other byte. Pure."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genset.router.http.multipart import NoFormError, form_of

TYPE = b"multipart/form-data; boundary=xYz"


def part(name: str, value: bytes, more: str = "", end: str = "") -> bytes:
    head = f'content-disposition: form-data; name="{name}"{more}{end}\r\n\r\n'
    return b"--xYz\r\n" + head.encode() + value + b"\r\n"


FILE = part("file", b"RIFF\r\n--xY\x00\xff--\r\n", '; filename="name=model.wav"', "\r\ncontent-type: audio/wav")
MODEL = part("model", b"whisper-1")
END = b"--xYz--\r\n"


@pytest.mark.parametrize(
    "body",
    [MODEL + FILE + END, FILE + MODEL + END, b"\r\n" + FILE + MODEL + END + b"epilogue", FILE + MODEL + b"--xYz--",
     MODEL.replace(b'"model"', b"model") + END, part("model", b"whisper-1", "", "\r\nContent-Transfer-Encoding: 8bit") + END,
     part("file", b"x", "; filename*=utf-8''%e4.wav") + MODEL + END,
     MODEL + part("file", b"", '; filename="C:\\\\a;b=c.wav"') + END,
     MODEL.replace(b"content-d", b"Content-Type: text/plain\r\nContent-D") + END],
)  # fmt: skip
def test_the_model_is_exchanged(body: bytes) -> None:
    form = form_of(TYPE, body)
    assert form.model == "whisper-1"
    assert form.with_model(body, "large") == body.replace(b"whisper-1", b"large")


@pytest.mark.parametrize(
    ("content_type", "body", "why"),
    [
        (b"application/json", b"{}", "no form"),
        (b"multipart/form-data", MODEL + END, "no boundary"),
        (TYPE, b"", "does not begin"),
        (TYPE, b"--xYz--", "no part model"),
        (TYPE, FILE + END, "no part model"),
        (TYPE, MODEL + MODEL + END, "more than one part model"),
        (TYPE, MODEL + part("Model", b"x") + END, "more than one part model"),
        (TYPE, MODEL, "cut"),
        (TYPE, MODEL + FILE[:-5], "cut"),
        (TYPE, part("model", b"") + END, "no name"),
        (TYPE, part("model", b"a\r\nb") + END, "no name"),
        (TYPE, part("model", b"m" * 300) + END, "no name"),
        (TYPE, part("model", b"\xff") + END, "no text"),
        (TYPE, part("mod\\el", b"x") + MODEL + END, "backslash"),
        (TYPE, part("model", b"x", "; name=file") + END, "exactly one name"),
        (TYPE, part("model", b"x").replace(b"name=", b"name*=") + END, "exactly one name"),
        (TYPE, b"--xYzzz\r\n" + MODEL + END, "only begins like"),
        (TYPE, b"--xYz\r\n" + b"a: b\r\n" * 3000 + b"\r\n" + END, "end of its head"),
        (TYPE, part("a", b"b") * 300 + MODEL + END, "256 parts"),
        # Readers take the first or the last of two boundaries, and know RFC 2231 or not.
        (TYPE + b"; boundary=aBc", MODEL + END, "exactly one boundary"),
        (TYPE + b"; Boundary=xYz", MODEL + END, "exactly one boundary"),
        (TYPE + b"; boundary*=utf-8''aBc", MODEL + END, "exactly one boundary"),
        (b"multipart/form-data; boundary*0=xY; boundary*1=z", MODEL + END, "exactly one boundary"),
        (
            b'multipart/form-data; x="; boundary=aBc"; boundary=xYz',
            MODEL.replace(b"xYz", b"aBc") + END,
            "does not begin",
        ),
        (b'multipart/form-data; x="\\"; boundary=xYz; y="', MODEL + END, "quotes inside"),
        (b"multipart/form-data; boundary=xYz, multipart/form-data; boundary=aBc", MODEL + END, "not NAME=VALUE"),
        (b"multipart/form-data; boundary=xYz charset=utf-8", MODEL + END, "not NAME=VALUE"),
        (b"multipart/form-datax; boundary=xYz", MODEL + END, "no form"),
        (b"multipart/form-data; boundary=" + b"x" * 80, MODEL + END, "no boundary"),
        # A preamble, and what stands behind the end, is skipped by some and read by others.
        (TYPE, b"preamble\r\n" + MODEL + END, "does not begin"),
        (TYPE, b"--xYz\ncontent-disposition: form-data; name=model\n\nx\r\n" + MODEL + END, "only begins like"),
        (TYPE, MODEL + END + part("model", b"x") + END, "behind its end"),
        # Lines of a head that end in other ways, or go on in the next one.
        (TYPE, part("file", b"x", "\ncontent-disposition: form-data; name=model") + MODEL + END, "not of lines"),
        (TYPE, part("file", b"x", "\rcontent-disposition: form-data; name=model") + MODEL + END, "not of lines"),
        (TYPE, part("file", b"x", ";\r\n filename=a") + MODEL + END, "not of lines"),
        (
            TYPE,
            part("file", b"x", "", "\r\nContent-Disposition : form-data; name=model") + MODEL + END,
            "more than one",
        ),
        (TYPE, part("file", b"x", '; name*0="mod"; name*1="el"') + MODEL + END, "exactly one name"),
        (TYPE, part("file", b"x", '; filename="a\\"; name=model; x="') + MODEL + END, "quotes inside"),
        (TYPE, MODEL.replace(b"form-data;", b"attachment;") + END, "no form-data"),
        (TYPE, part("model", b"d2hpc3Blci0x", "", "\r\nContent-Transfer-Encoding: base64") + END, "encoded"),
        (TYPE, b"--xYz\r\ncontent-type: text/plain\r\n\r\nx\r\n" + MODEL + END, "exactly one name"),
    ],
)
def test_what_two_readers_could_understand_differently_is_refused(content_type: bytes, body: bytes, why: str) -> None:
    with pytest.raises(NoFormError, match=why):
        form_of(content_type, body)


@pytest.mark.parametrize(
    "content_type",
    [b'Multipart/Form-Data; charset=utf-8; boundary="xYz"', b"multipart/form-data;boundary=xYz ", TYPE + b";"],
)
def test_a_boundary_is_found(content_type: bytes) -> None:
    assert form_of(content_type, MODEL + END).model == "whisper-1"


@settings(max_examples=300, deadline=None)
@given(st.lists(st.binary(max_size=40), max_size=5), st.integers(0, 5), st.binary(max_size=12))
def test_no_file_is_taken_for_a_model(files: list[bytes], at: int, noise: bytes) -> None:
    """Whatever the bytes of files are: the model is found, or the form refused."""
    parts = [part("file", data) for data in files]
    parts.insert(min(at, len(parts)), MODEL)
    body = b"".join(parts) + END
    try:
        form = form_of(TYPE, body + noise)
    except NoFormError:
        assert any(b"--xYz" in data for data in files), body
    else:
        assert form.model == "whisper-1" or any(b"--xYz" in data for data in files)
