"""The style of all pages, and the choice of light or dark before anything is painted."""

from __future__ import annotations

from pathlib import Path

_FOLDER = Path(__file__).parent / "static"

THEME = """<script>
(() => {
  const root = document.documentElement;
  let chosen = null;
  try { chosen = localStorage.getItem("quorate-theme"); } catch {}
  if (chosen) root.dataset.theme = chosen;
  window.quorateTheme = () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark"
      : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    try { localStorage.setItem("quorate-theme", root.dataset.theme); } catch {}
  };
})();
</script>
"""
_SHEETS = ("style.css", "policies.css", "evidence.css", "audit.css")
_STYLES = "".join((_FOLDER / name).read_text("utf-8") for name in _SHEETS)
HEAD = f"{THEME}<style>{_STYLES}</style>"
"""For the head of every page."""
