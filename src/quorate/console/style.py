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
WISHES = """<script>
window.quorateWishes = () => Object.fromEntries(
  Object.entries({ max_ms: "wish-max-ms", min_confidence: "wish-min-confidence", coverage: "wish-coverage" })
    .map(([name, id]) => [name, document.getElementById(id)])
    .filter(([, field]) => field && !field.disabled)
    .map(([name, field]) => [name, field.validity.badInput ? "?" : field.value])
    .filter(([, typed]) => typed !== ""));
</script>
"""
"""What is typed into the fields of ``parts/wishes.py``; a browser tells no value of a number that is none."""

_SHEETS = ("style.css", "policies.css", "evidence.css", "selection.css", "audit.css", "reliability.css")
_STYLES = "".join((_FOLDER / name).read_text("utf-8") for name in _SHEETS)
HEAD = f"{THEME}{WISHES}<style>{_STYLES}</style>"
"""For the head of every page."""
