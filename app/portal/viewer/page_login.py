"""The sign-in page: plain, without the toolkit; it asks the API for a session."""

import json
from html import escape

from fastapi import Request

from .static_files import address
from .visit import THEME_COOKIE, language_asked
from .words import said


def login_page(request: Request, there: str, banner: str = "") -> str:
    language = language_asked(request)
    theme = "dark" if request.cookies.get(THEME_COOKIE) == "dark" else "light"
    told = f'<div class="gi-banner">{escape(said(banner, language))}</div>' if banner else ""
    # "<" in a script would end it
    target = json.dumps(there).replace("<", "\\u003c")
    return f"""<!doctype html>
<html lang="{language}" data-theme="{theme}"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>GreenIsland</title>
<link rel="icon" href="data:,"><link rel="stylesheet" href="{address("viewer.css")}"></head>
<body class="gi gi-{theme}">{told}<main class="gi-login"><form>
<div class="gi-logo"><i></i><b>GreenIsland</b><span>{escape(said("viewer", language))}</span></div>
<label>{escape(said("name", language))}<input name="name" autocomplete="username" required autofocus></label>
<label>{escape(said("password", language))}
<input name="password" type="password" autocomplete="current-password" required></label>
<p role="alert"></p><button class="gi-do">{escape(said("sign_in", language))}</button></form></main>
<script>
document.querySelector("form").addEventListener("submit", async (event) => {{
  event.preventDefault();
  const form = new FormData(event.target);
  const answer = await fetch("/api/v1/session", {{
    method: "POST",
    headers: {{"Content-Type": "application/json", "Accept-Language": "{language}"}},
    body: JSON.stringify({{name: form.get("name"), password: form.get("password")}}),
  }});
  if (answer.ok) location.href = {target};
  else document.querySelector("p").textContent = (await answer.json()).detail;
}});
</script></body></html>"""
