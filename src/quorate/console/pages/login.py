"""Pages without the framework: log in, and wait for servers that are not there. Nobody needs a script for them."""

from __future__ import annotations

from html import escape
from string import Template

from quorate.console.style import HEAD

_PAGE = Template(
    """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>$title</title><meta name="viewport" content="width=device-width, initial-scale=1">
$refresh$head</head>
<body><main class="alone card"><p class="brand">Quorate</p>$content</main></body>
</html>
"""
)
_LOGIN = Template(
    """<h1>Log in</h1>
<form method="post" action="/login">
<label class="field"><span>API key</span>
<input type="password" name="key" autocomplete="current-password" required autofocus spellcheck="false"></label>
<p class="problem" role="alert">$problem</p>
<button class="primary" type="submit">Log in</button>
</form>
<p class="quiet note">The key stays in the memory of this server and is forgotten when you log out.
<code>quorate keys create NAME --role operate</code> makes one.</p>"""
)


def login_page(problem: str = "") -> str:
    """The form that asks for an API key, with what was wrong with the last one."""
    content = _LOGIN.substitute(problem=escape(problem))
    return _PAGE.substitute(title="Log in – Quorate", head=HEAD, refresh="", content=content)


def waiting_page() -> str:
    """Shown while neither port answers; it asks again every two seconds."""
    content = (
        '<h1>One moment</h1><p role="status">The inference server cannot be reached. It may be starting; '
        "this page tries again by itself.</p>"
    )
    refresh = '<meta http-equiv="refresh" content="2">'
    return _PAGE.substitute(title="Waiting – Quorate", head=HEAD, refresh=refresh, content=content)
