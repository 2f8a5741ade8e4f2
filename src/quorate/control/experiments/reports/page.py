"""The frame of a report: one HTML file with all it needs inside."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:56rem;margin:2rem auto;padding:0 1rem;color:#1c2430;background:#fff}
h1{font-size:1.5rem;line-height:1.25}h2{font-size:1.1rem;margin-top:2rem}
.verdict{font-size:1.25rem;border-left:6px solid #607d8b;padding:.4rem 1rem;background:#f4f6f8}
.better{border-color:#2e7d32}.worse,.harmed,.invalid{border-color:#c62828}
table{border-collapse:collapse;width:100%;font-size:.9rem;margin:.5rem 0}
th,td{text-align:left;padding:.3rem .6rem;border-bottom:1px solid #dde3e8}td.n,th.n{text-align:right}
svg{width:100%;height:auto}svg text{font:11px system-ui,sans-serif;fill:#55606c}
.band{fill:#1565c0;fill-opacity:.18}.line{fill:none;stroke:#1565c0;stroke-width:2}.dots{fill:#1565c0}
.zero{stroke:#1c2430;stroke-width:1}.tick{stroke:#b0bac4;stroke-dasharray:3 4}
.wide{overflow-x:auto}small,.small{color:#55606c;font-size:.85rem}code{font-size:.85rem}pre{overflow:auto;background:#f4f6f8;padding:.8rem}
@media(prefers-color-scheme:dark){body{background:#14181d;color:#dfe5ea}.verdict,pre{background:#1e252c}
th,td{border-color:#323b44}.zero{stroke:#dfe5ea}svg text,small,.small{fill:#a5b0ba;color:#a5b0ba}}
"""


def page(title: str, parts: Iterable[str]) -> str:
    """A whole page; ``parts`` are HTML already."""
    body = "\n".join(part for part in parts if part)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>\n{body}\n</body></html>\n"
    )


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, numbers: int = 1) -> str:
    """Rows under their columns; those from the ``numbers``-th on are set to the right. Empty without rows."""
    listed = list(rows)
    if not listed:
        return ""

    def cells(values: Sequence[object], tag: str) -> str:
        return "".join(
            f"<{tag}{' class=n' if i >= numbers else ''}>{escape(str(value))}</{tag}>" for i, value in enumerate(values)
        )

    body = "".join(f"<tr>{cells(row, 'td')}</tr>" for row in listed)
    return f"<div class=wide><table><thead><tr>{cells(columns, 'th')}</tr></thead><tbody>{body}</tbody></table></div>"


def paragraph(text: str, kind: str = "") -> str:
    """A paragraph of plain text."""
    named = f' class="{kind}"' if kind else ""
    return f"<p{named}>{escape(text)}</p>"


def heading(text: str, level: int = 2) -> str:
    """A heading of plain text."""
    return f"<h{level}>{escape(text)}</h{level}>"
