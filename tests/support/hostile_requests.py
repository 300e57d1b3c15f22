"""Hostile requests, as data: for the tests of the server and for tests/trials/hostile_http.py."""

SMUGGLED = b"GET /stats HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
SMUGGLING = (  # headers and body behind a POST; their length is one thing to one reader, and another to another
    b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG",
    b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n5c\r\n" + SMUGGLED + b"\r\n0\r\n\r\n",
    b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    b"Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    b"Content-Length: 0\r\nContent-Length: 41\r\n\r\n" + SMUGGLED,
    b"Content-Length: 0, 41\r\n\r\n" + SMUGGLED,
    b"Content-Length: +0\r\n\r\n" + SMUGGLED,
    b"Content-Length: 0x0\r\n\r\n" + SMUGGLED,
    b"Content-Length: -1\r\n\r\n" + SMUGGLED,
    b"Content-Length: " + b"9" * 30 + b"\r\n\r\n" + SMUGGLED,
    b"X: a\r\n Content-Length: 0\x00\r\n\r\n" + SMUGGLED,
    b"Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n" + SMUGGLED,
    b"Transfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n" + SMUGGLED,
    b"Transfer-Encoding: chunked\r\n\r\n5\r\nhelloXX0\r\n\r\n" + SMUGGLED,
    b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 40 + b"\r\n" + SMUGGLED,
    b"Transfer-Encoding: chunked\r\n\r\n5;" + b"x" * 70_000 + b"\r\nhello\r\n0\r\n\r\n" + SMUGGLED,
)
WRONG_HOSTS = (
    b"Host: evil.example",
    b"Host: evil.example:8000",
    b"Host: 127.0.0.1.evil.example",
    b"Host: 127.0.0.1@evil.example",
    b"Host: evil.example#127.0.0.1",
    b"Host: 127.0.0.1, evil.example",
    b"Host: 127.0.0.1\r\nHost: evil.example",
    b"Host: evil.example\r\nX-Forwarded-Host: 127.0.0.1",
    b"Host: evil.example\r\nForwarded: host=127.0.0.1",
    b"Host: evil.example\r\nX-Forwarded-For: 127.0.0.1",
    b"Host: localhost\xc2\xad",
    b"Host: [::1",
    b"Host:",
    b"X: no host",
)
_SIZE = 24_000_000
_PART = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n'
FORMS = {  # multipart bodies of 25 MB with the boundary x
    "borders": _PART + b"\r\n" + b"\r\n--" * (_SIZE // 4),
    "returns": _PART + b"\r\n" + b"\r" * _SIZE,
    "lines": _PART + b"\r\n" + b"\r\n" * (_SIZE // 2),
    "almost borders": _PART + b"\r\n" + b"\r\n--y" * (_SIZE // 5),
    "a header": _PART + b"X: " + b"a" * _SIZE,
    "headers": _PART + b"X: a\r\n" * (_SIZE // 6),
    "parts": (_PART + b"\r\n\r\n") * (_SIZE // (len(_PART) + 4)),
    "fields": b'--x\r\nContent-Disposition: form-data; name="q"\r\n\r\n\r\n' * (_SIZE // 50),
    "no parts": b"-" * _SIZE,
    "after the end": _PART + b"\r\na\r\n--x--\r\n" + b"a" * _SIZE,
}
HOSTILE_NAMES = (
    "<script>alert(1)</script>.jpg",
    "<img src=x onerror=alert(1)>.svg",
    '"><svg onload=alert(1)>.jpg',
    "javascript:alert(1).jpg",
    "\x1b]0;owned\x07.jpg",
    "\x9b31mred.jpg",
    "\u202egpj.exe",
    "\u2066a\u2069.jpg",
    "..\\..\\evil.jpg",
    "../../../etc/passwd",
    "a\r\nX-Evil: 1.jpg",
    "{{7*7}}${7*7}.jpg",
    "a" * 2_000 + ".jpg",
    "\ufeff.jpg",
)
